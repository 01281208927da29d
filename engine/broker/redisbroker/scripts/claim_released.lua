-- Takes over entries of the consumer to which engines release what they had not
-- finished, oldest first, and then those that have no owner (XNACK of Redis 8.8), at no
-- cost to their delivery counts. An entry that was never attempted is on record as a
-- read leaves it: with a count of 1.
-- KEYS[1]  the stream
-- ARGV[1]  the group, ARGV[2] the consumer, ARGV[3] the consumer that owns what
--          was released, ARGV[4] how many entries at most
-- Returns  1 or 0, whether others are left, then for each entry its id and its
--          delivery count, all as text: a count may have more digits than a
--          number of Lua holds
local stream, group, consumer, released, max = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local entries = redis.call('XPENDING', stream, group, '-', '+', max + 1, released)

-- An entry without an owner is listed with the empty consumer. To find one the whole
-- list has to be read, so that is done only where there are some: where the owners'
-- numbers do not make up the sum, or the empty consumer is one of them. It reads no
-- further than 10,000 entries, so that the server is not held up.
local summary = redis.call('XPENDING', stream, group)
local owned = 0
for _, owner in ipairs(summary[4] or {}) do
  if owner[1] ~= '' then owned = owned + tonumber(owner[2]) end
end
local after, read = '-', 0
while owned < summary[1] and #entries <= max and read < 10000 do
  local page = redis.call('XPENDING', stream, group, after, '+', 1000)
  for _, entry in ipairs(page) do
    if entry[2] == '' and #entries <= max then entries[#entries + 1] = entry end
  end
  if #page < 1000 then break end
  read, after = read + #page, '(' .. page[#page][1]
end

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
