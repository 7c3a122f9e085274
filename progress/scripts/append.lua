-- Appends events of the attempt that holds the job, and renews its lease.
-- ARGV: id, attempt, number of this append (from 1), lease in ms, progress as JSON or '', type, fields, …
-- Reply: {'ok' | 'cancel' | 'stale' | 'closed' | 'gone', last seq}; 'cancel': written, but stop now
local id, attempt = ARGV[1], ARGV[2]
local why = refuse(id, attempt, ARGV[3])
if why and why ~= 'seen' then return {why, 0} end
local r = read(id, 'append_seq', 'cancel_requested')
local answer = r[2] and 'cancel' or 'ok'
if why == 'seen' then return {answer, tonumber(r[1])} end

local now = clock()
local drafts = {unpack(ARGV, 6)}
local seq = write(id, now, attempt, drafts)
redis.call('HSET', KEY.job .. id, 'append_number', ARGV[3], 'append_seq', seq)
if ARGV[5] ~= '' then redis.call('HSET', KEY.job .. id, 'progress', ARGV[5]) end
redis.call('ZADD', KEY.leases, now + tonumber(ARGV[4]), id)
return {answer, seq}
