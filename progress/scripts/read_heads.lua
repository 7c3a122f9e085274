-- Where some logs end, for a hub that wants to know whether it has missed a message.
-- ARGV: id, id, …
-- Reply: {last seq (-1: no such job), …}
local heads = {}
for _, id in ipairs(ARGV) do heads[#heads + 1] = tonumber(read(id, 'last_seq')[1] or -1) end
return heads
