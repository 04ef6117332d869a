#!lua flags=allow-oom
-- Reserves an offset and publishes it as a probe, reads the last offsets of some channels, and removes what is expired.
--
-- Allowed when memory is full, because it frees memory.
-- ARGV: age of the history in µs, pub/sub channel of the caller's probes, the channels to read.
-- Returns the epoch, the offset, and each channel's last offset.

local work = work_on_records()

-- Removes histories that an earlier epoch left behind. Each call scans some keys, until all were scanned.
local function remove_orphans()
  if scan == 'done' then return end
  local answer = call('SCAN', scan, 'COUNT', 200)
  for _, key in ipairs(answer[2]) do
    if string.sub(key, 1, #HISTORY) == HISTORY then
      local channel = string.sub(key, #HISTORY + 1)
      work.check(channel, call('HMGET', META, '@' .. channel)[1])
    end
  end
  scan = answer[1] == '0' and 'done' or answer[1]
end

local channels = #ARGV - 4
local wanted = {}
for i = 1, channels do wanted[i] = '@' .. ARGV[4 + i] end
local records = open(wanted, 1, channels)

last = math.max(last + 1, now)
local answer = {epoch, text(last)}
for i = 1, channels do
  local stored = records[FIXED + i]
  answer[i + 2] = stored and match(stored, '%d+') or '0'
end
work.remove_expired(tonumber(ARGV[3]), 20)
remove_orphans()
call('HSET', META, 'last', text(last), 'scan', scan)
call('PUBLISH', ARGV[4], text(last))
return answer
