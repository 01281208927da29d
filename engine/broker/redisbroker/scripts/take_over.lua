-- Takes over the oldest entry that a consumer which shows no life has left idle, and
-- those before it whose body is gone, which are acknowledged. An entry that was never
-- attempted is on record as a read leaves it: with a count of 1.
-- KEYS[1]  the stream
-- ARGV[1]  the group, ARGV[2] the consumer, ARGV[3] the consumer from which is taken,
--          ARGV[4] how many entries that must have pending, ARGV[5] for how many
--          milliseconds it and the entry must have been idle
-- Returns  for each entry its id and its delivery count, as text
local stream, group, consumer, from, pending, idle = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local unchanged = false
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
  local fields = {}
  for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
  if fields['name'] == from then
    unchanged = fields['pending'] == pending and fields['idle'] >= tonumber(idle)
  end
end
local taken = {}
if not unchanged then return taken end
for _, entry in ipairs(redis.call('XPENDING', stream, group, 'IDLE', idle, '-', '+', 100, from)) do
  local id, count = entry[1], entry[4]
  taken[#taken + 1] = id
  taken[#taken + 1] = string.format('%.0f', count)
  if #redis.call('XRANGE', stream, id, id) > 0 then
    if count == 0 then
      redis.call('XCLAIM', stream, group, consumer, 0, id, 'RETRYCOUNT', 1, 'JUSTID')
    else
      redis.call('XCLAIM', stream, group, consumer, 0, id, 'JUSTID')
    end
    break
  end
  redis.call('XACK', stream, group, id)
end
return taken
