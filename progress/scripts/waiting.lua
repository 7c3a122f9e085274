-- The jobs that have waited in a queue for a while and must have lost their message: the broker has none at all, or one
-- behind them has begun although they had waited for as long already. Their wait begins anew.
-- ARGV: queue, least wait in ms, 1 if the broker has no message for the queue, most jobs to look at
-- Reply: {id, queue, priority, …}
local queue, least, found, now = KEY.queue .. ARGV[1], tonumber(ARGV[2]), {}, clock()
local score, at = string.match(redis.call('GET', KEY.passed .. ARGV[1]) or '0 0', '^(%S+) (%S+)$')
local ranked = redis.call('ZRANGE', queue, 0, tonumber(ARGV[4]) - 1, 'WITHSCORES')
for i = 1, #ranked, 2 do
  local id = ranked[i]
  local r = read(id, 'queue', 'queued_at')
  local function passed()
    return tonumber(ranked[i + 1]) < tonumber(score) and tonumber(at) - tonumber(r[2]) >= least
  end
  if not r[1] then redis.call('ZREM', queue, id)
  elseif now - tonumber(r[2]) >= least and (ARGV[3] == '1' or passed()) then
    redis.call('HSET', KEY.job .. id, 'queued_at', now)
    -- As urgent as it has become: see age.lua.
    local priority = 9 - math.floor(ranked[i + 1] / 1e13)
    for _, value in ipairs({id, r[1], tostring(priority)}) do found[#found + 1] = value end
  end
end
return found
