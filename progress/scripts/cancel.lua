-- Asks for a job's end. One that no worker holds ends here; one that runs learns of it from its next append or heartbeat.
-- ARGV: id, reason as JSON; and of what was asked for before, should Redis have lost it in a crash: of an end made here when
--   in epoch ms, the last seq before it and its seq, else 0 each ('' each for a new one)
-- Reply: {'cancelled' | 'requested' | 'again' | 'ended' | 'gone' | 'unsettled', and of an end that was made here the same
--   three, else 0 each}; 'unsettled': Redis has crashed just now, and who has made or holds the job is about to say so
local id, now, again = ARGV[1], clock(), nil
notice(now)
if ARGV[3] ~= '' then again = {ARGV[3], ARGV[4], tonumber(ARGV[5])} end
local answer, made = end_or_ask(id, now, ARGV[2], again)
-- Its holder, once it has written its claim again, ends it as was promised; where there is none: ask again.
if again and answer == 'unsettled' and redis.call('EXISTS', KEY.job .. id) == 1 then
  redis.call('HSETNX', KEY.job .. id, 'cancel_requested', ARGV[2])
end
made = made or {0, 0, 0}
return {answer, tonumber(made[1]), tonumber(made[2]), tonumber(made[3])}
