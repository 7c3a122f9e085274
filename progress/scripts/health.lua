-- Who works and what waits, for people.
-- ARGV: queue, queue, …
-- Reply: {running jobs, {queue, waiting jobs, {worker, …}, …}}
local now, flat = clock(), {}
for _, queue in ipairs(ARGV) do
  flat[#flat + 1] = queue
  flat[#flat + 1] = redis.call('ZCARD', KEY.queue .. queue)
  flat[#flat + 1] = redis.call('ZRANGEBYSCORE', KEY.workers .. queue, now, '+inf')
end
return {redis.call('ZCARD', KEY.leases), flat}
