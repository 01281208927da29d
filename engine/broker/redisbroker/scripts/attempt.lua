-- Records, before a handler is called again, how many attempts that will make.
-- KEYS[1]  the stream
-- ARGV[1]  the group, ARGV[2] the consumer, then for each entry its id and
--          attempts
-- Returns  the ids that this consumer does not own
--
-- A claim of an entry whose body is gone would drop it from the pending list
-- (Redis 7), and it would be taken for lost at the next attempt: it is left as
-- it is.
local stream, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local lost = {}
for i = 3, #ARGV, 2 do
  local id, attempts = ARGV[i], ARGV[i + 1]
  if #redis.call('XPENDING', stream, group, id, id, 1, consumer) == 0 then
    lost[#lost + 1] = id
  elseif #redis.call('XRANGE', stream, id, id) > 0 then
    redis.call('XCLAIM', stream, group, consumer, 0, id, 'RETRYCOUNT', attempts, 'JUSTID')
  end
end
return lost
