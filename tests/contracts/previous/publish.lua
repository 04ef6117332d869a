#!lua
-- Stores the events of one receive, without duplicates, and publishes them to the subscribed tasks.
--
-- ARGV: maximum events of a channel, age of the history in µs, maximum bytes of all channels, dedupe window in µs,
-- maximum dedupe keys, prefix of the pub/sub channels, number of events. Then for each event: dedupe key, digest of its
-- content, the event, number of channels, the channels.
-- Returns the epoch, and for each event: its offset, or 'same' or 'differing' for a duplicate.

local max_events, age, max_bytes = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local window, max_keys, live = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]

-- Returns the digest of the content that was stored with this key; nil if there was none within the window.
local function stored_content(key, offset)
  local found = redis.call('HGET', DEDUPE, key) or redis.call('HGET', DEDUPE_OLD, key)
  if not found then return nil end
  local at, content = string.match(found, '^(%d+) (.*)$')
  if tonumber(at) >= offset - window then return content end
end

-- Adds a dedupe key. When the young generation is older than a window or full, it replaces the old generation. So a key
-- is kept for at least one window, unless the limit of keys is reached.
local function remember(key, content, offset)
  if offset - rotated > window or seen >= max_keys / 2 then
    redis.call('UNLINK', DEDUPE_OLD)
    if seen > 0 then redis.call('RENAME', DEDUPE, DEDUPE_OLD) end
    seen, old, rotated = 0, seen, offset
  end
  seen = seen + redis.call('HSET', DEDUPE, key, text(offset) .. ' ' .. content)
end

local function fits(record) return record.count <= max_events and record.first >= now - age end

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

-- Removes the channels idle longest until the bytes fit. Channels of the newest event lose older entries first.
local function make_room(newest)
  local function enough(record) return bytes <= max_bytes or record.count <= 1 end
  while bytes > max_bytes do
    local idle = redis.call('ZRANGE', INDEX, 0, 0)[1]
    local record = read(idle)
    if record and record.last >= newest and record.count > 1 then
      trim(idle, record, enough)
      write(idle, record)
    else
      remove(idle)
    end
  end
end

remove_expired(age)
local answer, at = {epoch}, 10
for _ = 1, ARGV[9] do
  local key, content, event, count = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local offset = math.max(last + 1, now)
  local before = stored_content(key, offset)
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
