-- ARGV: what the keys of entries begin with; where to start, as ZRANGEBYLEX takes it; how many entries are wanted.
-- Gives the id to go on after, '' at the end, and then each entry's id and content. One call looks at a limited number
-- of ids and gives a limited number of bytes; whoever wants more calls again.
local EXAMINED_MAX = 1024
local BYTES_MAX = 4194304
local BATCH = 64

reap()
local reply = { '' }
local from, wanted, examined, bytes = ARGV[2], tonumber(ARGV[3]), 0, 0
while wanted > 0 do
  local ids = redis.call('ZRANGEBYLEX', KEYS[1], from, '+', 'LIMIT', 0, math.min(BATCH, wanted))
  if #ids == 0 then
    return reply
  end
  local keys = {}
  for i, id in ipairs(ids) do
    keys[i] = ARGV[1] .. id
  end
  local entries = redis.call('MGET', unpack(keys))
  for i, id in ipairs(ids) do
    if entries[i] then
      reply[#reply + 1] = id
      reply[#reply + 1] = entries[i]
      wanted = wanted - 1
      bytes = bytes + #entries[i]
    end
  end
  from = '(' .. ids[#ids]
  examined = examined + #ids
  if examined >= EXAMINED_MAX or bytes >= BYTES_MAX then
    reply[1] = ids[#ids]
    return reply
  end
end
return reply
