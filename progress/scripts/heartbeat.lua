-- Renews the leases of attempts that live, also of silent ones, and brings back what they are to know.
-- ARGV: lease in ms, id, attempt, id, attempt, …
-- Reply: for each pair 'ok' | 'cancel' | 'stale' | 'closed' | 'gone'
local replies, now = {}, clock()
for i = 2, #ARGV, 2 do
  local r = read(ARGV[i], 'status', 'attempt', 'cancel_requested')
  local answer
  if not r[1] then answer = 'gone'
  elseif ENDED[r[1]] then answer = 'closed'
  elseif r[1] ~= 'running' or r[2] ~= ARGV[i + 1] then answer = 'stale'
  else
    answer = r[3] and 'cancel' or 'ok'
    redis.call('ZADD', KEY.leases, now + tonumber(ARGV[1]), ARGV[i])
  end
  replies[#replies + 1] = answer
end
return replies
