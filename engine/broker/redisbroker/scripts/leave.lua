-- Deletes a consumer that has nothing pending.
-- KEYS[1]  the stream
-- ARGV[1]  the group, ARGV[2] the consumer
-- Returns  1 where it has nothing pending, otherwise 0
--
-- A user who may not delete consumers leaves it: others delete it later.
local stream, group, consumer = KEYS[1], ARGV[1], ARGV[2]
if #redis.call('XPENDING', stream, group, '-', '+', 1, consumer) > 0 then return 0 end
redis.pcall('XGROUP', 'DELCONSUMER', stream, group, consumer)
return 1
