-- KEYS[3] is the entry. ARGV: its version as read, '' for none, '*' for any; its id; its new content, '' to remove it; its lease in
-- ms, '' for none. Says whether the version was still that one.
local VERSION_BYTES = 16

if ARGV[1] ~= '*' and redis.call('GETRANGE', KEYS[3], 0, VERSION_BYTES - 1) ~= ARGV[1] then
  return 0
end
if ARGV[3] == '' then
  redis.call('DEL', KEYS[3])
  redis.call('ZREM', KEYS[1], ARGV[2])
  redis.call('ZREM', KEYS[2], ARGV[2])
elseif ARGV[4] == '' then
  redis.call('SET', KEYS[3], ARGV[3])
  redis.call('ZADD', KEYS[1], 0, ARGV[2])
  redis.call('ZREM', KEYS[2], ARGV[2])
else
  redis.call('SET', KEYS[3], ARGV[3], 'PX', ARGV[4])
  redis.call('ZADD', KEYS[1], 0, ARGV[2])
  redis.call('ZADD', KEYS[2], string.format('%d', now_ms() + ARGV[4]), ARGV[2])
end
reap()
return 1
