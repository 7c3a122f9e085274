-- Asks for a job's end. One that no worker holds ends here; one that runs learns of it from its next append or heartbeat.
-- ARGV: id, reason as JSON
-- Reply: 'cancelled' | 'requested' | 'again' | 'ended' | 'gone'
return cancel(ARGV[1], clock(), ARGV[2])
