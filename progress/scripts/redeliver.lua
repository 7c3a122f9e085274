-- Makes a delivery of an ended job due once more, with all the tries of a new one.
-- ARGV: id
-- Reply: 1, or 0 where the job is no more
local id, now = ARGV[1], clock()
if redis.call('EXISTS', KEY.job .. id) == 0 then return 0 end
redis.call('HSET', KEY.job .. id, 'deliver_from', now, 'tries', 0)
redis.call('ZADD', KEY.deliveries, now, id)
return 1
