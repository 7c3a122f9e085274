-- Puts items into a collection, each in the place of the one of its id. What is there already changes nothing, not even the
-- version: so this may be done again.
-- ARGV: collection, model, dimensions, most bytes of all items, TTL in s, id, value, id, value, … (at most 1,000 pairs)
-- Reply: {'ok' | 'other' (it has another model or other dimensions) | 'full', version, items, dimensions, model, server}
local name, model, dimensions, most, ttl = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local now = clock()
local server = notice(now)
local is = redis.call('HMGET', KEY.collection .. name, 'version', 'dimensions', 'model', 'bytes')
local vectors = KEY.vectors .. name

local function reply(answer, version)
  return {answer, version, redis.call('HLEN', vectors), tonumber(is[2] or dimensions), is[3] or model, server}
end

if is[1] and (is[2] ~= dimensions or is[3] ~= model) then return reply('other', tonumber(is[1])) end
local ids, bytes, new = {}, tonumber(is[4] or 0), {}
for i = 6, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
local old = redis.call('HMGET', vectors, unpack(ids))
for i, id in ipairs(ids) do
  local value = ARGV[5 + 2 * i]
  if old[i] ~= value then
    bytes = bytes + #value - (old[i] and #old[i] or -#id)
    new[#new + 1] = id
    new[#new + 1] = value
  end
end
if bytes > most then return reply('full', tonumber(is[1] or 0)) end
local version = tonumber(is[1] or 0)
if #new > 0 then
  -- By the clock, so that no number comes again when the collection has expired, or a crash has lost its last ones.
  version = math.max(version + 1, now)
  for i = 1, #new, 2 do redis.call('HSET', vectors, new[i], new[i + 1]) end
  redis.call('HSET', KEY.collection .. name, 'version', version, 'dimensions', dimensions, 'model', model, 'bytes', bytes)
end
redis.call('EXPIRE', vectors, ttl)
redis.call('EXPIRE', KEY.collection .. name, ttl)
redis.call('SADD', KEY.collections, name)
redis.call('EXPIRE', KEY.collections, ttl)
return reply('ok', version)
