-- What scripts share about groups: a batch, or the children of one step of a job. See open_group.lua.

-- The counters of a group by their names, in one step.
local function counted_group(group)
  local r = redis.call('HMGET', KEY.group .. group, 'expected', 'total', 'ended', 'parent', 'base', 'span', 'step', 'told_at',
    'queued', 'running', 'retrying', 'succeeded', 'failed', 'cancelled')
  local g = {expected = tonumber(r[1] or 0), total = tonumber(r[2] or 0), ended = tonumber(r[3] or 0), parent = r[4],
    base = tonumber(r[5] or 0), span = tonumber(r[6] or 1), step = r[7], told_at = tonumber(r[8] or 0), states = {}}
  for i, status in ipairs({'queued', 'running', 'retrying', 'succeeded', 'failed', 'cancelled'}) do
    g.states[i] = '"' .. status .. '":' .. (r[8 + i] or 0)
  end
  g.done = g.ended >= g.expected and g.ended >= g.total
  -- A crash has lost some of its jobs, or all that is known of it but those who were made since.
  g.lacks = g.total < g.expected or g.expected == 0
  return g
end

-- The job that waits for a group goes on: all of it has ended.
local function wake(id, group, now)
  local r = read(id, 'status', 'waiting_for')
  if r[1] ~= 'running' or r[2] ~= group then return end
  redis.call('HSET', KEY.job .. id, 'waiting_for', 'ready')
  redis.call('ZREM', KEY.waiters, id)
  redis.call('ZADD', KEY.due, now, id)
end

-- Tells the log of a job that waits for a group how that is: each change of a small one, of a large one some.
local function tell_parent(group, g, now, id, kind, status, member)
  local r = read(g.parent, 'status', 'waiting_for', 'attempt', 'server')
  if r[1] ~= 'running' or r[2] ~= group then return end
  -- After a crash those come first who have written more to its log than there is now.
  if r[4] ~= redis.call('GET', KEY.server) and unsettled(now) then return end
  if g.expected > tonumber(KEY.small_group) and not g.done and now - g.told_at < 250 then return end
  redis.call('HSET', KEY.group .. group, 'told_at', now)
  local fraction = g.base + g.span * g.ended / math.max(1, g.expected)
  local fields = string.format('"fraction":%.6g,"step":%s,"current":%d,"total":%d', fraction, g.step, g.ended, g.expected)
  redis.call('HSET', KEY.job .. g.parent, 'progress', '{' .. fields .. '}')
  local more = ',"children":{' .. table.concat(g.states, ',') .. '},"child":{"job":"' .. id .. '","kind":"' .. kind
    .. '","status":"' .. status .. '","index":' .. member .. '}'
  write(g.parent, now, r[3], {'progress', fields .. more .. leave_room(g.parent, now, 'if needed')})
end

-- The same for all that has happened before it waited.
local function tell_parent_all(group, g, now)
  for _, id in ipairs(redis.call('ZRANGE', KEY.members .. group, 0, KEY.small_group - 1)) do
    local r = read(id, 'kind', 'status', 'member')
    if r[1] and r[2] ~= 'queued' then tell_parent(group, g, now, id, r[1], r[2], r[3]) end
  end
end

-- What belongs to a group goes with it; it is younger than what open_group.lua has said of that.
local function goes_with(kept, group)
  local left = redis.call('PTTL', KEY.group .. group)
  if left > 0 then redis.call('PEXPIRE', kept .. group, left) end
end

-- A job of a group has another status: however many there are, this costs the same.
local function count_in_group(group, id, kind, from, to)
  local key, now = KEY.group .. group, clock()
  if from ~= '' then redis.call('HINCRBY', key, from, -1) end
  redis.call('HINCRBY', key, to, 1)
  redis.call('HINCRBY', key, 'revision', 1)
  if from == '' then redis.call('HINCRBY', key, 'total', 1) end
  local r = read(id, 'error', 'result_ttl_s', 'member')
  if ENDED[to] then redis.call('HINCRBY', key, 'ended', 1) end
  if to == 'failed' and redis.call('LLEN', KEY.failures .. group) < tonumber(KEY.most_failures) then
    redis.call('RPUSH', KEY.failures .. group, '{"job":"' .. id .. '","kind":"' .. kind .. '","error":' .. (r[1] or 'null') .. '}')
    goes_with(KEY.failures, group)
  end
  local g = counted_group(group)
  if g.parent then tell_parent(group, g, now, id, kind, to, r[3]) end
  if g.done and ENDED[to] then
    redis.call('HSET', key, 'finished_at', now)
    for _, kept in ipairs({KEY.group, KEY.members, KEY.failures}) do redis.call('EXPIRE', kept .. group, r[2]) end
    if g.parent then wake(g.parent, group, now) end
  end
end
