-- Writes dead letters and acknowledges the entries that they replace. For each
-- it does both or neither: where the first fails the script ends, and the second
-- cannot, since a user who may not acknowledge is refused before anything is
-- written. An entry that no consumer has pending, and that an earlier call may
-- have written, is written unless it is found in the queue.
-- KEYS[1]  the stream, KEYS[2] its dead-letter queue
-- ARGV[1]  the group, ARGV[2] the consumer, then for each entry its id, the data
--          of its dead letter, whether that has raw bytes (1 or 0), those, and the
--          id in the queue from which on an earlier call may have written it
--          (empty: none did)
-- Returns  the ids that this consumer does not own
local stream, queue, group, consumer = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
if redis.acl_check_cmd == nil then -- before Redis 7
  redis.call('XACK', stream, group, '0-0') -- no entry has this id
elseif not redis.acl_check_cmd('XACK', stream, group, '0-0') then
  return redis.error_reply("NOPERM this user has no permissions to run the 'xack' command")
end

local function write(data, has_raw, raw)
  if has_raw == '1' then
    redis.call('XADD', queue, '*', 'data', data, 'raw', raw)
  else
    redis.call('XADD', queue, '*', 'data', data)
  end
end

local lost = {}
for i = 3, #ARGV, 5 do
  local id, data, has_raw, raw, from = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local pending = redis.call('XPENDING', stream, group, id, id, 1)[1]
  if pending and pending[2] == consumer then
    write(data, has_raw, raw)
    redis.call('XACK', stream, group, id)
  elseif pending or from == '' then
    lost[#lost + 1] = id
  elseif not is_written(queue, data, from) then
    write(data, has_raw, raw)
  end
end
return lost
