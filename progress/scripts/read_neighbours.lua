-- What was found among the items of a collection, where it is still true.
-- ARGV: collection, k, version, TTL in s
-- Reply: what was found | ''
local key = KEY.neighbours .. ARGV[1] .. ':' .. ARGV[2]
local kept, head = redis.call('GET', key), ARGV[3] .. ' '
if not kept or string.sub(kept, 1, #head) ~= head then return '' end
redis.call('EXPIRE', key, ARGV[4])
return string.sub(kept, #head + 1)
