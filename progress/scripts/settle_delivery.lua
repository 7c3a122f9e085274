-- Notes how a try of a delivery went, and when the next one is.
-- ARGV: id, claim, how long it took in ms, inside of a JSON object that tells how it went, ms until the next try ('' for none)
-- Reply: 1, or 0 where the job is no more
local id, now, next_at = ARGV[1], clock(), 'null'
if redis.call('EXISTS', KEY.job .. id) == 0 then return 0 end
-- Whoever has taken longer than its lease leaves the rest to the next one.
if redis.call('ZSCORE', KEY.deliveries, id) == ARGV[2] then
  if ARGV[5] == '' then redis.call('ZREM', KEY.deliveries, id)
  else
    next_at = '"' .. rfc3339(now + tonumber(ARGV[5])) .. '"'
    redis.call('ZADD', KEY.deliveries, now + tonumber(ARGV[5]), id)
  end
end
redis.call('HINCRBY', KEY.job .. id, 'tries', 1)
redis.call('RPUSH', KEY.tries .. id, '{"at":"' .. rfc3339(now - tonumber(ARGV[3])) .. '",' .. ARGV[4] ..
  ',"next_at":' .. next_at .. '}')
redis.call('LTRIM', KEY.tries .. id, -KEY.max_tries, -1)
redis.call('PEXPIRE', KEY.tries .. id, redis.call('PTTL', KEY.job .. id))
return 1
