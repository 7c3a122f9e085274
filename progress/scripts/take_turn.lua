-- Takes a turn at what may be done only so often by all workers together, or is to be left alone for a while.
-- ARGV: name, ms between two turns (0: as often as you like), how many at once, when the turn is that was taken before
--   (epoch ms; '' for none)
-- Reply: {when the turn is in epoch ms, for how many ms to wait, as text}. After the wait take it again, with that: the pause may
--   have grown, and a turn that was within it is given anew.
local name, every, burst, taken = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = clock()
local pause = tonumber(redis.call('GET', KEY.pause .. name) or 0)
if not taken or taken < pause then
  -- The turn after the last one that was given; turns that nobody took add up to what may be done at once.
  local due = every > 0 and tonumber(redis.call('GET', KEY.turn .. name) or 0) or 0
  taken = math.max(now, pause, due - (burst - 1) * every)
  if every > 0 then
    local after = math.max(taken, due) + every
    redis.call('SET', KEY.turn .. name, string.format('%.3f', after), 'PX', math.ceil(math.max(1, after - now)) + 1000)
  end
end
return {string.format('%.3f', taken), string.format('%.3f', math.max(0, taken - now))}
