-- Gives deliveries back that were taken, and that nobody has tried.
-- ARGV: id, claim, ms after which it is due, …
-- Reply: 1
local now = clock()
for i = 1, #ARGV, 3 do
  if redis.call('ZSCORE', KEY.deliveries, ARGV[i]) == ARGV[i + 1] then
    redis.call('ZADD', KEY.deliveries, now + tonumber(ARGV[i + 2]), ARGV[i])
  end
end
return 1
