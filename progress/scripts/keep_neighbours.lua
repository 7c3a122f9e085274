-- Keeps what was found among the items of a collection, unless they have changed meanwhile.
-- ARGV: collection, k, version, TTL in s, what was found
-- Reply: 1 | 0
if redis.call('HGET', KEY.collection .. ARGV[1], 'version') ~= ARGV[3] then return 0 end
redis.call('SET', KEY.neighbours .. ARGV[1] .. ':' .. ARGV[2], ARGV[3] .. ' ' .. ARGV[5], 'EX', ARGV[4])
return 1
