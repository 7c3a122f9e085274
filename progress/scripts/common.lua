-- What scripts share. Each gets what it uses of this, and the words of progress/keys.py for KEY (progress/commands/source.py).
-- Redis's own clock decides everywhere: the clocks of workers may differ.

local function clock()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

-- Epoch milliseconds as RFC 3339 in UTC. Redis's Lua has no os.date; the days-to-date part is
-- Howard Hinnant's civil_from_days. Events of one call are nearly always of one second: its text is kept.
local second, shown_second
local function rfc3339(ms)
  local s = math.floor(ms / 1000)
  if s ~= second then
    local z = math.floor(s / 86400) + 719468
    local rest = s % 86400
    local era = math.floor(z / 146097)
    local doe = z - era * 146097
    local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
    local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
    local mp = math.floor((5 * doy + 2) / 153)
    local month = mp < 10 and mp + 3 or mp - 9
    local year = yoe + era * 400 + (month <= 2 and 1 or 0)
    second, shown_second = s, string.format('%04d-%02d-%02dT%02d:%02d:%02d.', year, month,
      doy - math.floor((153 * mp + 2) / 5) + 1, math.floor(rest / 3600), math.floor(rest / 60) % 60, rest % 60)
  end
  return shown_second .. string.format('%03dZ', ms % 1000)
end

-- Which server this is, and whether it is another one than before: Redis has been restarted, or a replica has taken over,
-- and either may have lost the last writes. Those who made them write them again (progress/unsynced.py); until they
-- have had the time to, nobody else takes their jobs. Returns a name of the server.
local function notice(now)
  local server = string.match(redis.call('INFO', 'server'), 'run_id:(%x%x%x%x%x%x%x%x)')
  local known, alive = redis.call('GET', KEY.server), tonumber(redis.call('GET', KEY.alive))
  if known ~= server then
    redis.call('SET', KEY.server, server)
    if known then
      redis.call('SET', KEY.unsettled, now + KEY.settle_ms, 'PX', KEY.settle_ms)
      -- The last signs of its life are lost as well.
      redis.call('SET', KEY.doubt, math.min(now, (alive or now) + KEY.alive_ms + KEY.settle_ms))
    end
  end
  if known ~= server or not alive or now - alive >= tonumber(KEY.alive_ms) then redis.call('SET', KEY.alive, now) end
  return server
end

local function unsettled(now)
  return tonumber(redis.call('GET', KEY.unsettled) or 0) > now
end

-- What is to be said of a job that is not there: after a crash it may come back at any moment.
local function missing(now)
  notice(now)
  return unsettled(now) and 'unsettled' or 'gone'
end

-- In a cluster a message goes to the one shard that has the job, where the servers know how.
local PUBLISH = KEY.sharded and 'SPUBLISH' or 'PUBLISH'

local ENDED = {succeeded = true, failed = true, cancelled = true}
-- What lists want to hear of; the result itself is for those who follow the job.
local ACTIVITY = {queued = true, started = true, progress = true, retrying = true,
  succeeded = true, failed = true, cancelled = true}

local function read(id, ...)
  return redis.call('HMGET', KEY.job .. id, ...)
end

-- What decides whether an attempt may write, and what it writes with: fields of a record by their names, in one step.
local function held(id)
  local r = read(id, 'status', 'attempt', 'claim', 'append_number', 'cancel_requested', 'doubted', 'server', 'last_seq',
    'max_events', 'kind', 'waiting_for')
  return {status = r[1], attempt = r[2], claim = r[3], append_number = r[4], cancel_requested = r[5], doubted = r[6],
    server = r[7], last_seq = r[8], max_events = r[9], kind = r[10], waiting_for = r[11]}
end

