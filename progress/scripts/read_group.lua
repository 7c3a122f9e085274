-- How a group is.
-- ARGV: id, how many of its failures are known already
-- Reply: {{field, value, …}, {failure as JSON, …}}, the first empty where there is none
local group = ARGV[1]
return {redis.call('HGETALL', KEY.group .. group), redis.call('LRANGE', KEY.failures .. group, ARGV[2], -1)}
