-- Says where a group stands. The replies of the server have the bodies of two entries,
-- which stay with it.
-- KEYS[1]  the stream
-- ARGV[1]  the group
-- Returns  the id that the group has delivered last, the id that the stream has
--          generated last, and how many entries are pending; nothing where there is
--          no such group
local stream, group = KEYS[1], ARGV[1]
local function field(info, name)
  for i = 1, #info, 2 do
    if info[i] == name then return info[i + 1] end
  end
end
for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  if field(info, 'name') == group then
    return {field(info, 'last-delivered-id'), field(redis.call('XINFO', 'STREAM', stream), 'last-generated-id'),
      tostring(field(info, 'pending'))}
  end
end
return {}