-- A job as people want to see it: {{field, value, …}, position in its queue from 1 (0: in none), 1 if a worker serves
-- its queue, its score in the queue or ''}; nil where there is none.
local function shown(id, now)
  local record = redis.call('HGETALL', KEY.job .. id)
  if #record == 0 then return nil end
  local queue = read(id, 'queue')[1]
  local rank = redis.call('ZRANK', KEY.queue .. queue, id)
  local served = redis.call('ZCOUNT', KEY.workers .. queue, now, '+inf')
  return {record, rank and rank + 1 or 0, served > 0 and 1 or 0, rank and redis.call('ZSCORE', KEY.queue .. queue, id) or ''}
end

local function index(kind, status)
  return KEY.index .. kind .. ':' .. status
end

local function set_status(id, kind, from, to)
  redis.call('HSET', KEY.job .. id, 'status', to)
  if from == to then return end
  for _, k in ipairs({kind, ''}) do
    redis.call('ZREM', index(k, from), id)
    redis.call('ZADD', index(k, to), 0, id)
  end
  local group = read(id, 'group')[1]
  if group then count_in_group(group, id, kind, from, to) end
end

-- Appends events and tells whoever listens. drafts: {type, fields, type, fields, …}, fields being the
-- inside of a JSON object. A draft of type 'checkpoint' is no event: its fields are the state that the next attempt
-- gets, and the text up to here stays. seq is the last one before; the caller notes the last one now, which is returned.
local function put(id, now, attempt, drafts, seq, max_events, kind)
  local lines = {}
  local rest = '","attempt":' .. attempt .. ',"at":"' .. rfc3339(now) .. '"'
  local function checkpoint(state)
    redis.call('HSET', KEY.job .. id, 'checkpoint', state, 'checkpoint_seq', seq)
  end
  local function event(kind_of, fields)
    seq = seq + 1
    local head = '{"seq":' .. seq .. ',"type":"' .. kind_of .. rest
    local body = fields ~= '' and ',' .. fields or ''
    lines[#lines + 1] = head .. body .. '}'
    redis.call('XADD', KEY.log .. id, 'MAXLEN', max_events, seq .. '-0', 'e', lines[#lines])
    if ACTIVITY[kind_of] then
      if kind_of == 'succeeded' then body = '' end
      redis.call(PUBLISH, KEY.activity, head .. body .. ',"job":"' .. id .. '","kind":"' .. kind .. '"}')
    end
  end
  for i = 1, #drafts, 2 do
    if drafts[i] == 'checkpoint' then checkpoint(drafts[i + 1]) else event(drafts[i], drafts[i + 1]) end
  end
  if #lines > 0 then redis.call(PUBLISH, KEY.live .. id, table.concat(lines, '\n')) end
  return seq
end

-- The same, of a job of which nothing is known yet.
local function write(id, now, attempt, drafts)
  local r = read(id, 'last_seq', 'max_events', 'kind')
  local seq = put(id, now, attempt, drafts, tonumber(r[1]), r[2], r[3])
  redis.call('HSET', KEY.job .. id, 'last_seq', seq)
  return seq
end

-- Before somebody else than its holder writes on: events of a job that lived on another server may have been lost when
-- that crashed, and readers may have seen them. So their numbers are passed over, that none gets two contents.
-- leave: 'if needed', false, or up to which seq that was done before. Returns a member for the next event (which seq it
-- follows, where that is not the one before), and up to which seq there is room (0: none was left).
local function leave_room(id, now, leave)
  local r, server = read(id, 'last_seq', 'server'), ''
  -- Where it is left again, more that came after may have been lost.
  if leave == 'if needed' then
    server = redis.call('GET', KEY.server)
    leave = r[2] and r[2] ~= server
    -- Never twice up to the same one: another crash may lose this, too.
    if leave then leave = tonumber(r[1]) + KEY.room + now % KEY.room end
  end
  if not leave then return '', 0 end
  redis.call('HSET', KEY.job .. id, 'last_seq', leave, 'server', server)
  return ',"follows":' .. r[1], leave
end

-- Whether the attempt that holds a job may have been lost on another server, and that in a crash: its lease was over while
-- that lived, as far as is known. Then others have written to the job, and the holder goes on under their numbers. r: see held.
local function doubtful(id, r, now)
  local lease = tonumber(redis.call('ZSCORE', KEY.leases, id) or 0)
  if r.doubted ~= r.attempt and lease > now then return false end
  if not r.server or r.server == notice(now) then return false end
  return r.doubted == r.attempt or lease <= tonumber(redis.call('GET', KEY.doubt) or 0)
end

-- How the holder of a job writes on: 'unsettled' (not before those who may have taken the job could speak), or what room
-- it leaves (see leave_room). again: '' for something new; of what it has written before up to which seq it left room, or 0.
local function goes_on(id, r, now, again)
  if again ~= '' then return tonumber(again) > 0 and tonumber(again) end
  if not doubtful(id, r, now) then return false end
  return unsettled(now) and 'unsettled' or 'if needed'
end

-- Puts a job where workers and the sweeper look for it: the most urgent first, then the oldest.
-- (9 - priority) * 1e13 keeps priorities apart for every epoch ms up to the year 2286.
local function enter_queue(id, queue, priority, now)
  redis.call('HSET', KEY.job .. id, 'queued_at', now, 'entered_at', now)
  redis.call('ZADD', KEY.queue .. queue, (9 - tonumber(priority)) * 1e13 + now, id)
end

-- Ends a job: its last event, its status, and when record and log go.
local function finish(id, now, attempt, status, fields)
  local r = read(id, 'kind', 'status', 'queue', 'events_ttl_s', 'result_ttl_s', 'webhook', 'webhook_events',
    'opened')
  local seq = write(id, now, attempt, {status, fields})
  redis.call('HSET', KEY.job .. id, 'finished_at', now)
  set_status(id, r[1], r[2], status)
  count(now, 'ended ' .. r[1] .. ' ' .. status, 1)
  if status == 'failed' then
    local code = code_of(fields)
    count(now, 'failed ' .. r[1] .. ' ' .. code, 1)
    -- Another attempt might have helped, and it was the last one.
    if string.find(fields, '"retryable":true', 1, true) then count(now, 'exhausted ' .. r[1] .. ' ' .. code, 1) end
  end
  redis.call('ZREM', KEY.leases, id)
  redis.call('ZREM', KEY.due, id)
  redis.call('ZREM', KEY.unread, id)
  redis.call('ZREM', KEY.queue .. r[3], id)
  redis.call('EXPIRE', KEY.log .. id, r[4])
  redis.call('EXPIRE', KEY.job .. id, r[5])
  redis.call('ZREM', KEY.waiters, id)
  -- Children that nobody waits for any more are cancelled by the sweeper, some at a time.
  if r[8] and status ~= 'succeeded' then redis.call('ZADD', KEY.abandoned, now, r[8]) end
  redis.call('ZADD', KEY.expiry, now + tonumber(r[5]) * 1000, id .. ' ' .. r[1] .. ' ' .. status)
  if r[6] and (not r[7] or string.find(r[7], status, 1, true)) then redis.call('ZADD', KEY.deliveries, now, id) end
  return seq
end

local LOST = '{"code":"worker_lost","message":"the worker died or stopped answering","retryable":true}'

-- How many attempts count against the most that a job may have: those that a stopping worker handed back do not.
local function counted(attempt, handed_back)
  return tonumber(attempt) - tonumber(handed_back or 0)
end

-- What becomes of a job whose attempt is lost: cancelled if that was asked for, failed if it was the
-- last attempt, else queued again. leave: see leave_room. Returns whether it is queued.
local function lose(id, now, leave)
  local r = read(id, 'attempt', 'max_attempts', 'cancel_requested', 'kind', 'status', 'queue', 'priority', 'handed_back')
  local follows = leave_room(id, now, leave)
  redis.call('ZREM', KEY.leases, id)
  count(now, 'lost ' .. r[4] .. ' ', 1)
  if r[3] then
    redis.call('HDEL', KEY.job .. id, 'error')
    finish(id, now, r[1], 'cancelled', '"reason":' .. r[3] .. follows)
    return false
  end
  redis.call('HSET', KEY.job .. id, 'error', LOST)
  if counted(r[1], r[8]) >= tonumber(r[2]) then
    finish(id, now, r[1], 'failed', '"error":' .. LOST .. follows)
    return false
  end
  count(now, 'retried ' .. r[4] .. ' ' .. code_of(LOST), 1)
  write(id, now, r[1], {'retrying', '"delay_s":0,"error":' .. LOST .. follows})
  set_status(id, r[4], r[5], 'retrying')
  enter_queue(id, r[6], r[7], now)
  return true
end

-- Whether an attempt may write: nil, or why not. A writer whose reply was lost sends the same number
-- again; what was done is then answered anew ('seen'), whatever has become of the job since. 'behind': the record is
-- older than what the writer knows, so a crash of Redis has lost what came after. r: see held.
local function refuse(r, attempt, claim, number)
  if not r.status then return 'gone' end
  local mine = r.attempt == attempt and r.claim == claim
  if mine and tonumber(number) <= tonumber(r.append_number) then return 'seen' end
  if ENDED[r.status] then return 'closed' end
  if tonumber(r.attempt) < tonumber(attempt) then return 'behind' end
  if not mine or r.status ~= 'running' or r.waiting_for then return 'stale' end
  if tonumber(number) > tonumber(r.append_number) + 1 then return 'behind' end
  return nil
end

-- Whether no worker has asked to sweep for half a lease: Redis may have been away.
local function paused(now)
  return now > tonumber(redis.call('GET', KEY.pulse) or now)
end

-- Whether an attempt's lease has run out. After Redis was away nobody could renew one: until everyone has had the time
-- to, none counts as lost.
local function is_lost(id, now)
  if unsettled(now) or tonumber(redis.call('GET', KEY.grace) or 0) > now then return false end
  return tonumber(redis.call('ZSCORE', KEY.leases, id) or 0) <= now
end

-- Ends a job that no worker holds, or asks for its end; see cancel.lua. (Not named `cancel`, a word that append.lua says and
-- which would give it all of this.) reason is JSON. again: of an end that was made before {when, last seq before it, its seq},
-- or nil. Returns the answer, and of an end made here the same three.
local function end_or_ask(id, now, reason, again)
  local r = read(id, 'status', 'attempt', 'cancel_requested', 'server', 'last_seq', 'cancelled_after', 'finished_at',
    'waiting_for')
  if not r[1] then return missing(now) end
  if r[1] == 'cancelled' then return 'again', r[6] and {r[7], r[6], r[5]} end
  if ENDED[r[1]] then return 'ended' end
  -- What comes next is what was lost.
  local same = again and again[2] == r[5]
  local runs = r[1] == 'running' and not r[8] -- Nobody holds one that waits for its children.
  -- After a crash it may have a holder, or even an end, that this record knows nothing of yet.
  if not same and not runs and r[4] and r[4] ~= redis.call('GET', KEY.server) and unsettled(now) then
    return 'unsettled'
  end
  if not same and runs and not is_lost(id, now) then
    if r[3] then return 'again' end
    redis.call('HSET', KEY.job .. id, 'cancel_requested', reason)
    return 'requested'
  end
  redis.call('HSET', KEY.job .. id, 'cancel_requested', reason, 'cancelled_after', r[5])
  redis.call('HDEL', KEY.job .. id, 'error')
  local leave = not same and 'if needed' or again[3] - 1 > tonumber(r[5]) and again[3] - 1
  local at, follows = same and tonumber(again[1]) or now, leave_room(id, now, leave)
  return 'cancelled', {at, r[5], finish(id, at, r[2], 'cancelled', '"reason":' .. reason .. follows)}
end

-- Somebody reads a job, or has just left it: from now on it may go unread for as long as it was submitted with.
local function watched(id, now, slack)
  local r = read(id, 'cancel_after_s', 'status')
  if r[1] and not ENDED[r[2]] then
    redis.call('ZADD', KEY.unread, now + math.floor(tonumber(r[1]) * 1000) + slack, id)
  end
end
