-- One job as people want to see it.
-- ARGV: id
-- Reply: {{field, value, …}, position in its queue from 1 (0: in none), 1 if a worker serves its queue}, or of one that is not
--   there 'gone' | 'unsettled'
local now = clock()
return shown(ARGV[1], now) or missing(now)
