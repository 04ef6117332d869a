-- The reference for what an event costs in Valkey: it does what Centrifuge's script for a history with idempotent
-- publishing does, with the same commands in the same order (centrifugal/centrifuge, broker_history_add_stream.lua).
-- One call is one event. It has no order over channels, no limit of bytes, and no check that anything was lost.
--
-- KEYS: the channel's stream, the channel's metadata, the result of this idempotency key
-- ARGV: event, events kept, seconds that they are kept, pub/sub channel, seconds that the metadata is kept, the epoch if
-- the channel has none, seconds that the result is kept

local stream, metadata, result = KEYS[1], KEYS[2], KEYS[3]
local event, kept, seconds, channel = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local metadata_seconds, new_epoch, result_seconds = ARGV[5], ARGV[6], ARGV[7]

local known = redis.call('HMGET', result, 'e', 's')
if known[1] then return {known[2], known[1], '1'} end

local epoch = redis.call('HGET', metadata, 'e')
if not epoch then
  epoch = new_epoch
  redis.call('HSET', metadata, 'e', epoch)
end
local offset = redis.call('HINCRBY', metadata, 's', 1)
redis.call('EXPIRE', metadata, metadata_seconds)
redis.call('XADD', stream, 'MAXLEN', kept, offset, 'd', event)
redis.call('EXPIRE', stream, seconds)
redis.call('PUBLISH', channel, '__p1:' .. offset .. ':' .. epoch .. '__' .. event)
redis.call('HSET', result, 'e', epoch, 's', offset)
redis.call('EXPIRE', result, result_seconds)
return {offset, epoch, '0'}
