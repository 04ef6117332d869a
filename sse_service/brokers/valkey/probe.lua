#!lua flags=allow-oom
-- Takes an offset and sends it the way that events go, says where some channels are, and clears what is too old.
--
-- Allowed when memory is out: clearing is what helps then.
-- ARGV: age of what is kept in µs, the pub/sub channel of the caller's probes, the channels.
-- Answers the epoch, the offset, and each channel's last offset.

last = math.max(last + 1, now)
local answer = {epoch, text(last)}
for i = 5, #ARGV do
  local raw = redis.call('HGET', BOOK, '@' .. ARGV[i])
  answer[#answer + 1] = raw and string.match(raw, '%d+') or '0'
end
sweep(tonumber(ARGV[3]))
look_for_leftovers()
save()
redis.call('PUBLISH', ARGV[4], text(last))
return answer
