-- What has been counted, for people and for Prometheus.
-- ARGV: how many parts of the last hour, kind, kind, …
-- Reply: {since ever {field, count, …}, {the same of each part, the newest first}, {kind, queued, running, retrying, …} jobs,
--   how many wait for their time, epoch ms}
local now, parts, jobs = clock(), {}, {}
for back = 0, tonumber(ARGV[1]) - 1 do
  parts[#parts + 1] = redis.call('HGETALL', KEY.figures_part .. math.floor(now / KEY.figures_part_ms) - back)
end
for i = 2, #ARGV do
  jobs[#jobs + 1] = ARGV[i]
  for _, status in ipairs({'queued', 'running', 'retrying'}) do
    jobs[#jobs + 1] = redis.call('ZCARD', index(ARGV[i], status))
  end
end
return {redis.call('HGETALL', KEY.figures), parts, jobs, redis.call('ZCARD', KEY.due), now}
