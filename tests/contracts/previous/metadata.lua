-- Code that is placed before every script. It opens and checks the store's metadata.
--
-- The metadata is a hash with the fields of FIXED, and a field '@' .. channel for each channel, which is the record of
-- the channel's history. The index is a sorted set of the same channels by last offset. DEDUPE and DEDUPE_OLD are the
-- two generations of dedupe keys. Every script compares the sizes of these keys with the metadata, so that the loss of
-- any of them is noticed.
--
-- KEYS: metadata, index, young and old generation of dedupe keys, prefix of the channels' histories (streams)
-- ARGV: run_id of the server that the caller is connected to, eight random hexadecimal digits

local META, INDEX, DEDUPE, DEDUPE_OLD, HISTORY = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local FIXED = {'epoch', 'run', 'last', 'floor', 'bytes', 'seen', 'old', 'rotated', 'scan'}
-- Measured. A Redis stream reserves 4 KiB for its first entries.
local CHANNEL_BYTES, ENTRY_BYTES = 4800, 110

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- Formats an integer. tostring() and .. would format an offset as 1.79e+15.
local function text(number) return string.format('%.0f', number) end

-- The fields of FIXED except 'run': epoch, highest offset given out, floor of all channels, bytes of all channels,
-- number of dedupe keys in the young and in the old generation, offset at which the young generation began, and cursor
-- of the scan for orphans.
local epoch, last, floor, bytes, seen, old, rotated, scan

local function intact(fields)
  for i = 1, #FIXED do
    if not fields[i] then return false end
  end
  return redis.call('HLEN', META) - #FIXED == redis.call('ZCARD', INDEX)
    and redis.call('HLEN', DEDUPE) == tonumber(fields[6])
    and redis.call('HLEN', DEDUPE_OLD) == tonumber(fields[7])
end

local function save()
  redis.call('HSET', META, 'epoch', epoch, 'run', ARGV[1], 'last', text(last), 'floor', text(floor), 'bytes',
    text(bytes), 'seen', seen, 'old', old, 'rotated', text(rotated), 'scan', scan)
end

local function begin_epoch()
  last = math.max(last + 1, now)
  epoch = string.format('%x-', last) .. ARGV[2]
end

-- Part of the metadata is lost, so the histories cannot be proved complete. Removes everything, and begins a new epoch.
local function reset(known_last)
  known_last = math.max(known_last, tonumber(redis.call('ZRANGE', INDEX, -1, -1, 'WITHSCORES')[2] or 0))
  for _, channel in ipairs(redis.call('ZRANGE', INDEX, 0, -1)) do redis.call('UNLINK', HISTORY .. channel) end
  for _, field in ipairs(redis.call('HKEYS', META)) do
    if string.sub(field, 1, 1) == '@' then redis.call('UNLINK', HISTORY .. string.sub(field, 2)) end
  end
  redis.call('UNLINK', META, INDEX, DEDUPE, DEDUPE_OLD)
  last, floor, bytes, seen, old, rotated = known_last, 0, 0, 0, 0, now
  -- If both metadata and index are lost, nothing lists the histories. Scan for them.
  scan = '0'
  begin_epoch()
  save()
end

local function open()
  local fields = redis.call('HMGET', META, unpack(FIXED))
  if not intact(fields) then return reset(tonumber(fields[3] or 0)) end
  epoch, last, floor, bytes = fields[1], tonumber(fields[3]), tonumber(fields[4]), tonumber(fields[5])
  seen, old, rotated, scan = tonumber(fields[6]), tonumber(fields[7]), tonumber(fields[8]), fields[9]
  -- Ages are measured in offsets, which never fall.
  now = math.max(now, last)
  -- This is another server, or it was restarted. It may have lost the newest events that it had acknowledged.
  if fields[2] ~= ARGV[1] then
    begin_epoch()
    save()
  end
end

local function write(channel, record)
  redis.call('HSET', META, '@' .. channel, string.format('%.0f %.0f %.0f %.0f %.0f', record.last, record.floor,
    record.bytes, record.count, record.first))
end

-- Returns the record of a channel; nil if there is none.
local function read(channel)
  local raw = redis.call('HGET', META, '@' .. channel)
  local held = redis.call('XLEN', HISTORY .. channel)
  if not raw then
    -- A history without a record is an orphan of an epoch whose metadata and index were both lost.
    if held > 0 then redis.call('UNLINK', HISTORY .. channel) end
    return nil
  end
  local n = {}
  for number in string.gmatch(raw, '%d+') do n[#n + 1] = tonumber(number) end
  local record = {last = n[1], floor = n[2], bytes = n[3], count = n[4], first = n[5]}
  -- Entries were lost, so the rest proves nothing.
  if held ~= record.count then
    redis.call('UNLINK', HISTORY .. channel)
    bytes = bytes - record.bytes + CHANNEL_BYTES
    record = {last = n[1], floor = n[1], bytes = CHANNEL_BYTES, count = 0, first = n[1]}
    write(channel, record)
  end
  return record
end

-- Removes a channel's oldest entries until `enough` accepts its record.
local function trim(channel, record, enough)
  local step = 2
  while record.count > 0 and not enough(record) do
    for _, entry in ipairs(redis.call('XRANGE', HISTORY .. channel, '-', '+', 'COUNT', step)) do
      record.first = tonumber(string.match(entry[1], '%d+'))
      if enough(record) then break end
      local size = #entry[2][2] + ENTRY_BYTES
      record.count, record.bytes, bytes = record.count - 1, record.bytes - size, bytes - size
      record.floor = record.first
      redis.call('XDEL', HISTORY .. channel, entry[1])
    end
    step = 50
  end
end

-- Removes a channel and its metadata. The floor of all channels rises to its last offset.
local function remove(channel)
  local record = read(channel)
  redis.call('UNLINK', HISTORY .. channel)
  redis.call('HDEL', META, '@' .. channel)
  redis.call('ZREM', INDEX, channel)
  if record then
    bytes, floor = bytes - record.bytes, math.max(floor, record.last)
  end
end

-- Removes up to 20 channels whose events have all expired.
local function remove_expired(age)
  for _, channel in ipairs(redis.call('ZRANGEBYSCORE', INDEX, '-inf', text(now - age), 'LIMIT', 0, 20)) do
    remove(channel)
  end
end

-- Removes histories that an earlier epoch left behind. Each call scans some keys, until all were scanned.
local function remove_orphans()
  if scan == 'done' then return end
  local answer = redis.call('SCAN', scan, 'COUNT', 200)
  for _, key in ipairs(answer[2]) do
    if string.sub(key, 1, #HISTORY) == HISTORY then read(string.sub(key, #HISTORY + 1)) end
  end
  scan = answer[1] == '0' and 'done' or answer[1]
end

open()
