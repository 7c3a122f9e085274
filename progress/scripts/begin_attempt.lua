-- Gives a job to one attempt, so that any message for it may come twice.
-- ARGV: id, worker, lease in ms, a name of this claim alone, worker as JSON, its machine and process ('': unknown); and of
--   one that was granted before, should Redis have lost it in a crash: attempt, last seq before it and with it, when it
--   was granted in epoch ms ('' for none); then kind, how many of it may run at once, …
-- Reply: {'ok', attempt, seq, {field, value, …}} or {'gone' | 'ended' | 'held' | 'early' | 'full' | 'unsettled' | 'stale'}
-- 'unsettled': Redis has crashed just now, and who has made or holds the job is about to say so; ask again
local id, now = ARGV[1], clock()
local server = notice(now)
local before, again = ARGV[9], ARGV[11] ~= ''
local r = read(id, 'status', 'attempt', 'queue', 'kind', 'checkpoint_seq', 'due_at', 'started_at', 'claim', 'last_seq',
  'server', 'waiting_for')
if not r[1] then return {again and 'gone' or missing(now)} end
-- The reply to it was lost, or nothing was: it is the same claim.
if r[1] == 'running' and r[8] == ARGV[4] then
  return {'ok', tonumber(r[2]), tonumber(r[9]), redis.call('HGETALL', KEY.job .. id)}
end
local function redelivered(answer)
  if not again then count(now, 'redelivered ' .. r[4] .. ' ' .. answer, 1) end
  return {answer}
end
if ENDED[r[1]] then return redelivered('ended') end
-- It waits for its children, or they have ended and it goes on: nobody holds it.
local waits = r[1] == 'running' and r[11]
if again then
  -- Only what was lost is written again, and only where nobody has gone on from there.
  if tonumber(r[2]) + 1 ~= tonumber(ARGV[8]) or r[9] ~= before then return {'stale'} end
  now = tonumber(ARGV[11])
elseif (r[1] ~= 'running' or waits) and r[10] ~= server and unsettled(now) then
  return {'unsettled'}
end
if waits and waits ~= 'ready' and not again then return {'early'} end
if not again then before = r[9] end
-- One event is written, or two; where there was room left the same room is left again.
local leave = 'if needed'
if again then
  local last = tonumber(ARGV[10]) - (r[1] == 'running' and not waits and 2 or 1)
  leave = last > tonumber(before) and last
end
if r[1] == 'running' and not waits then
  -- After a pause a message is here before its holder has had the time to renew: the sweeper will know who lives.
  if not again and (paused(now) or not is_lost(id, now)) then return redelivered('held') end
  if not lose(id, now, leave) then return {'ended'} end
  r = read(id, 'status', 'attempt', 'queue', 'kind', 'checkpoint_seq', 'due_at', 'started_at')
  leave = false
end
if not again and r[6] and tonumber(r[6]) > now then return {'early'} end
-- One that goes on after its children counts already.
local most = (again or waits) and math.huge or limit_of(r[4], 12)
if most < math.huge and stands_back(id, r[3], r[4], most) then return {'full'} end

local attempt = tonumber(r[2]) + 1
local follows = leave_room(id, now, leave)
redis.call('HSET', KEY.job .. id, 'attempt', attempt, 'worker', ARGV[2], 'claim', ARGV[4], 'append_number', 0,
  'begun_after', before, 'begun_at', now)
redis.call('HDEL', KEY.job .. id, 'due_at', 'append_outcome', 'waiting_for', 'in_line')
if not r[7] then redis.call('HSET', KEY.job .. id, 'started_at', now) end
local seq = write(id, now, attempt, {'started', '"worker":' .. ARGV[5] .. ',"rollback_to":' .. r[5] .. follows})
if attempt > 1 then
  local voids = read(id, 'voids')[1] or ''
  redis.call('HSET', KEY.job .. id, 'voids', voids .. r[5] .. '-' .. seq .. ',')
end
set_status(id, r[4], r[1], 'running')
local score = redis.call('ZSCORE', KEY.queue .. r[3], id)
-- Since it has entered the queue, or since its time has come.
local since = tonumber(score and read(id, 'entered_at')[1] or r[6] or now)
observe(now, 'wait', r[4], math.max(0, now - since), KEY.durations)
-- Whoever has waited before this one for a while has lost its message: see waiting.lua.
if tonumber(redis.call('ZRANK', KEY.queue .. r[3], id) or 0) > 0 then
  redis.call('SET', KEY.passed .. r[3], score .. ' ' .. now, 'EX', KEY.passed_ttl_s)
end
redis.call('ZREM', KEY.queue .. r[3], id)
redis.call('ZREM', KEY.due, id)
redis.call('ZADD', KEY.leases, now + tonumber(ARGV[3]), id)
-- See bury.lua.
redis.call('HSET', KEY.job .. id, 'holder', attempt .. ' ' .. ARGV[6] .. ' ' .. ARGV[7])
if ARGV[6] ~= '' then
  redis.call('SADD', KEY.holders .. ARGV[6], ARGV[7])
  redis.call('EXPIRE', KEY.holders .. ARGV[6], KEY.holders_ttl_s)
end
return {'ok', attempt, seq, redis.call('HGETALL', KEY.job .. id)}
