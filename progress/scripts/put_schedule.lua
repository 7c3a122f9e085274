-- Keeps a schedule, where there is none of its id.
-- ARGV: id, most schedules, epoch ms of the next run ('' while it is paused), 1 where that was done before, should Redis have
--   lost it in a crash, field, value, …
-- Reply: 'created' | 'existing' | 'full' | 'deleted'
local id = ARGV[1]
if redis.call('EXISTS', KEY.schedule .. id) == 1 then return 'existing' end
if ARGV[4] == '1' and redis.call('EXISTS', KEY.deleted .. id) == 1 then return 'deleted' end
if redis.call('ZCARD', KEY.schedules) >= tonumber(ARGV[2]) then return 'full' end
redis.call('HSET', KEY.schedule .. id, 'id', id, 'next_run_at', ARGV[3], unpack(ARGV, 5))
redis.call('ZADD', KEY.schedules, ARGV[3] == '' and '+inf' or ARGV[3], id)
return 'created'
