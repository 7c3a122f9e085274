-- Schedules, the next one first.
-- ARGV: id ('' for all), 1 for those only that are due, most
-- Reply: {epoch ms now, {{field, value, …}, …}}
local now, found, ids = clock(), {}, {ARGV[1]}
if ARGV[1] == '' then
  ids = redis.call('ZRANGEBYSCORE', KEY.schedules, '-inf', ARGV[2] == '1' and now or '+inf', 'LIMIT', 0, ARGV[3])
end
for _, id in ipairs(ids) do
  local flat = redis.call('HGETALL', KEY.schedule .. id)
  if #flat > 0 then found[#found + 1] = flat end
end
return {now, found}
