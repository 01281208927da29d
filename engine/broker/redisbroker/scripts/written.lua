-- Stands before the scripts that look for a dead letter.

-- is_written reports whether the queue has a dead letter with this data. It reads
-- the queue from its newest entry back to the id `from`, and no further than 1,000
-- entries or 8 MiB, so that the server is not held up. A user who may not read the
-- queue finds nothing.
local function is_written(queue, data, from)
  local before, entries, bytes = '+', 0, 0
  while entries < 1000 and bytes < 8388608 do
    local page = redis.pcall('XREVRANGE', queue, before, from, 'COUNT', 10)
    if page.err or #page == 0 then return false end
    for _, entry in ipairs(page) do
      for i = 1, #entry[2], 2 do
        if entry[2][i] == 'data' and entry[2][i + 1] == data then return true end
        bytes = bytes + #entry[2][i + 1]
      end
    end
    entries, before = entries + #page, '(' .. page[#page][1]
  end
  return false
end
