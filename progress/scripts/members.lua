-- Jobs of a group by their place in it, without their inputs and results.
-- ARGV: id, first place in the list, most jobs
-- Reply: {{place, {field, value, …}}, …}; the second is empty where the job is gone
local FIELDS = {'id', 'kind', 'status', 'queue', 'priority', 'attempt', 'max_attempts', 'created_at', 'last_seq', 'metadata',
  'started_at', 'finished_at', 'due_at', 'progress', 'error', 'retry_of', 'cancel_requested', 'group', 'parent', 'member'}
local found, first = {}, tonumber(ARGV[2])
local members = redis.call('ZRANGE', KEY.members .. ARGV[1], first, first + tonumber(ARGV[3]) - 1, 'WITHSCORES')
for i = 1, #members, 2 do
  local values, flat = read(members[i], unpack(FIELDS)), {}
  for j, name in ipairs(FIELDS) do
    if values[j] then
      flat[#flat + 1] = name
      flat[#flat + 1] = values[j]
    end
  end
  found[#found + 1] = {members[i + 1], flat}
end
return found
