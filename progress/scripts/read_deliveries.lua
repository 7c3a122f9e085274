-- The deliveries of a job: those that were tried, and when the next one is.
-- ARGV: id
-- Reply: {epoch ms of the next try or of the end of the lease of one that is under way, or '', {a JSON object, …}}
return {redis.call('ZSCORE', KEY.deliveries, ARGV[1]) or '', redis.call('LRANGE', KEY.tries .. ARGV[1], 0, -1)}
