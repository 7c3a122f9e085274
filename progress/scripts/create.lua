-- Makes a job: its record, event 1 (`queued`), its place in queue and lists.
-- ARGV: id, idempotency key ('' for none), fingerprint, idempotency TTL in s, delay in ms,
--   inside of event 1, when it was made before, should Redis have lost it in a crash (epoch ms; '' for now), field, value, …
-- Reply: {'created' | 'existing' | 'conflict', the job, as read_job.lua shows it but without its input, which may be large}, or
--   {'deleted'}: it is not made again
local id, idem, fingerprint, now = ARGV[1], ARGV[2], ARGV[3], clock()
local server = notice(now)
local again = ARGV[7] ~= ''
local function made(outcome, job)
  local view = shown(job, clock())
  for i = 1, #view[1], 2 do
    if view[1][i] == 'input' then view[1][i + 1] = '' end
  end
  return {outcome, view}
end
if idem ~= '' then
  local held = redis.call('GET', KEY.idem .. idem)
  if held then
    local owner, print = string.match(held, '^(%S+) (%S+)$')
    -- A job that was deleted or has expired no longer holds its key.
    if redis.call('EXISTS', KEY.job .. owner) == 1 then
      -- The API sends the same id again when a reply was lost.
      local fresh = owner == id and 'created' or 'existing'
      if owner == id or not again then return made(print == fingerprint and fresh or 'conflict', owner) end
      -- Another one has been made under the key since: this one comes back without it.
      idem = ''
    end
  end
end
if redis.call('EXISTS', KEY.job .. id) == 1 then return made('created', id) end

if again and redis.call('EXISTS', KEY.deleted .. id) == 1 then return {'deleted'} end
-- Of one that is made again more may have been lost: no server is known to have all of it.
if again then now, server = tonumber(ARGV[7]), '' end
local delay = tonumber(ARGV[5])
redis.call('HSET', KEY.job .. id, 'id', id, 'status', 'queued', 'attempt', '0', 'last_seq', '0', 'append_number', '0',
  'append_seq', '0', 'checkpoint_seq', '0', 'created_at', now, 'server', server, unpack(ARGV, 8))
local r = read(id, 'kind', 'queue', 'priority', 'group', 'member', 'parent')
for _, k in ipairs({r[1], ''}) do
  redis.call('ZADD', index(k, ''), 0, id)
  redis.call('ZADD', index(k, 'queued'), 0, id)
end
write(id, now, 0, {'queued', ARGV[6]})
if r[4] then
  redis.call('ZADD', KEY.members .. r[4], r[5], id)
  goes_with(KEY.members, r[4])
  count_in_group(r[4], id, r[1], '', 'queued')
  -- Whoever has asked for it may not know yet that it has lost its job, and that this has ended since.
  local parent = r[6] and read(r[6], 'status')[1]
  if parent == 'failed' or parent == 'cancelled' then
    redis.call('HDEL', KEY.group .. r[4], 'abandoned_upto')
    redis.call('ZADD', KEY.abandoned, now, r[4])
  end
end
if delay > 0 then
  redis.call('HSET', KEY.job .. id, 'due_at', now + delay)
  redis.call('ZADD', KEY.due, now + delay, id)
else
  enter_queue(id, r[2], r[3], now)
end
watched(id, now, 0)
count(now, 'submitted ' .. r[1] .. ' ', 1)
if idem ~= '' then redis.call('SET', KEY.idem .. idem, id .. ' ' .. fingerprint, 'EX', ARGV[4]) end
return made('created', id)
