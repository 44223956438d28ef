-- KEYS from the third on are the entries, ARGV their ids. Says how many were there.
local removed = 0
for i, id in ipairs(ARGV) do
  removed = removed + redis.call('DEL', KEYS[i + 2])
  redis.call('ZREM', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
end
reap()
return removed
