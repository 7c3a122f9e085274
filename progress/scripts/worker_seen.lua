-- Notes that a worker serves some queues, so that a job that waits in vain can say so.
-- ARGV: worker, TTL in s, queue, queue, …
-- Reply: 1
local now = clock()
for i = 3, #ARGV do
  local key = KEY.workers .. ARGV[i]
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  redis.call('ZADD', key, now + tonumber(ARGV[2]) * 1000, ARGV[1])
  redis.call('EXPIRE', key, ARGV[2])
end
return 1
