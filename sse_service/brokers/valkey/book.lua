-- What every script begins with: opening the book.
--
-- The book is one hash: the fields of FIXED, and for each channel a field '@' .. channel with the numbers of its
-- history. The index orders the same channels by their last offset; SEEN and OLD are the dedupe table's two
-- generations. Their sizes are checked against the book's each time, so that none of them can be lost unnoticed.
--
-- KEYS: book, index, dedupe's young and old generation, prefix of the channels' streams
-- ARGV: run id of the server that the caller is connected to, eight random hexadecimal digits

local BOOK, INDEX, SEEN, OLD, HISTORY = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local FIXED = {'epoch', 'run', 'last', 'floor', 'bytes', 'seen', 'old', 'rotated', 'scan'}
-- Measured: a stream reserves 4 KiB for its first entries.
local CHANNEL_BYTES, ENTRY_BYTES = 4800, 110

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- tostring() and .. would write an offset as 1.79e+15.
local function text(number) return string.format('%.0f', number) end

local epoch, last, floor, bytes, seen, old, rotated, scan

local function whole(fields)
  for i = 1, #FIXED do
    if not fields[i] then return false end
  end
  return redis.call('HLEN', BOOK) - #FIXED == redis.call('ZCARD', INDEX)
    and redis.call('HLEN', SEEN) == tonumber(fields[6])
    and redis.call('HLEN', OLD) == tonumber(fields[7])
end

local function save()
  redis.call('HSET', BOOK, 'epoch', epoch, 'run', ARGV[1], 'last', text(last), 'floor', text(floor), 'bytes',
    text(bytes), 'seen', seen, 'old', old, 'rotated', text(rotated), 'scan', scan)
end

local function begin_epoch()
  last = math.max(last + 1, now)
  epoch = string.format('%x-', last) .. ARGV[2]
end

-- Something of the bookkeeping is gone: nothing that is still held can be vouched for.
local function begin_anew(survivor)
  survivor = math.max(survivor, tonumber(redis.call('ZRANGE', INDEX, -1, -1, 'WITHSCORES')[2] or 0))
  for _, channel in ipairs(redis.call('ZRANGE', INDEX, 0, -1)) do redis.call('UNLINK', HISTORY .. channel) end
  for _, field in ipairs(redis.call('HKEYS', BOOK)) do
    if string.sub(field, 1, 1) == '@' then redis.call('UNLINK', HISTORY .. string.sub(field, 2)) end
  end
  redis.call('UNLINK', BOOK, INDEX, SEEN, OLD)
  last, floor, bytes, seen, old, rotated = survivor, 0, 0, 0, 0, now
  -- Where book and index are both gone nobody knows what else there is.
  scan = '0'
  begin_epoch()
  save()
end

local function open()
  local fields = redis.call('HMGET', BOOK, unpack(FIXED))
  if not whole(fields) then return begin_anew(tonumber(fields[3] or 0)) end
  epoch, last, floor, bytes = fields[1], tonumber(fields[3]), tonumber(fields[4]), tonumber(fields[5])
  seen, old, rotated, scan = tonumber(fields[6]), tonumber(fields[7]), tonumber(fields[8]), fields[9]
  -- Ages are counted in the time of offsets, which never steps back.
  now = math.max(now, last)
  -- Another server, or this one started again: what it acknowledged last may be missing.
  if fields[2] ~= ARGV[1] then
    begin_epoch()
    save()
  end
end

local function write(channel, record)
  redis.call('HSET', BOOK, '@' .. channel, string.format('%.0f %.0f %.0f %.0f %.0f', record.last, record.floor,
    record.bytes, record.count, record.first))
end

-- A channel's numbers; nil where it has none.
local function read(channel)
  local raw = redis.call('HGET', BOOK, '@' .. channel)
  local held = redis.call('XLEN', HISTORY .. channel)
  if not raw then
    -- Left over from a life whose book and index were both lost
    if held > 0 then redis.call('UNLINK', HISTORY .. channel) end
    return nil
  end
  local n = {}
  for number in string.gmatch(raw, '%d+') do n[#n + 1] = tonumber(number) end
  local record = {last = n[1], floor = n[2], bytes = n[3], count = n[4], first = n[5]}
  if held ~= record.count then
    redis.call('UNLINK', HISTORY .. channel)
    bytes = bytes - record.bytes + CHANNEL_BYTES
    record = {last = n[1], floor = n[1], bytes = CHANNEL_BYTES, count = 0, first = n[1]}
    write(channel, record)
  end
  return record
end

-- Takes a channel's oldest entries until `enough` says so of its record.
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

-- Removes a channel and its bookkeeping; all that it ever had counts as gone.
local function clear(channel)
  local record = read(channel)
  redis.call('UNLINK', HISTORY .. channel)
  redis.call('HDEL', BOOK, '@' .. channel)
  redis.call('ZREM', INDEX, channel)
  if record then
    bytes, floor = bytes - record.bytes, math.max(floor, record.last)
  end
end

-- Some of the channels to which nothing came for longer than anything is kept.
local function sweep(age)
  for _, channel in ipairs(redis.call('ZRANGEBYSCORE', INDEX, '-inf', text(now - age), 'LIMIT', 0, 20)) do
    clear(channel)
  end
end

-- Looks for histories that a life left behind, some keys a call, until all keys were seen.
local function look_for_leftovers()
  if scan == 'done' then return end
  local answer = redis.call('SCAN', scan, 'COUNT', 200)
  for _, key in ipairs(answer[2]) do
    if string.sub(key, 1, #HISTORY) == HISTORY then read(string.sub(key, #HISTORY + 1)) end
  end
  scan = answer[1] == '0' and 'done' or answer[1]
end

open()
