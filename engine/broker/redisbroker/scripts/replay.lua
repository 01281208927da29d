-- Delivers messages again to one group and deletes their dead letters.
-- KEYS[1]  the stream, KEYS[2] its dead-letter queue or, where no script may touch
--          both, the hash of the dead letters that were replayed
-- ARGV[1]  the group, ARGV[2] the consumer that gets them, ARGV[3] 1 where KEYS[2]
--          is the hash, then for each the id of its dead letter and of the original
-- Returns  a letter for each: c claimed, p pending already, u not delivered yet,
--          a the original is absent, g the dead letter is gone; the error NOGROUP
--          where there is no such group
--
-- An original is claimed before its dead letter is deleted, so that an error between
-- the two loses nothing.
local stream, beside, group, consumer, apart = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3] == '1'
redis.call('XPENDING', stream, group)

local position = '0-0'
for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local fields = {}
  for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
  if fields['name'] == group then position = fields['last-delivered-id'] end
end

-- deliver makes an original pending, unless it is or will be.
local function deliver(id)
  if #redis.call('XRANGE', stream, id, id) == 0 then return 'a' end
  if #redis.call('XPENDING', stream, group, id, id, 1) > 0 then return 'p' end
  if not reaches(position, id) then return 'u' end
  redis.call('XCLAIM', stream, group, consumer, 0, id, 'FORCE', 'JUSTID', 'RETRYCOUNT', 0)
  return 'c'
end

local outcomes = {}
for i = 4, #ARGV, 2 do
  local id, original = ARGV[i], ARGV[i + 1]
  local outcome
  if apart then
    outcome = redis.call('HGET', beside, id) or deliver(original)
    if outcome ~= 'a' then
      redis.call('HSET', beside, id, outcome)
      redis.call('PEXPIRE', beside, 604800000) -- a week
    end
  elseif #redis.call('XRANGE', beside, id, id) == 0 then
    outcome = 'g'
  else
    outcome = deliver(original)
    if outcome ~= 'a' then redis.call('XDEL', beside, id) end
  end
  outcomes[#outcomes + 1] = outcome
end
return table.concat(outcomes)
