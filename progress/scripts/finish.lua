-- Ends an attempt: the job has succeeded, failed, been cancelled, or is to be tried again.
-- ARGV: id, attempt, number of this append, outcome, result or error as JSON ('' for none), delay in ms (retrying)
-- Outcome: 'succeeded' | 'failed' | 'cancelled' | 'retrying' | 'released' (handed back by a worker that stops: as
-- 'retrying', at once, and not counted). A cancel that was accepted before wins, as whoever asked was told so; a last
-- attempt that asks for another one has failed.
-- Reply: {status | 'stale' | 'closed' | 'gone', last seq}
local id, attempt, outcome, value = ARGV[1], ARGV[2], ARGV[4], ARGV[5]
local why = refuse(id, attempt, ARGV[3])
if why == 'seen' then
  local r = read(id, 'append_outcome', 'append_seq')
  return {r[1] or 'stale', tonumber(r[2])}
end
if why then return {why, 0} end

local r = read(id, 'cancel_requested', 'max_attempts', 'kind', 'status', 'handed_back')
local now, seq = clock(), 0
if r[1] then outcome = 'cancelled' end
if outcome == 'released' then
  redis.call('HINCRBY', KEY.job .. id, 'handed_back', 1)
  outcome = 'retrying'
elseif outcome == 'retrying' and counted(attempt, r[5]) >= tonumber(r[2]) then
  outcome = 'failed'
end
redis.call('HSET', KEY.job .. id, 'append_number', ARGV[3], 'append_outcome', outcome)

if outcome == 'retrying' then
  local delay = tonumber(ARGV[6])
  seq = write(id, now, attempt, {'retrying', '"delay_s":' .. (delay / 1000) .. ',"error":' .. value})
  set_status(id, r[3], r[4], 'retrying')
  redis.call('ZREM', KEY.leases, id)
  redis.call('HSET', KEY.job .. id, 'error', value, 'due_at', now + delay)
  redis.call('ZADD', KEY.due, now + delay, id)
elseif outcome == 'succeeded' then
  redis.call('HSET', KEY.job .. id, 'result', value)
  redis.call('HDEL', KEY.job .. id, 'error')
  seq = finish(id, now, attempt, outcome, '"result":' .. value)
elseif outcome == 'failed' then
  redis.call('HSET', KEY.job .. id, 'error', value)
  seq = finish(id, now, attempt, outcome, '"error":' .. value)
else
  -- An error that a cancel has overtaken is nobody's result.
  if value ~= '' and (ARGV[4] == 'succeeded' or ARGV[4] == 'cancelled') then redis.call('HSET', KEY.job .. id, 'result', value) end
  redis.call('HDEL', KEY.job .. id, 'error')
  seq = finish(id, now, attempt, outcome, '"reason":' .. (r[1] or '"requested"'))
end
redis.call('HSET', KEY.job .. id, 'append_seq', seq)
return {outcome, seq}
