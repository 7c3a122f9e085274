-- What a collection is, and that it is used.
-- ARGV: collection, TTL in s
-- Reply: {'ok' | 'gone' | 'unsettled' (a crash of Redis may have lost it, and somebody write it again), version, items,
-- dimensions, model, server}
local name = ARGV[1]
local now = clock()
local is = redis.call('HMGET', KEY.collection .. name, 'version', 'dimensions', 'model')
if not is[1] then return {missing(now), 0, 0, 0, '', notice(now)} end
redis.call('EXPIRE', KEY.vectors .. name, ARGV[2])
redis.call('EXPIRE', KEY.collection .. name, ARGV[2])
redis.call('SADD', KEY.collections, name)
redis.call('EXPIRE', KEY.collections, ARGV[2])
return {'ok', tonumber(is[1]), redis.call('HLEN', KEY.vectors .. name), tonumber(is[2]), is[3], notice(now)}
