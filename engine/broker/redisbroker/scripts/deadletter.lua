-- Writes dead letters and acknowledges the entries that they replace. For each
-- it does both or neither: where the first fails the script ends.
-- KEYS[1]  the stream, KEYS[2] its dead-letter queue
-- ARGV[1]  the group, ARGV[2] the consumer, then for each entry its id, the data
--          of its dead letter, whether that has raw bytes (1 or 0), and those
-- Returns  the ids that this consumer does not own
local stream, queue, group, consumer = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local lost = {}
for i = 3, #ARGV, 4 do
  local id, data, has_raw, raw = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if #redis.call('XPENDING', stream, group, id, id, 1, consumer) == 0 then
    lost[#lost + 1] = id
  else
    local written
    if has_raw == '1' then
      written = redis.call('XADD', queue, '*', 'data', data, 'raw', raw)
    else
      written = redis.call('XADD', queue, '*', 'data', data)
    end
    local acked = redis.pcall('XACK', stream, group, id)
    if type(acked) == 'table' and acked.err then -- a right was taken away
      redis.call('XDEL', queue, written)
      return acked
    end
  end
end
return lost
