-- Ends an attempt: the job has succeeded, failed, been cancelled, or is to be tried again.
-- ARGV: id, attempt, claim, number of this append, outcome, result or error as JSON ('' for none), delay in ms (retrying),
--   when it came in epoch ms ('' for now); and of an end that Redis has lost in a crash: the room that it left, and the
--   reason as JSON ('' for a new one); how many pieces of text the attempt has published, and
--   when the first of them was written ('' for none)
-- Outcome: 'succeeded' | 'failed' | 'cancelled' | 'retrying' | 'released' (handed back by a worker that stops: as
-- 'retrying', at once, and not counted) | 'waiting' (for the group that the value names: the job stays as it is, nobody
-- holds it, and once all of the group has ended it goes on with another attempt; not counted). A cancel that was accepted
-- before wins, as whoever asked was told so; a last attempt that asks for another one has failed.
-- Reply: {status | 'stale' | 'closed' | 'gone' | 'behind' | 'unsettled', last seq, when it came in epoch ms, reason as JSON
--   or '', up to which seq room was left before it or 0}; see append.lua
local id, attempt, outcome, value = ARGV[1], ARGV[2], ARGV[5], ARGV[6]
local before = held(id)
local why = refuse(before, attempt, ARGV[3], ARGV[4])
if why == 'seen' then
  local r = read(id, 'append_outcome', 'append_seq', 'append_at', 'cancel_requested', 'append_room')
  return {r[1] or 'stale', tonumber(r[2]), tonumber(r[3] or 0), r[4] or '', tonumber(r[5] or 0)}
end
if why then return {why, 0, 0, '', 0} end
local leave = goes_on(id, before, clock(), ARGV[9])
if leave == 'unsettled' then return {leave, 0, 0, '', 0} end

local r = read(id, 'cancel_requested', 'max_attempts', 'kind', 'status', 'handed_back', 'begun_at')
local seq, reason, now = 0, r[1], tonumber(ARGV[8]) or clock()
local again, follows, room = ARGV[9] ~= '', '', 0
-- What readers have seen once is what happened, whoever has asked for what since.
if again then reason = ARGV[10] ~= '' and ARGV[10]
elseif reason then outcome = 'cancelled' end
-- Waiting is no event: who writes the next one leaves the room.
if outcome ~= 'waiting' then follows, room = leave_room(id, clock(), leave) end
if outcome == 'released' then
  redis.call('HINCRBY', KEY.job .. id, 'handed_back', 1)
  outcome = 'retrying'
elseif not again and outcome == 'retrying' and counted(attempt, r[5]) >= tonumber(r[2]) then
  outcome = 'failed'
end
redis.call('HSET', KEY.job .. id, 'append_number', ARGV[4], 'append_outcome', outcome, 'append_at', now, 'append_room', room)

local begun, tokens, first_at = tonumber(r[6] or now), tonumber(ARGV[11]), tonumber(ARGV[12])
observe(now, 'run', r[3], math.max(0, now - begun), KEY.durations)
if first_at then
  count(now, 'tokens ' .. r[3] .. ' ', tokens)
  observe(now, 'first_token', r[3], math.max(0, first_at - begun), KEY.durations)
  -- The first one comes when the time of the others begins.
  if tokens > 1 and now > first_at then
    observe(now, 'speed', r[3], math.floor((tokens - 1) * 1e6 / (now - first_at)), KEY.speeds)
  end
end
-- Whoever has opened the group may have done so before its parent was there again.
if ARGV[5] == 'waiting' then redis.call('HSET', KEY.job .. id, 'opened', value) end
-- Of a job that goes on.
local function after_a_crash()
  -- First sent to a server that has crashed since, it may have been written there, and others have gone on from it.
  if now <= tonumber(redis.call('GET', KEY.doubt) or 0) then redis.call('HSET', KEY.job .. id, 'server', '') end
  -- A cancel that came between the crash and this: the next attempt may be about to say that it has the job.
  if again and r[1] then redis.call('ZADD', KEY.unread, clock() + KEY.settle_ms, id) end
end
if outcome == 'waiting' then
  seq = tonumber(before.last_seq)
  redis.call('HINCRBY', KEY.job .. id, 'handed_back', 1)
  redis.call('HSET', KEY.job .. id, 'waiting_for', value)
  redis.call('ZREM', KEY.leases, id)
  redis.call('ZADD', KEY.waiters, now + KEY.waiter_ms, id)
  after_a_crash()
  -- They have ended meanwhile, or a crash of Redis has lost some of them: then the job makes them again.
  local g = counted_group(value)
  tell_parent_all(value, g, now)
  if g.done or g.lacks then wake(id, value, now) end
elseif outcome == 'retrying' then
  count(now, 'retried ' .. r[3] .. ' ' .. code_of(value), 1)
  local delay = tonumber(ARGV[7])
  seq = write(id, now, attempt, {'retrying', '"delay_s":' .. (delay / 1000) .. ',"error":' .. value .. follows})
  set_status(id, r[3], r[4], 'retrying')
  redis.call('ZREM', KEY.leases, id)
  redis.call('HSET', KEY.job .. id, 'error', value, 'due_at', now + delay)
  redis.call('ZADD', KEY.due, now + delay, id)
  after_a_crash()
elseif outcome == 'succeeded' then
  redis.call('HSET', KEY.job .. id, 'result', value)
  redis.call('HDEL', KEY.job .. id, 'error')
  seq = finish(id, now, attempt, outcome, '"result":' .. value .. follows)
elseif outcome == 'failed' then
  redis.call('HSET', KEY.job .. id, 'error', value)
  seq = finish(id, now, attempt, outcome, '"error":' .. value .. follows)
else
  -- An error that a cancel has overtaken is nobody's result.
  if value ~= '' and (ARGV[5] == 'succeeded' or ARGV[5] == 'cancelled') then redis.call('HSET', KEY.job .. id, 'result', value) end
  redis.call('HDEL', KEY.job .. id, 'error')
  seq = finish(id, now, attempt, outcome, '"reason":' .. (reason or '"requested"') .. follows)
end
redis.call('HSET', KEY.job .. id, 'append_seq', seq)
return {outcome, seq, now, reason or '', room}
