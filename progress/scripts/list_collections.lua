-- The names of all collections.
-- ARGV: none
-- Reply: {name, …}, in no order
local found = {}
for _, name in ipairs(redis.call('SMEMBERS', KEY.collections)) do
  if redis.call('EXISTS', KEY.collection .. name) == 1 then found[#found + 1] = name
  else redis.call('SREM', KEY.collections, name) end
end
return found
