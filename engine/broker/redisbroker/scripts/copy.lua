-- Adds a copy of a message to its stream and deletes its dead letter.
-- KEYS[1]  the stream, KEYS[2] its dead-letter queue or, where no script may touch
--          both, the hash of the dead letters that were replayed
-- ARGV[1]  1 where KEYS[2] is the hash, ARGV[2] the id of the dead letter, then the
--          fields of the copy, names and values in turn
-- Returns  1, or 0 where there is no such dead letter
local stream, beside, apart, id = KEYS[1], KEYS[2], ARGV[1] == '1', ARGV[2]
if apart then
  if redis.call('HEXISTS', beside, id) == 1 then return 1 end
elseif #redis.call('XRANGE', beside, id, id) == 0 then
  return 0
end
redis.call('XADD', stream, '*', unpack(ARGV, 3))
if apart then
  redis.call('HSET', beside, id, 'c')
  redis.call('PEXPIRE', beside, 604800000) -- a week
else
  redis.call('XDEL', beside, id)
end
return 1
