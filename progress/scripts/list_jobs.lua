-- Jobs, newest first (ids are UUIDv7: their order is that of time), without their inputs.
-- ARGV: kind or '', status or '', cursor (the last id of the page before) or '', limit
-- Reply: {{field, value, …}, …}
local FIELDS = {'id', 'kind', 'status', 'queue', 'priority', 'attempt', 'max_attempts', 'created_at', 'last_seq', 'metadata',
  'started_at', 'finished_at', 'due_at', 'progress', 'result', 'error', 'retry_of', 'cancel_requested', 'group', 'parent', 'member'}
local list, limit = index(ARGV[1], ARGV[2]), tonumber(ARGV[4])
local from, page = ARGV[3] == '' and '+' or '(' .. ARGV[3], {}

local function record(id)
  local values, flat = read(id, unpack(FIELDS)), {}
  for i, name in ipairs(FIELDS) do
    if values[i] then
      flat[#flat + 1] = name
      flat[#flat + 1] = values[i]
    end
  end
  return flat
end

-- Records that have expired are passed over, so that a short page always is the last one.
while #page < limit do
  local ids = redis.call('ZREVRANGEBYLEX', list, from, '-', 'LIMIT', 0, limit - #page)
  if #ids == 0 then break end
  for _, id in ipairs(ids) do
    local flat = record(id)
    if #flat > 0 then page[#page + 1] = flat else redis.call('ZREM', list, id) end
    from = '(' .. id
  end
end
return page
