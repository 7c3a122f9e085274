-- The processes of a machine that have taken jobs. Its workers ask for them all the time, and so keep the list.
-- ARGV: machine
-- Reply: {process, …}
redis.call('EXPIRE', KEY.holders .. ARGV[1], KEY.holders_ttl_s)
return redis.call('SMEMBERS', KEY.holders .. ARGV[1])
