#!lua
-- Stores the events of one receive, each once, and tells the tasks that listen to their channels.
--
-- ARGV: most events a channel keeps, their age in µs, bytes of all channels, dedupe window in µs, most dedupe keys,
-- prefix of the pub/sub channels, number of events; then for each event: dedupe key, digest of its content, the event,
-- number of channels, the channels.
-- Answers the epoch and for each event its offset, 'same' or 'differing'.

local most, age, most_bytes = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local window, most_seen, live = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]

-- The digest of the content under which this key was stored within the window.
local function seen_before(key, offset)
  local found = redis.call('HGET', SEEN, key) or redis.call('HGET', OLD, key)
  if not found then return nil end
  local at, content = string.match(found, '^(%d+) (.*)$')
  if tonumber(at) >= offset - window then return content end
end

-- Two generations: the old one is dropped when the young has lasted a window, so each key is kept for one at least.
local function remember(key, content, offset)
  if offset - rotated > window or seen >= most_seen / 2 then
    redis.call('UNLINK', OLD)
    if seen > 0 then redis.call('RENAME', SEEN, OLD) end
    seen, old, rotated = 0, seen, offset
  end
  seen = seen + redis.call('HSET', SEEN, key, text(offset) .. ' ' .. content)
end

local function fits(record) return record.count <= most and record.first >= now - age end

local function append(channel, event, offset)
  local record = read(channel)
  if not record then
    record = {last = 0, floor = 0, bytes = CHANNEL_BYTES, count = 0, first = offset}
    bytes = bytes + CHANNEL_BYTES
  end
  local previous, size = record.last, #event + ENTRY_BYTES
  if record.count == 0 then record.first = offset end
  redis.call('XADD', HISTORY .. channel, text(offset) .. '-0', 'e', event)
  record.last, record.count = offset, record.count + 1
  record.bytes, bytes = record.bytes + size, bytes + size
  trim(channel, record, fits)
  write(channel, record)
  redis.call('ZADD', INDEX, text(offset), channel)
  redis.call('PUBLISH', live .. channel, epoch .. ' ' .. text(offset) .. ' ' .. text(previous) .. '\n' .. event)
end

-- The channels that have been idle longest make room; those of the newest event give up their older entries first.
local function make_room(newest)
  local function enough(record) return bytes <= most_bytes or record.count <= 1 end
  while bytes > most_bytes do
    local idle = redis.call('ZRANGE', INDEX, 0, 0)[1]
    local record = read(idle)
    if record and record.last >= newest and record.count > 1 then
      trim(idle, record, enough)
      write(idle, record)
    else
      clear(idle)
    end
  end
end

sweep(age)
local answer, at = {epoch}, 10
for _ = 1, ARGV[9] do
  local key, content, event, count = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local offset = math.max(last + 1, now)
  local before = seen_before(key, offset)
  if before then
    answer[#answer + 1] = before == content and 'same' or 'differing'
  else
    remember(key, content, offset)
    last = offset
    for i = 1, count do append(ARGV[at + 3 + i], event, offset) end
    make_room(offset)
    answer[#answer + 1] = text(offset)
  end
  at = at + 4 + count
end
save()
return answer
