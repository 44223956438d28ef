-- Part of every script. KEYS[1] holds the ids of the collection in their order, KEYS[2] the ids on a lease by its end.
-- Entries end by themselves; this takes their ids out of both, a few at a time.
local REAPED_MAX = 8
local LATE_MS = 1000

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function reap()
  local ended = string.format('%d', now_ms() - LATE_MS)
  local dead = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ended, 'LIMIT', 0, REAPED_MAX)
  if #dead > 0 then
    redis.call('ZREM', KEYS[1], unpack(dead))
    redis.call('ZREM', KEYS[2], unpack(dead))
  end
end
