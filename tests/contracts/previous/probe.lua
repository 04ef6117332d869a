#!lua flags=allow-oom
-- Reserves an offset and publishes it as a probe, reads the last offsets of some channels, and removes what is expired.
--
-- Allowed when memory is full, because it frees memory.
-- ARGV: age of the history in µs, pub/sub channel of the caller's probes, the channels to read.
-- Returns the epoch, the offset, and each channel's last offset.

last = math.max(last + 1, now)
local answer = {epoch, text(last)}
for i = 5, #ARGV do
  local raw = redis.call('HGET', META, '@' .. ARGV[i])
  answer[#answer + 1] = raw and string.match(raw, '%d+') or '0'
end
remove_expired(tonumber(ARGV[3]))
remove_orphans()
save()
redis.call('PUBLISH', ARGV[4], text(last))
return answer
