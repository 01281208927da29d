-- Trims a stream to a length, and removes no entry that some group has not
-- acknowledged, or that a consumer may have in flight.
-- KEYS[1]  the stream
-- ARGV[1]  the length, ARGV[2] how many entries to remove at most, ARGV[3] for how
--          many milliseconds the floors hold, ARGV[4] how many there are, then for
--          each a group, a consumer and the lowest id that it may have in flight; then
--          the group that asks, and others that must exist, or nothing is removed
-- Returns  how many entries were removed, by how many the stream is longer now, the
--          group that needs the oldest entry or does not exist, and 1 or 0, whether
--          more could be removed; the error NOGROUP where the first group is gone
--
-- Whole nodes of the stream go first, which costs little. What is left then stands
-- in its first node, whose size the server bounds (stream-node-max-bytes).
local stream, length, most = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local largestNode = 100

-- following is the id after one. Where its number has too many digits for Lua it is
-- the id itself, whose entry is kept then.
local function following(id)
  local time, number = id:match('^(%d+)-(%d+)$')
  if #number > 15 then return id end
  return time .. '-' .. string.format('%.0f', number + 1)
end

-- The oldest entry that is needed: pending, or not delivered yet.
local exists, needed, needs = {}, nil, ''
for _, reply in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local group = {}
  for i = 1, #reply, 2 do group[reply[i]] = reply[i + 1] end
  exists[group.name] = true
  local oldest = following(group['last-delivered-id'])
  if group.pending > 0 then
    local pending = redis.call('XPENDING', stream, group.name)[2]
    if not reaches(pending, oldest) then oldest = pending end
  end
  if not needed or not reaches(oldest, needed) then needed, needs = oldest, group.name end
end

-- What was dropped from the pending list with its consumer, or with its group, is in
-- flight all the same until it is claimed back. The processes that trim the stream
-- keep their floors in a key of their own for each other. It is not among KEYS, and an
-- error is passed over: a user without the right to it has its own floors.
local holds, count = tonumber(ARGV[3]), tonumber(ARGV[4])
local function keep(id, group)
  if not needed or not reaches(id, needed) then needed, needs = id, group end
end
local floors = 'observatory:{' .. stream .. '}:floors'
local may = redis.acl_check_cmd
local shared = may == nil or may('HSET', floors, 'f', 'v') and may('HGETALL', floors) and may('HDEL', floors, 'f')
  and may('PEXPIRE', floors, 1)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 5, 4 + 3 * count, 3 do
  if exists[ARGV[i]] then keep(ARGV[i + 2], ARGV[i]) end
  if shared then
    redis.pcall('HSET', floors, ARGV[i] .. '\0' .. ARGV[i + 1], ARGV[i + 2] .. string.format(' %.0f', now + holds))
  end
end
if shared then
  if count > 0 then redis.pcall('PEXPIRE', floors, holds) end
  local all = redis.pcall('HGETALL', floors)
  for i = 1, #all, 2 do
    local id, ends = all[i + 1]:match('^(%d+%-%d+) (%d+)$')
    if not id or tonumber(ends) < now then
      redis.pcall('HDEL', floors, all[i])
    else
      local group = all[i]:match('^(.-)%z')
      if exists[group] then keep(id, group) end
    end
  end
end

local asks = 5 + 3 * count
if not exists[ARGV[asks]] then return redis.error_reply('NOGROUP the group does not exist') end
for i = asks + 1, #ARGV do
  if not exists[ARGV[i]] then needed, needs = nil, ARGV[i] break end
end

local removed, more, beyond = 0, 0, math.max(redis.call('XLEN', stream) - length, 0)
local limit = math.min(beyond, most)
if needed and limit > 0 then
  removed = redis.call('XTRIM', stream, 'MINID', '~', needed, 'LIMIT', limit)
  local rest = math.min(limit - removed, largestNode)
  local entries = {}
  if rest > 0 then entries = redis.call('XRANGE', stream, '-', '(' .. needed, 'COUNT', rest) end
  if #entries > 0 then
    removed = removed + redis.call('XTRIM', stream, 'MINID', '=', following(entries[#entries][1]))
  end
  if removed < beyond and (removed == limit or #entries == largestNode) then more = 1 end
end
return {removed, beyond - removed, needs, more}
