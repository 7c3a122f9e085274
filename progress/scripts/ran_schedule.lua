-- Notes a run of a schedule, and when the next one is. Of several who have made the same run one is first.
-- ARGV: id, epoch ms at which it was due ('' for one that was asked for), epoch ms of the next run ('': none), the job's id
--   ('' where it was left out)
-- Reply: 1, or 0 where somebody else has noted it, or it was paused or deleted meanwhile
local id = ARGV[1]
local due = redis.call('HGET', KEY.schedule .. id, 'next_run_at')
if not due or (ARGV[2] ~= '' and ARGV[2] ~= due) then return 0 end
if ARGV[2] ~= '' then
  redis.call('HSET', KEY.schedule .. id, 'next_run_at', ARGV[3])
  redis.call('ZADD', KEY.schedules, ARGV[3] == '' and '+inf' or ARGV[3], id)
end
if ARGV[4] ~= '' then redis.call('HSET', KEY.schedule .. id, 'last_run_at', clock(), 'last_job', ARGV[4]) end
return 1
