-- How scripts count what they do: shared, as common.lua is, which uses it.

-- Counts something, since ever and in the part of the hour that now is in. field: see progress/figures.py.
local function count(now, field, by)
  local part = KEY.figures_part .. math.floor(now / KEY.figures_part_ms)
  redis.call('HINCRBY', KEY.figures, field, by)
  -- A part that has just begun has only new fields.
  if redis.call('HINCRBY', part, field, by) == by then redis.call('EXPIRE', part, KEY.figures_ttl_s) end
end

-- Counts something by its size: in thousandths of its unit, which bounds are in, too.
local function observe(now, name, kind, size, bounds)
  local place = 1
  while bounds[place] and size > bounds[place] do place = place + 1 end
  count(now, name .. ' ' .. kind .. ' ' .. place, 1)
  count(now, name .. ' ' .. kind .. ' sum', math.floor(size))
end

-- The code of an error in JSON, as figures tell it: tasks make up their own.
local function code_of(error)
  local code = string.match(error, '"code":"([a-z0-9_]+)"') or 'other'
  if #code > 64 or redis.call('SISMEMBER', KEY.codes, code) == 0
    and redis.call('SCARD', KEY.codes) >= tonumber(KEY.most_codes) then return 'other' end
  redis.call('SADD', KEY.codes, code)
  return code
end

