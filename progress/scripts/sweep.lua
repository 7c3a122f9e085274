-- Finds the jobs that somebody must enqueue: those whose time has come and those whose attempt is lost; and forgets
-- the ended ones whose record has expired. Cancels jobs that went unread for too long, and children of jobs that have ended. One worker at a time does this; its lock is renewed by each call.
-- ARGV: worker, lock TTL in ms, most jobs to take at once, lease in ms, pulse TTL in s; then kind, how many of it may run
--   at once, …
-- Reply: {1 if this worker sweeps, {id, queue, priority, …}}
local worker, limit, now = ARGV[1], ARGV[3], clock()
notice(now)

-- Every worker calls this twice a second, so that one who sweeps and has died is no pause. After one, those who live get
-- a lease's time to renew.
local lease = tonumber(ARGV[4])
if paused(now) then redis.call('SET', KEY.grace, now + lease, 'PX', lease) end
redis.call('SET', KEY.pulse, now + math.floor(lease / 2), 'EX', ARGV[5])

local holder = redis.call('GET', KEY.sweeper)
if holder and holder ~= worker then return {0, {}} end
redis.call('SET', KEY.sweeper, worker, 'PX', ARGV[2])

local found = {}
local function enqueue(id)
  local r = read(id, 'queue', 'priority')
  for _, value in ipairs({id, r[1], r[2]}) do found[#found + 1] = value end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEY.due, '-inf', now, 'LIMIT', 0, limit)) do
  redis.call('ZREM', KEY.due, id)
  local r = read(id, 'queue', 'priority')
  if r[1] then
    redis.call('HDEL', KEY.job .. id, 'due_at')
    enter_queue(id, r[1], r[2], now)
    enqueue(id)
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEY.leases, '-inf', now, 'LIMIT', 0, limit)) do
  if read(id, 'status')[1] ~= 'running' then redis.call('ZREM', KEY.leases, id)
  elseif is_lost(id, now) and lose(id, now, 'if needed') then enqueue(id) end
end
for _, kind in ipairs(redis.call('SMEMBERS', KEY.lines)) do
  for _, id in ipairs(called(kind, limit_of(kind, 6), tonumber(limit))) do enqueue(id) end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEY.unread, '-inf', now, 'LIMIT', 0, limit)) do
  redis.call('ZREM', KEY.unread, id)
  local asked = read(id, 'cancel_requested')[1]
  -- Each API process listens to a job while it has readers of it. One that has just left may have had the last word.
  local heard = redis.call('PUBSUB', KEY.sharded and 'SHARDNUMSUB' or 'NUMSUB', KEY.live .. id)[2] > 0
  if not asked and heard then watched(id, now, 0)
  elseif end_or_ask(id, now, asked or '"abandoned"') == 'unsettled' then redis.call('ZADD', KEY.unread, now + 1000, id) end
end
-- A net: the last child to end wakes whoever waits for it.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEY.waiters, '-inf', now, 'LIMIT', 0, limit)) do
  local group = read(id, 'waiting_for')[1]
  redis.call('ZREM', KEY.waiters, id)
  if group and group ~= 'ready' then
    redis.call('ZADD', KEY.waiters, now + KEY.waiter_ms, id)
    local g = counted_group(group)
    if g.done or g.lacks then wake(id, group, now) end
  end
end
for _, group in ipairs(redis.call('ZRANGE', KEY.abandoned, 0, 0)) do
  local from = tonumber(redis.call('HGET', KEY.group .. group, 'abandoned_upto') or 0)
  local members, settled = redis.call('ZRANGE', KEY.members .. group, from, from + limit - 1), true
  for _, id in ipairs(members) do
    settled = end_or_ask(id, now, '"parent ended"') ~= 'unsettled' and settled
  end
  if settled then redis.call('HSET', KEY.group .. group, 'abandoned_upto', from + #members) end
  if settled and #members < tonumber(limit) then redis.call('ZREM', KEY.abandoned, group) end
end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEY.expiry, '-inf', now, 'LIMIT', 0, limit)) do
  local id, kind, status = string.match(gone, '^(%S+) (%S+) (%S+)$')
  for _, k in ipairs({kind, ''}) do
    redis.call('ZREM', index(k, ''), id)
    redis.call('ZREM', index(k, status), id)
  end
  redis.call('ZREM', KEY.expiry, gone)
end
return {1, found}
