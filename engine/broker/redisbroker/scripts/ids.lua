-- Stands before the scripts that compare ids.

-- reaches reports whether id a is at least id b. Numbers are compared as text:
-- they may have more digits than a number of Lua holds.
local function reaches(a, b)
  local as, bs = {a:match('^(%d+)-(%d+)$')}, {b:match('^(%d+)-(%d+)$')}
  for part = 1, 2 do
    if #as[part] ~= #bs[part] then return #as[part] > #bs[part] end
    if as[part] ~= bs[part] then return as[part] > bs[part] end
  end
  return true
end
