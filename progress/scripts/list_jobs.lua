-- Jobs, newest first (ids are UUIDv7: their order is that of time), without their inputs.
-- ARGV: kind or '', status or '', cursor (the last id of the page before) or '', limit
-- Reply: {{field, value, …}, …}
local from = ARGV[3] == '' and '+' or '(' .. ARGV[3]
local ids = redis.call('ZREVRANGEBYLEX', index(ARGV[1], ARGV[2]), from, '-', 'LIMIT', 0, ARGV[4])
local page = {}
for _, id in ipairs(ids) do
  local flat = {}
  for _, name in ipairs({'id', 'kind', 'status', 'queue', 'priority', 'attempt', 'max_attempts', 'created_at', 'last_seq',
    'metadata', 'started_at', 'finished_at', 'due_at', 'progress', 'result', 'error', 'retry_of', 'cancel_requested'}) do
    local value = redis.call('HGET', KEY.job .. id, name)
    if value then flat[#flat + 1] = name flat[#flat + 1] = value end
  end
  page[#page + 1] = flat
end
return page
