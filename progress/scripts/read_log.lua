-- Events of a log after a position, with where the log ends: one step, so that the two agree.
-- ARGV: id, position, most events, most bytes (of events, beyond the first)
-- Reply: {last seq (-1: no such job, -2: it may come back), 1 if the job has ended, {event, …}, {seq, …}, 1 if it is cancelled when unread};
--   the second list are the positions up to which text was kept, or will be if the attempt is lost
local id, after, left, bytes = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local r = read(id, 'last_seq', 'status', 'checkpoint_seq', 'voids', 'cancel_after_s')
if not r[1] then return {missing(clock()) == 'gone' and -1 or -2, 0, {}, {}, 0} end
local cuts = {tonumber(r[3])}
for seq in string.gmatch(r[4] or '', '(%d+)%-') do cuts[#cuts + 1] = tonumber(seq) end
local events, from = {}, '(' .. after .. '-0'
while left > 0 and bytes > 0 do
  -- By the piece, since a few events may already be as large as a page.
  local entries = redis.call('XRANGE', KEY.log .. id, from, '+', 'COUNT', math.min(left, 64))
  for _, entry in ipairs(entries) do
    if bytes <= 0 then break end
    events[#events + 1] = entry[2][2]
    bytes, left, from = bytes - #entry[2][2], left - 1, '(' .. entry[1]
  end
  if #entries < 64 then break end
end
return {tonumber(r[1]), ENDED[r[2]] and 1 or 0, events, cuts, r[5] and 1 or 0}
