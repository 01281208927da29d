-- Resets the idle time of a consumer's pending entries, at no cost to their delivery
-- counts.
-- KEYS[1]  the stream
-- ARGV[1]  the group, ARGV[2] the consumer, then the id of each entry
-- Returns  a letter for each entry: m where it is this consumer's, o where it is
--          another's, n where it is no consumer's
--
-- An entry whose body is gone is left as it is: a claim would drop it from the
-- pending list (Redis 7). Bodies may be large, so they are read only where what
-- Redis says of the stream does not prove that they exist.
local stream, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local owners, owned = {}, {}
for i = 3, #ARGV do
  local pending = redis.call('XPENDING', stream, group, ARGV[i], ARGV[i], 1)[1]
  if not pending then
    owners[#owners + 1] = 'n'
  elseif pending[2] ~= consumer then
    owners[#owners + 1] = 'o'
  else
    owners[#owners + 1] = 'm'
    owned[#owned + 1] = ARGV[i]
  end
end
if #owned == 0 then return table.concat(owners) end

local first, deleted -- the oldest entry there is; the highest that was deleted
local info = redis.call('XINFO', 'STREAM', stream)
for i = 1, #info, 2 do
  if info[i] == 'first-entry' and info[i + 1] then first = info[i + 1][1] end
  if info[i] == 'max-deleted-entry-id' then deleted = info[i + 1] end -- Redis 7
end
local claim = {'XCLAIM', stream, group, consumer, 0}
for _, id in ipairs(owned) do
  local exists = first and deleted and reaches(id, first) and not reaches(deleted, id)
  if exists or #redis.call('XRANGE', stream, id, id) > 0 then claim[#claim + 1] = id end
end
if #claim > 5 then
  claim[#claim + 1] = 'JUSTID'
  redis.call(unpack(claim))
end
return table.concat(owners)
