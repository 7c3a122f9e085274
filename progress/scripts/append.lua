-- Appends events of attempts that hold their jobs, and renews their leases. Appends that are sent together share a call:
-- where there are many, each costs a quarter less.
-- ARGV: for each append how many arguments it has, then these: id, attempt, claim, number of this append (from 1), lease in
--   ms, progress as JSON or '', when it was written (epoch ms; '' for now), of one that Redis has lost in a crash the room
--   that it left ('' for a new one), type, fields, …
-- Reply: for each {'ok' | 'cancel' | 'stale' | 'closed' | 'gone' | 'behind' | 'unsettled', last seq, when it was written in
--   epoch ms, up to which seq room was left before it or 0};
--   'cancel': written, but stop now; 'behind': Redis has lost appends before this one, or the attempt's beginning;
--   'unsettled': Redis has crashed, and another attempt may be about to say that it has the job; ask again
-- What a crash of Redis has lost is written again as it was: by its number it goes to its old place, and the writer says
-- when that was, which a reply that is lost cannot.
local now = clock()

local function append(from, to)
  local id, attempt, number, again = ARGV[from], ARGV[from + 1], ARGV[from + 3], ARGV[from + 7]
  local r = held(id)
  local why = refuse(r, attempt, ARGV[from + 2], number)
  if why and why ~= 'seen' then return {why, 0, 0, 0} end
  local answer = r.cancel_requested and 'cancel' or 'ok'
  if why then
    local told = read(id, 'append_seq', 'append_at', 'append_room')
    return {answer, tonumber(told[1]), tonumber(told[2] or 0), tonumber(told[3] or 0)}
  end

  local at = ARGV[from + 6] == '' and now or tonumber(ARGV[from + 6])
  local drafts, first = {unpack(ARGV, from + 8, to)}, 1
  while drafts[first] == 'checkpoint' do first = first + 2 end
  local leave, follows, room = goes_on(id, r, now, again), '', 0
  if leave == 'unsettled' then return {leave, 0, 0, 0} end
  if leave and drafts[first] then
    follows, room = leave_room(id, now, leave)
    drafts[first + 1] = drafts[first + 1] .. follows
  elseif leave then
    -- A state alone takes no number; the lease, renewed, will not tell any more.
    redis.call('HSET', KEY.job .. id, 'doubted', attempt)
  end
  local seq = put(id, at, attempt, drafts, room > 0 and room or tonumber(r.last_seq), r.max_events, r.kind)
  redis.call('HSET', KEY.job .. id, 'last_seq', seq, 'append_number', number, 'append_seq', seq, 'append_at', at,
    'append_room', room)
  if ARGV[from + 5] ~= '' then redis.call('HSET', KEY.job .. id, 'progress', ARGV[from + 5]) end
  -- One that is written again says nothing of today.
  redis.call('ZADD', KEY.leases, (again == '' and now or at) + tonumber(ARGV[from + 4]), id)
  return {answer, seq, at, room}
end

local replies, from = {}, 2
while ARGV[from - 1] do
  local to = from + tonumber(ARGV[from - 1]) - 1
  replies[#replies + 1] = append(from, to)
  from = to + 2
end
return replies
