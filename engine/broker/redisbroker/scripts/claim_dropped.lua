-- Claims back entries that were dropped from the pending list with their consumer
-- or their group. Redis cannot tell these from entries that were acknowledged.
-- KEYS[1]  the stream
-- ARGV[1]  the group, ARGV[2] the consumer, then for each entry its id and
--          attempts
-- Returns  the ids that stay lost: another consumer has them, their body is gone,
--          or they are above the group's position, which will deliver them again
local stream, group, consumer = KEYS[1], ARGV[1], ARGV[2]
redis.call('XPENDING', stream, group) -- NOGROUP where the group is gone

local position = '0-0'
for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local fields = {}
  for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
  if fields['name'] == group then position = fields['last-delivered-id'] end
end

local lost = {}
for i = 3, #ARGV, 2 do
  local id, attempts = ARGV[i], ARGV[i + 1]
  local pending = redis.call('XPENDING', stream, group, id, id, 1)[1]
  local owned = pending and pending[2] == consumer
  if pending and not owned or not reaches(position, id) or #redis.call('XRANGE', stream, id, id) == 0 then
    lost[#lost + 1] = id
  elseif not owned then
    redis.call('XCLAIM', stream, group, consumer, 0, id, 'FORCE', 'JUSTID', 'RETRYCOUNT', attempts)
  end
end
return lost
