-- Shows that a consumer with nothing pending lives, deletes others that are gone,
-- and lists those that have something pending. Up to Redis 7.0 only an entry that is
-- delivered or claimed makes a consumer look alive, or that it is made: it is deleted
-- and made again. A read of its own that waits meanwhile still gets its entry.
-- KEYS[1]  the stream
-- ARGV[1]  the group, ARGV[2] the consumer, ARGV[3] the consumer that owns what was
--          released, ARGV[4] the idle time in milliseconds beyond which a consumer
--          with nothing pending is deleted, ARGV[5] for how many milliseconds this
--          consumer counts as here
-- Returns  for each consumer with something pending but these two its name, how many
--          entries, and its idle time in milliseconds
--
-- A user who may not delete or make consumers leaves them as they are.
local stream, group, consumer, released, limit = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

-- That an engine of the group is here is kept in a key of its own. It is not among
-- KEYS, and an error is passed over: a user without the right to it may show life all
-- the same.
local live = 'observatory:{' .. stream .. '}:live:' .. group
if redis.acl_check_cmd == nil or redis.acl_check_cmd('SET', live, '1') then redis.pcall('SET', live, '1', 'PX', ARGV[5]) end

local others, holds = {}, false
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
  local fields = {}
  for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
  local name, pending, idle = fields['name'], fields['pending'], fields['idle']
  if name == consumer then
    holds = pending > 0
  elseif pending == 0 then
    if idle > limit then redis.pcall('XGROUP', 'DELCONSUMER', stream, group, name) end
  elseif name ~= released and name ~= '' then
    others[#others + 1] = name
    others[#others + 1] = tostring(pending)
    others[#others + 1] = string.format('%.0f', idle)
  end
end
if not holds then
  redis.pcall('XGROUP', 'DELCONSUMER', stream, group, consumer)
  redis.pcall('XGROUP', 'CREATECONSUMER', stream, group, consumer)
end
return others
