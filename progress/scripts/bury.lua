-- Ends the attempts of processes that are gone: they cannot renew their leases, so nobody waits for these to run out, not
-- even after a pause. A job that another process has taken since is not theirs.
-- ARGV: machine, process, process, …
-- Reply: {id, queue, priority, …}, of the jobs that somebody must enqueue
local machine, gone, found, now = ARGV[1], {}, {}, clock()
notice(now)
-- A crash of Redis may have lost that somebody else has the job.
if unsettled(now) then return found end
for i = 2, #ARGV do
  redis.call('SREM', KEY.holders .. machine, ARGV[i])
  gone[machine .. ' ' .. ARGV[i]] = true
end
for _, id in ipairs(redis.call('ZRANGE', KEY.leases, 0, -1)) do
  local r = read(id, 'status', 'attempt', 'holder', 'queue', 'priority')
  local attempt, holder = string.match(r[3] or '', '^(%d+) (.*)$')
  if r[1] == 'running' and attempt == r[2] and gone[holder] and lose(id, now, 'if needed') then
    for _, value in ipairs({id, r[4], r[5]}) do found[#found + 1] = value end
  end
end
return found
