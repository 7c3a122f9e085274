-- Notes that jobs are being read, for those that are to be cancelled when nobody does.
-- ARGV: slack in ms, on top of the time that each may go unread; id, id, …
-- Reply: 1
local now = clock()
for i = 2, #ARGV do watched(ARGV[i], now, tonumber(ARGV[1])) end
return 1
