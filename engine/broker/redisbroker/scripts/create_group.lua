-- Creates a group that is known to have delivered the entries up to an id, and
-- its stream where there is none. The group starts at that id, or at the
-- stream's beginning where the stream's last id is below it: then it is another
-- stream.
-- KEYS[1]  the stream
-- ARGV[1]  the group, ARGV[2] the id
-- Returns  the id at which the group starts; the error BUSYGROUP where it exists
local stream, group, resume = KEYS[1], ARGV[1], ARGV[2]

local start = '0'
local info = redis.pcall('XINFO', 'STREAM', stream)
if info.err then
  if not info.err:find('no such key', 1, true) then return info end
else
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' and reaches(info[i + 1], resume) then start = resume end
  end
end
local made = redis.pcall('XGROUP', 'CREATE', stream, group, start, 'MKSTREAM')
if made.err then return made end
return start
