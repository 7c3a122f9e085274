-- Asks for a job's end. One that no worker holds ends here; one that runs learns of it from its next append or heartbeat.
-- ARGV: id, reason as JSON; and of what was asked for before, should Redis have lost it in a crash: when in epoch ms, and
--   the answer ('' each for a new one)
-- Reply: {'cancelled' | 'requested' | 'again' | 'ended' | 'gone' | 'unsettled', when it was asked for in epoch ms}
local id, now, at = ARGV[1], clock(), tonumber(ARGV[3])
notice(now)
if ARGV[4] == 'requested' then
  -- Its holder may not have written its claim again yet: it ends the job, as it has promised readers.
  if redis.call('EXISTS', KEY.job .. id) == 1 then redis.call('HSETNX', KEY.job .. id, 'cancel_requested', ARGV[2]) end
  return {ARGV[4], at}
end
local answer = cancel(id, now, ARGV[2], at)
return {answer == 'gone' and missing(now) or answer, at or now}
