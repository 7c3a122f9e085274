-- Makes a group, or makes it larger: jobs that are counted together, a batch or the children of one step of a job.
-- ARGV: id, how many jobs are to come, a name of this call (sent twice, it counts once), TTL in s while none has ended, the
--   group whose succeeded jobs count here as well ('' for none), field, value, …
-- Fields: parent (whose log tells of it, and who may wait for it), step (its name as JSON), base and span (what of the
--   parent's progress is before it, and is it)
-- Reply: {how many jobs it will have, how many there are, how many have ended}
local group, now = ARGV[1], clock()
local key = KEY.group .. group
notice(now)
if redis.call('HSETNX', key, 'call:' .. ARGV[3], ARGV[2]) == 1 then
  redis.call('HINCRBY', key, 'expected', ARGV[2])
  redis.call('HSETNX', key, 'created_at', now)
  redis.call('HDEL', key, 'finished_at')
  redis.call('HINCRBY', key, 'revision', 1)
  if #ARGV > 5 then redis.call('HSET', key, unpack(ARGV, 6)) end
  local members = redis.call('ZRANGE', KEY.members .. ARGV[5], 0, -1, 'WITHSCORES')
  for i = 1, #members, 2 do
    if read(members[i], 'status')[1] == 'succeeded' then
      redis.call('ZADD', KEY.members .. group, members[i + 1], members[i])
      for _, name in ipairs({'total', 'ended', 'succeeded'}) do redis.call('HINCRBY', key, name, 1) end
    end
  end
end
for _, kept in ipairs({KEY.group, KEY.members, KEY.failures}) do
  if redis.call('PTTL', kept .. group) >= 0 or redis.call('EXISTS', kept .. group) == 1 then
    redis.call('EXPIRE', kept .. group, ARGV[4])
  end
end
local parent = redis.call('HGET', key, 'parent')
if parent and redis.call('EXISTS', KEY.job .. parent) == 1 then redis.call('HSET', KEY.job .. parent, 'opened', group) end
local g = counted_group(group)
if g.done and g.total > 0 then redis.call('HSETNX', key, 'finished_at', now) end
return {g.expected, g.total, g.ended}
