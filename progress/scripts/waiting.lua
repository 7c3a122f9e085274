-- The jobs that have waited in a queue for a while and must have lost their message: the broker has none at all, or one
-- behind them has begun although they had waited for as long already. Their wait begins anew.
-- ARGV: queue, least wait in ms, 1 if the broker has no message for the queue, most jobs to look at
-- Reply: {id, queue, priority, …}
local queue, least, found, now = KEY.queue .. ARGV[1], tonumber(ARGV[2]), {}, clock()
local score, at = string.match(redis.call('GET', KEY.passed .. ARGV[1]) or '0 0', '^(%S+) (%S+)$')
local from, looked, limit = 0, 0, tonumber(ARGV[4])

local function look(id, place)
  local r = read(id, 'queue', 'queued_at', 'in_line')
  -- Those that stand in line have no message, and are called.
  if r[3] then return end
  looked = looked + 1
  local function passed()
    return tonumber(place) < tonumber(score) and tonumber(at) - tonumber(r[2]) >= least
  end
  if not r[1] then redis.call('ZREM', queue, id)
  elseif now - tonumber(r[2]) >= least and (ARGV[3] == '1' or passed()) then
    redis.call('HSET', KEY.job .. id, 'queued_at', now)
    -- As urgent as it has become: see age.lua.
    for _, value in ipairs({id, r[1], tostring(9 - math.floor(place / 1e13))}) do found[#found + 1] = value end
  end
end

while looked < limit and from < 20 * limit do
  local ranked = redis.call('ZRANGE', queue, from, from + limit - 1, 'WITHSCORES')
  if #ranked == 0 then break end
  for i = 1, #ranked, 2 do
    if looked < limit then look(ranked[i], ranked[i + 1]) end
  end
  from = from + limit
end
return found
