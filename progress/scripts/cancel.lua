-- Asks for a job's end. One that no worker holds ends here; one that runs learns of it from its next append or heartbeat.
-- ARGV: id, reason as JSON
-- Reply: 'cancelled' | 'requested' | 'again' | 'ended' | 'gone'
local id, now = ARGV[1], clock()
local r = read(id, 'status', 'attempt', 'cancel_requested')
if not r[1] then return 'gone' end
if r[1] == 'cancelled' then return 'again' end
if ENDED[r[1]] then return 'ended' end
local held = r[1] == 'running' and tonumber(redis.call('ZSCORE', KEY.leases, id) or 0) > now
if held then
  if r[3] then return 'again' end
  redis.call('HSET', KEY.job .. id, 'cancel_requested', ARGV[2])
  return 'requested'
end
redis.call('HSET', KEY.job .. id, 'cancel_requested', ARGV[2])
redis.call('HDEL', KEY.job .. id, 'error')
finish(id, now, r[2], 'cancelled', '"reason":' .. ARGV[2])
return 'cancelled'
