-- Some items of a collection. All pages together have each item that is there all the time, some of them twice.
-- ARGV: collection, cursor ('0' at first), about how many
-- Reply: {version (0: there is no such collection), the next cursor or '0', {id, value, …}}
local version = tonumber(redis.call('HGET', KEY.collection .. ARGV[1], 'version') or 0)
local found = redis.call('HSCAN', KEY.vectors .. ARGV[1], ARGV[2], 'COUNT', ARGV[3])
return {version, found[1], found[2]}
