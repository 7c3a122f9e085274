-- One job as people want to see it.
-- ARGV: id
-- Reply: {{field, value, …}, position in its queue from 1 (0: in none), 1 if a worker serves its queue}, or of one that is not
--   there 'gone' | 'unsettled'
local id = ARGV[1]
local record = redis.call('HGETALL', KEY.job .. id)
if #record == 0 then return missing(clock()) end
local queue = read(id, 'queue')[1]
local rank = redis.call('ZRANK', KEY.queue .. queue, id)
local served = redis.call('ZCOUNT', KEY.workers .. queue, clock(), '+inf')
return {record, rank and rank + 1 or 0, served > 0 and 1 or 0}
