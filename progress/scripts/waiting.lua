-- The jobs that have waited in a queue for a while: whoever sees that the broker has no message asks for them.
-- ARGV: queue, least wait in ms, most jobs to return
-- Reply: {id, queue, priority, …}
local found, now = {}, clock()
for _, id in ipairs(redis.call('ZRANGE', KEY.queue .. ARGV[1], 0, tonumber(ARGV[3]) - 1)) do
  local r = read(id, 'queue', 'priority', 'queued_at')
  if not r[1] then redis.call('ZREM', KEY.queue .. ARGV[1], id)
  elseif now - tonumber(r[3]) >= tonumber(ARGV[2]) then
    redis.call('HSET', KEY.job .. id, 'queued_at', now)
    for _, value in ipairs({id, r[1], r[2]}) do found[#found + 1] = value end
  end
end
return found
