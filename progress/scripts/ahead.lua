-- How many jobs stand before a place in a queue. In a cluster each partition has a queue of its own.
-- ARGV: queue, score
-- Reply: how many
return redis.call('ZCOUNT', KEY.queue .. ARGV[1], '-inf', '(' .. ARGV[2])
