-- Deletes a schedule. The jobs that it has made stay.
-- ARGV: id
-- Reply: 1, or 0 where there is none
local id = ARGV[1]
redis.call('ZREM', KEY.schedules, id)
redis.call('SET', KEY.deleted .. id, 1, 'EX', KEY.deleted_ttl_s)
return redis.call('DEL', KEY.schedule .. id)
