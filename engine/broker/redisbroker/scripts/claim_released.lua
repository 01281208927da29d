-- Takes over entries of the consumer to which engines release what they had not
-- finished, oldest first, at no cost to their delivery counts. An entry that was
-- never attempted is on record as a read leaves it: with a count of 1.
-- KEYS[1]  the stream
-- ARGV[1]  the group, ARGV[2] the consumer, ARGV[3] the consumer that owns what
--          was released, ARGV[4] how many entries at most
-- Returns  1 or 0, whether others are left, then for each entry its id and its
--          delivery count, all as text: a count may have more digits than a
--          number of Lua holds
local stream, group, consumer, released, max = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local entries = redis.call('XPENDING', stream, group, '-', '+', max + 1, released)
local claimed = {#entries > max and '1' or '0'}
for i = 1, math.min(#entries, max) do
  local id, count = entries[i][1], entries[i][4]
  if count == 0 then
    redis.call('XCLAIM', stream, group, consumer, 0, id, 'RETRYCOUNT', 1, 'JUSTID')
  else
    redis.call('XCLAIM', stream, group, consumer, 0, id, 'JUSTID')
  end
  claimed[#claimed + 1] = id
  claimed[#claimed + 1] = string.format('%.0f', count)
end
return claimed
