-- Changes a schedule: pauses it, lets it go on, gives it other times or other work.
-- ARGV: id, epoch ms of the next run ('' while it is paused), field, value, …
-- Reply: 1, or 0 where there is none
local id = ARGV[1]
if redis.call('EXISTS', KEY.schedule .. id) == 0 then return 0 end
redis.call('HSET', KEY.schedule .. id, 'next_run_at', ARGV[2], unpack(ARGV, 3))
redis.call('ZADD', KEY.schedules, ARGV[2] == '' and '+inf' or ARGV[2], id)
return 1
