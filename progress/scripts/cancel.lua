-- Asks for a job's end. One that no worker holds ends here; one that runs learns of it from its next append or heartbeat.
-- ARGV: id, reason as JSON, when it was asked for before, should Redis have lost that in a crash (epoch ms; '' for now)
-- Reply: {'cancelled' | 'requested' | 'again' | 'ended' | 'gone', when it was asked for in epoch ms}
local now = clock()
notice(now)
local at = tonumber(ARGV[3])
return {cancel(ARGV[1], now, ARGV[2], at), at or now}
