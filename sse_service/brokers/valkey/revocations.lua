#!lua flags=allow-oom
-- Stores revocations, and returns those that the caller does not have yet.
--
-- The hash has a field for each revocation, with its 'at' and 'until', and the fields of FIXED. No key of a revocation
-- is one of these, because all have a colon. The order is a sorted set of the revocations by the number of their last
-- change. A life ends when revocations may have been lost: the callers then send all that they have.
--
-- Allowed when memory is full, because revoking must work then too. The number of revocations is limited.
-- KEYS: revocations, their order
-- ARGV: run_id of the server that the caller is connected to, eight random hexadecimal digits, maximum revocations,
-- maximum to return, the life and the change up to which the caller has everything, number of revocations. Then for
-- each revocation: key, at, until. Then the keys that the caller takes for expired.
-- Returns the life, the change up to which the caller then has everything, whether there is more, and for each
-- revocation: key, at, until.

local REVOKED, ORDER = KEYS[1], KEYS[2]
local FIXED = {'life', 'run', 'last'}
-- How far a caller's clock may be ahead of the server's.
local LEEWAY_SECONDS = 60

local max_held, max_returned, count = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[7])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000

local function text(number) return string.format('%.0f', number) end

-- Returns a revocation's at and until; nothing if there is none.
local function read(key)
  local at, forget = string.match(redis.call('HGET', REVOKED, key) or '', '^(%d+) (%d+)$')
  return tonumber(at), tonumber(forget)
end

local function remove(key)
  redis.call('HDEL', REVOKED, key)
  redis.call('ZREM', ORDER, key)
end

local fields = redis.call('HMGET', REVOKED, unpack(FIXED))
local life, last = fields[1], tonumber(fields[3] or 0)
local before = last

local intact = life and fields[2] and fields[3] and redis.call('HLEN', REVOKED) - #FIXED == redis.call('ZCARD', ORDER)
if not intact then
  -- Keep what is left. The new numbers make the order complete again.
  redis.call('UNLINK', ORDER)
  for _, key in ipairs(redis.call('HKEYS', REVOKED)) do
    if string.find(key, ':', 1, true) then
      last = last + 1
      redis.call('ZADD', ORDER, text(last), key)
    end
  end
end
-- Another server, or one that was restarted, may have lost the newest revocations that it had confirmed.
if not intact or fields[2] ~= ARGV[1] then
  life = string.format('%x-', now * 1000000) .. ARGV[2]
  redis.call('HSET', REVOKED, 'life', life, 'run', ARGV[1], 'last', text(last))
  before = last
end

for i = 8, 5 + 3 * count, 3 do
  local key, at, forget = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local known_at, known_forget = read(key)
  if not known_at or at > known_at or forget > known_forget then
    last = last + 1
    at, forget = math.max(at, known_at or 0), math.max(forget, known_forget or 0)
    redis.call('HSET', REVOKED, key, text(at) .. ' ' .. text(forget))
    redis.call('ZADD', ORDER, text(last), key)
  end
end
for i = 8 + 3 * count, #ARGV do
  local _, forget = read(ARGV[i])
  if forget and forget <= now + LEEWAY_SECONDS then remove(ARGV[i]) end
end
for _ = max_held + 1, redis.call('ZCARD', ORDER) do remove(redis.call('ZRANGE', ORDER, 0, 0)[1]) end
-- Most calls change nothing, so they write nothing.
if last > before then redis.call('HSET', REVOKED, 'last', text(last)) end

local after = ARGV[5] == life and ARGV[6] or '0'
local found = redis.call('ZRANGEBYSCORE', ORDER, '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, max_returned)
local more = #found == 2 * max_returned
local answer = {life, more and found[#found] or text(last), more and 1 or 0}
for i = 1, #found, 2 do
  local at, forget = read(found[i])
  if at then
    answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = found[i], text(at), text(forget)
  end
end
return answer
