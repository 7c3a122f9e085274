-- Renews the leases of attempts that live, also of silent ones, and brings back what they are to know.
-- ARGV: lease in ms, then for each attempt: id, attempt, claim, number of its last append that was answered
-- Reply: for each attempt 'ok' | 'cancel' | 'stale' | 'closed' | 'gone' | 'behind', as append.lua would answer the next one
local replies, now = {}, clock()
local server = notice(now)
for i = 2, #ARGV, 4 do
  local id = ARGV[i]
  local r = held(id)
  local answer = refuse(r, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3] + 1)
  -- The next one is written already, and its answer on the way.
  if answer == 'seen' then answer = ENDED[r.status] and 'closed' or (r.status ~= 'running' or r.waiting_for) and 'stale' or nil end
  if not answer then
    answer = r.cancel_requested and 'cancel' or 'ok'
    -- It lives, whatever was lost before; but only its next write can leave room.
    local doubt = doubtful(id, r, now)
    redis.call('ZADD', KEY.leases, now + tonumber(ARGV[1]), id)
    -- Its holder has all that it ever wrote: nothing of this job was lost, or it is there again.
    if doubt then redis.call('HSET', KEY.job .. id, 'doubted', ARGV[i + 1])
    elseif r.server ~= server then redis.call('HSET', KEY.job .. id, 'server', server) end
  end
  replies[#replies + 1] = answer
end
return replies
