-- Appends events of the attempt that holds the job, and renews its lease.
-- ARGV: id, attempt, claim, number of this append (from 1), lease in ms, progress as JSON or '', when it was written
--   (epoch ms; '' for now), type, fields, …
-- Reply: {'ok' | 'cancel' | 'stale' | 'closed' | 'gone' | 'behind', last seq, when it was written in epoch ms};
--   'cancel': written, but stop now; 'behind': Redis has lost appends before this one, or the attempt's beginning
-- What a crash of Redis has lost is written again as it was: by its number it goes to its old place, and the writer says
-- when that was, which a reply that is lost cannot.
local id, attempt, number = ARGV[1], ARGV[2], ARGV[4]
local why = refuse(id, attempt, ARGV[3], number)
if why and why ~= 'seen' then return {why, 0, 0} end
local r = read(id, 'append_seq', 'cancel_requested', 'append_at')
local answer = r[2] and 'cancel' or 'ok'
if why == 'seen' then return {answer, tonumber(r[1]), tonumber(r[3] or 0)} end

local now = clock()
local at = ARGV[7] == '' and now or tonumber(ARGV[7])
local drafts = {unpack(ARGV, 8)}
local seq = write(id, at, attempt, drafts)
redis.call('HSET', KEY.job .. id, 'append_number', number, 'append_seq', seq, 'append_at', at)
if ARGV[6] ~= '' then redis.call('HSET', KEY.job .. id, 'progress', ARGV[6]) end
redis.call('ZADD', KEY.leases, now + tonumber(ARGV[5]), id)
return {answer, seq, at}
