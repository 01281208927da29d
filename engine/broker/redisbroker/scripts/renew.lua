-- Makes a consumer's pending entries look young, at no cost to their delivery
-- counts.
-- KEYS[1]  the stream
-- ARGV[1]  the group, ARGV[2] the consumer, then the id of each entry
-- Returns  a letter for each entry: m where it is this consumer's, o where it is
--          another's, n where it is no consumer's
--
-- An entry whose body is gone is left as it is: a claim would drop it from the
-- pending list (Redis 7).
local stream, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local owners = {}
for i = 3, #ARGV do
  local id = ARGV[i]
  local pending = redis.call('XPENDING', stream, group, id, id, 1)[1]
  if not pending then
    owners[#owners + 1] = 'n'
  elseif pending[2] ~= consumer then
    owners[#owners + 1] = 'o'
  else
    owners[#owners + 1] = 'm'
    if #redis.call('XRANGE', stream, id, id) > 0 then
      redis.call('XCLAIM', stream, group, consumer, 0, id, 'JUSTID')
    end
  end
end
return table.concat(owners)
