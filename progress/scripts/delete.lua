-- Deletes a job that no worker holds: record, log, and its place in every list. One that still waits is cancelled
-- first, so that whoever follows it hears its end.
-- ARGV: id, 1 where that was done before, should Redis have lost it in a crash: whatever the job seems to do, it goes
-- Reply: 'deleted' | 'running' | 'gone' | 'unsettled'
local id, now, again = ARGV[1], clock(), ARGV[2] == '1'
notice(now)
local r = read(id, 'status', 'attempt', 'kind', 'queue', 'opened')
-- Whoever has made the job may be about to write it again.
local function bury() redis.call('SET', KEY.deleted .. id, 1, 'EX', KEY.deleted_ttl_s) end
if again then bury() end
if not r[1] then return again and 'gone' or missing(now) end
if again then
  -- No event: where the first one said something, readers may have seen more before it than there is now.
  for _, place in ipairs({KEY.leases, KEY.due, KEY.unread, KEY.waiters, KEY.queue .. r[4]}) do redis.call('ZREM', place, id) end
  if not ENDED[r[1]] then
    -- Its group counts on its end, and its children on it.
    set_status(id, r[3], r[1], 'cancelled')
    if r[5] then redis.call('ZADD', KEY.abandoned, now, r[5]) end
    r[1] = 'cancelled'
  end
elseif r[1] == 'running' or r[1] == 'retrying' then return 'running'
elseif not ENDED[r[1]] then
  finish(id, now, r[2], 'cancelled', '"reason":"deleted"' .. leave_room(id, now, 'if needed'))
  r[1] = 'cancelled'
end
for _, k in ipairs({r[3], ''}) do
  redis.call('ZREM', index(k, ''), id)
  redis.call('ZREM', index(k, r[1]), id)
end
redis.call('ZREM', KEY.expiry, id .. ' ' .. r[3] .. ' ' .. r[1])
redis.call('ZREM', KEY.deliveries, id)
redis.call('DEL', KEY.job .. id, KEY.log .. id, KEY.tries .. id)
bury()
return 'deleted'
