-- How many jobs of a kind may run at once: shared, as common.lua is. Jobs that are too many stand in a line of their kind, with
-- their place in their queue as the score, until the sweeper calls them: see sweep.lua.

-- How many may run. ARGV from first on: kind, limit, …
local function limit_of(kind, first)
  for i = first, #ARGV, 2 do
    if ARGV[i] == kind then return tonumber(ARGV[i + 1]) end
  end
  return math.huge
end

-- Whether a job has to wait for others of its kind; then it stands in line. It may go where there is room, and nobody more
-- urgent, or older, stands there.
local function stands_back(id, queue, kind, limit)
  local line, score = KEY.line .. kind, redis.call('ZSCORE', KEY.queue .. queue, id)
  local first = redis.call('ZRANGE', line, 0, 0, 'WITHSCORES')
  -- What is due but in no queue yet comes after all of them; the sweeper is about to put it there.
  local is_next = not first[1] or first[1] == id or score and tonumber(score) < tonumber(first[2])
  if redis.call('ZCARD', KEY.index .. kind .. ':running') < limit and is_next then
    redis.call('ZREM', line, id)
    return false
  end
  if score then
    redis.call('ZADD', line, score, id)
    redis.call('SADD', KEY.lines, kind)
    redis.call('HSET', KEY.job .. id, 'in_line', 1)
  end
  return true
end

-- Those of a line that there is room for. Returns their ids; one that has ended or begun meanwhile is not among them.
local function called(kind, limit, most)
  local line, found, now = KEY.line .. kind, {}, clock()
  local room = math.min(most, limit - redis.call('ZCARD', KEY.index .. kind .. ':running'))
  while #found < room do
    local id = redis.call('ZRANGE', line, 0, 0)[1]
    if not id then
      redis.call('SREM', KEY.lines, kind)
      break
    end
    redis.call('ZREM', line, id)
    local queue = redis.call('HGET', KEY.job .. id, 'queue')
    if queue and redis.call('ZSCORE', KEY.queue .. queue, id) then
      redis.call('HDEL', KEY.job .. id, 'in_line')
      redis.call('HSET', KEY.job .. id, 'queued_at', now)
      found[#found + 1] = id
    end
  end
  return found
end

