-- Makes jobs of a queue one step more urgent that have waited at their step for so long, so that nobody waits for ever
-- behind others. They stand behind those that are at the higher step by now.
-- ARGV: queue, how long in ms, most jobs of a step to take at once
-- Reply: {id, queue, priority, …}, of the jobs that somebody must enqueue; the priority is the new one
local queue, found, now = KEY.queue .. ARGV[1], {}, clock()
for step = 1, 9 do
  local from = step * 1e13
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', queue, from, from + now - tonumber(ARGV[2]), 'LIMIT', 0, ARGV[3])) do
    redis.call('ZADD', queue, from - 1e13 + now, id)
    redis.call('HSET', KEY.job .. id, 'queued_at', now)
    for _, value in ipairs({id, ARGV[1], tostring(10 - step)}) do found[#found + 1] = value end
  end
end
return found
