-- Asks all workers to leave something alone for a while: a model server has said that they ask too much.
-- ARGV: name, for how many ms
-- Reply: 1
local now, ms = clock(), tonumber(ARGV[2])
if now + ms > tonumber(redis.call('GET', KEY.pause .. ARGV[1]) or 0) then
  redis.call('SET', KEY.pause .. ARGV[1], now + ms, 'PX', ms)
end
return 1
