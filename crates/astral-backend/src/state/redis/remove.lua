-- KEYS[3] is the entry, ARGV[1] its id. Says whether it was there.
local removed = redis.call('DEL', KEYS[3])
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
reap()
return removed
