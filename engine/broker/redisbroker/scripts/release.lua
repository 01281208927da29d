-- Gives entries to the holder whose entries are anybody's.
-- KEYS[1]  the stream
-- ARGV[1]  the group, ARGV[2] the consumer, ARGV[3] the holder, then for each
--          entry its id and the calls made so far
-- Returns  the ids that this consumer does not have
local stream, group, consumer, holder = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local lost = {}
for i = 4, #ARGV, 2 do
  local id, calls = ARGV[i], ARGV[i + 1]
  if #redis.call('XPENDING', stream, group, id, id, 1, consumer) == 0 then
    lost[#lost + 1] = id
  else
    redis.call('XCLAIM', stream, group, holder, 0, id, 'RETRYCOUNT', calls, 'JUSTID')
  end
end
return lost
