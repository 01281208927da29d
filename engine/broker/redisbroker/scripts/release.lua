-- Gives entries to the consumer from which any engine of the group claims them.
-- KEYS[1]  the stream
-- ARGV[1]  the group, ARGV[2] the consumer, ARGV[3] the consumer that owns what
--          was released, then for each entry its id and the attempts made so far
-- Returns  the ids that this consumer does not own
local stream, group, consumer, released = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local lost = {}
for i = 4, #ARGV, 2 do
  local id, attempts = ARGV[i], ARGV[i + 1]
  if #redis.call('XPENDING', stream, group, id, id, 1, consumer) == 0 then
    lost[#lost + 1] = id
  else
    redis.call('XCLAIM', stream, group, released, 0, id, 'RETRYCOUNT', attempts, 'JUSTID')
  end
end
return lost
