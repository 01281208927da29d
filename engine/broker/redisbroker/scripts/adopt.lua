-- Takes over entries of the holder whose entries are anybody's, at no cost to
-- their delivery counts.
-- KEYS[1]  the stream
-- ARGV[1]  the group, ARGV[2] the consumer, ARGV[3] the holder, ARGV[4] how many
-- Returns  for each entry its id, its delivery count, and its fields: none
--          where its body is gone
local stream, group, consumer, holder = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local adopted = {}
for _, entry in ipairs(redis.call('XPENDING', stream, group, '-', '+', ARGV[4], holder)) do
  local id, count = entry[1], entry[4]
  local body = redis.call('XRANGE', stream, id, id)[1]
  redis.call('XCLAIM', stream, group, consumer, 0, id, 'RETRYCOUNT', count, 'JUSTID')
  adopted[#adopted + 1] = {id, count, body and body[2] or {}}
end
return adopted
