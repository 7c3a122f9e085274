-- Appends events of the attempt that holds the job, and renews its lease.
-- ARGV: id, attempt, claim, number of this append (from 1), lease in ms, progress as JSON or '', when it was written
--   (epoch ms; '' for now), of one that Redis has lost in a crash the room that it left ('' for a new one), type, fields, …
-- Reply: {'ok' | 'cancel' | 'stale' | 'closed' | 'gone' | 'behind' | 'unsettled', last seq, when it was written in epoch ms,
--   up to which seq room was left before it or 0};
--   'cancel': written, but stop now; 'behind': Redis has lost appends before this one, or the attempt's beginning;
--   'unsettled': Redis has crashed, and another attempt may be about to say that it has the job; ask again
-- What a crash of Redis has lost is written again as it was: by its number it goes to its old place, and the writer says
-- when that was, which a reply that is lost cannot.
local id, attempt, number, again = ARGV[1], ARGV[2], ARGV[4], ARGV[8]
local r = held(id)
local why = refuse(r, attempt, ARGV[3], number)
if why and why ~= 'seen' then return {why, 0, 0, 0} end
local answer = r.cancel_requested and 'cancel' or 'ok'
if why then return {answer, tonumber(r.append_seq), tonumber(r.append_at or 0), tonumber(r.append_room or 0)} end

local now = clock()
local at = ARGV[7] == '' and now or tonumber(ARGV[7])
local drafts, first = {unpack(ARGV, 9)}, 1
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
if ARGV[6] ~= '' then redis.call('HSET', KEY.job .. id, 'progress', ARGV[6]) end
-- One that is written again says nothing of today.
redis.call('ZADD', KEY.leases, (again == '' and now or at) + tonumber(ARGV[5]), id)
return {answer, seq, at, room}
