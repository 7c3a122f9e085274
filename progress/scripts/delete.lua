-- Deletes a job that no worker holds: record, log, and its place in every list. One that still waits is cancelled
-- first, so that whoever follows it hears its end.
-- ARGV: id
-- Reply: 'deleted' | 'running' | 'gone' | 'unsettled'
local id, now = ARGV[1], clock()
notice(now)
local r = read(id, 'status', 'attempt', 'kind')
if not r[1] then return missing(now) end
if r[1] == 'running' or r[1] == 'retrying' then return 'running' end
if not ENDED[r[1]] then
  finish(id, now, r[2], 'cancelled', '"reason":"deleted"' .. leave_room(id, now, 'if needed'))
  r[1] = 'cancelled'
end
for _, k in ipairs({r[3], ''}) do
  redis.call('ZREM', index(k, ''), id)
  redis.call('ZREM', index(k, r[1]), id)
end
redis.call('ZREM', KEY.expiry, id .. ' ' .. r[3] .. ' ' .. r[1])
redis.call('DEL', KEY.job .. id, KEY.log .. id)
return 'deleted'
