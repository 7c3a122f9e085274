-- Takes deliveries that are due: of ended jobs, to their webhooks. Each is due again when its lease is over, so whoever has
-- taken it and dies loses none.
-- ARGV: lease in ms, most to take
-- Reply: {id, claim, tries that came to an end, ms since it was first due, …}; a claim is the epoch ms at which its lease ends
local now, found = clock(), {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEY.deliveries, '-inf', now, 'LIMIT', 0, ARGV[2])) do
  local r = read(id, 'finished_at', 'tries', 'deliver_from')
  if not r[1] then redis.call('ZREM', KEY.deliveries, id)
  else
    local claim = now + tonumber(ARGV[1])
    redis.call('ZADD', KEY.deliveries, claim, id)
    for _, value in ipairs({id, claim, r[2] or 0, math.max(0, now - tonumber(r[3] or r[1]))}) do
      found[#found + 1] = value
    end
  end
end
return found
