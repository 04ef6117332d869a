-- Code that is placed before every script. It reads, checks and saves the store's metadata.
--
-- The metadata is a hash with the fields of FIXED, and a field '@' .. channel for each channel, which is the record of
-- the channel's history. The index is a sorted set of the same channels. A channel's score is at most its last offset,
-- and less than SCORE_AGE below it: setting it with each event would cost a tenth of the event. DEDUPE and DEDUPE_OLD
-- are the two generations of dedupe keys. Every script compares the sizes of these keys with the metadata, so that the
-- loss of any of them is noticed.
--
-- Earlier releases use the same format, and run beside this one during a deploy. Changing it would begin a new epoch.
--
-- Making a function costs as much as a command if it refers to many variables. So what most calls do not need is made
-- inside functions, when it is needed.
--
-- KEYS: metadata, index, young and old generation of dedupe keys, prefix of the channels' histories (streams)
-- ARGV: run_id of the server that the caller is connected to, eight random hexadecimal digits

local call, format, match = redis.call, string.format, string.match
local META, INDEX, DEDUPE, DEDUPE_OLD, HISTORY = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
-- The number of fixed fields: epoch, run, last, floor, bytes, seen, old, rotated, scan.
local FIXED = 9
-- Measured. A Redis stream reserves 4 KiB for its first entries.
local CHANNEL_BYTES, ENTRY_BYTES = 4800, 110
local SCORE_AGE = 60000000
-- unpack() fails at some 8,000 values.
local MAX_UNPACKED = 4000

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- The fixed fields except 'run': epoch, highest offset given out, floor of all channels, bytes of all channels, number
-- of dedupe keys in the young and in the old generation, offset at which the young generation began, and cursor of the
-- scan for orphans.
local epoch, last, floor, bytes, seen, old, rotated, scan

-- tostring() and .. would format an offset as 1.79e+15. '%d' takes a third of the time of '%.0f', but is limited to 32
-- bits if the server was built so.
local INTEGER = format('%d', 2 ^ 50) == '1125899906842624' and '%d' or '%.0f'
local function text(number) return format(INTEGER, number) end

-- Begins a new epoch. If part of the metadata is lost, the histories cannot be proved complete: removes everything.
local function begin_epoch(intact, known_last)
  if not intact then
    known_last = known_last or (call('ZRANGE', INDEX, -1, -1, 'WITHSCORES')[2] or 0) + SCORE_AGE
    for _, channel in ipairs(call('ZRANGE', INDEX, 0, -1)) do call('UNLINK', HISTORY .. channel) end
    for _, field in ipairs(call('HKEYS', META)) do
      if string.sub(field, 1, 1) == '@' then call('UNLINK', HISTORY .. string.sub(field, 2)) end
    end
    call('UNLINK', META, INDEX, DEDUPE, DEDUPE_OLD)
    last, floor, bytes, seen, old, rotated = known_last, 0, 0, 0, 0, now
    -- If both metadata and index are lost, nothing lists the histories. Scan for them.
    scan = '0'
  end
  last = math.max(last + 1, now)
  epoch = format('%x-', last) .. ARGV[2]
  call('HSET', META, 'epoch', epoch, 'run', ARGV[1], 'last', text(last), 'floor', text(floor), 'bytes', text(bytes),
    'seen', text(seen), 'old', text(old), 'rotated', text(rotated), 'scan', scan)
end

-- Adds the values of the fields list[first] to list[final] of a hash to `values`.
local function read_fields(hash, list, first, final, values)
  for from = first, final, MAX_UNPACKED do
    local to = math.min(final, from + MAX_UNPACKED - 1)
    local found = call('HMGET', hash, unpack(list, from, to))
    if not values then
      values = found
    else
      for _, value in ipairs(found) do values[#values + 1] = value end
    end
  end
  return values
end

-- Opens the metadata. Returns the values of the fixed fields, and the stored records of the channels whose fields are
-- list[first] to list[final]: text, or false if there is none. All come with one command, unless they are very many.
local function open(list, first, final)
  local upto = math.min(final, first + MAX_UNPACKED - 1)
  local fields = call('HMGET', META, 'epoch', 'run', 'last', 'floor', 'bytes', 'seen', 'old', 'rotated', 'scan',
    unpack(list, first, upto))
  local intact = call('HLEN', META) - FIXED == call('ZCARD', INDEX)
    and call('HLEN', DEDUPE) == tonumber(fields[6] or '')
    and call('HLEN', DEDUPE_OLD) == tonumber(fields[7] or '')
  for i = 1, FIXED do intact = intact and fields[i] end
  if not intact then
    begin_epoch(false, tonumber(fields[3] or ''))
    return {}
  end
  epoch, last, floor, bytes = fields[1], tonumber(fields[3]), tonumber(fields[4]), tonumber(fields[5])
  seen, old, rotated, scan = tonumber(fields[6]), tonumber(fields[7]), tonumber(fields[8]), fields[9]
  if upto < final then read_fields(META, list, upto + 1, final, fields) end
  -- Ages are measured in offsets, which never fall.
  now = math.max(now, last)
  -- This is another server, or it was restarted. It may have lost the newest events that it had acknowledged.
  if fields[2] ~= ARGV[1] then begin_epoch(true) end
  return fields
end

-- Makes the functions that work on records, which are tables here. Their offsets are texts, because they are seldom
-- calculated with.
local function work_on_records()
  local work = {}

  function work.parse(channel, stored)
    local newest, removed, size, count, first = match(stored, '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
    return {channel = channel, last = newest, floor = removed, bytes = tonumber(size), count = tonumber(count),
      first = first}
  end

  function work.packed(record)
    return format('%s %s %d %d %s', record.last, record.floor, record.bytes, record.count, record.first)
  end

  function work.save(record)
    call('HSET', META, '@' .. record.channel, work.packed(record), 'bytes', text(bytes))
  end

  -- Empties a record whose entries were lost: what is left of them proves nothing.
  function work.forget(record)
    bytes = bytes - record.bytes + CHANNEL_BYTES
    record.floor, record.bytes, record.count, record.first = record.last, CHANNEL_BYTES, 0, record.last
  end

  -- Returns the record of a channel, given the stored one, if its history has exactly the entries that it counts. Else
  -- empties both. Returns nil if there is no record.
  function work.check(channel, stored)
    local held = call('XLEN', HISTORY .. channel)
    if not stored then
      -- A history without a record is an orphan of an epoch whose metadata and index were both lost.
      if held > 0 then call('UNLINK', HISTORY .. channel) end
      return nil
    end
    local record = work.parse(channel, stored)
    if held ~= record.count then
      call('UNLINK', HISTORY .. channel)
      work.forget(record)
      work.save(record)
    end
    return record
  end

  -- Returns the records of channels in the index. One that has none was put there by another client of the server.
  function work.read(channels)
    local fields, records = {}, {}
    for i, channel in ipairs(channels) do fields[i] = '@' .. channel end
    for i, stored in ipairs(read_fields(META, fields, 1, #fields)) do
      records[i] = stored and work.parse(channels[i], stored)
        or {channel = channels[i], last = '0', bytes = 0, count = 0}
    end
    return records
  end

  -- Removes channels and their metadata. The floor of all channels rises to their last offsets.
  function work.remove(records)
    local channels, fields, histories = {}, {}, {}
    for i, record in ipairs(records) do
      channels[i], fields[i], histories[i] = record.channel, '@' .. record.channel, HISTORY .. record.channel
      bytes, floor = bytes - record.bytes, math.max(floor, tonumber(record.last))
    end
    -- First, because a floor that is too high costs a gap, and one that is too low hides one.
    call('HSET', META, 'floor', text(floor), 'bytes', text(bytes))
    call('UNLINK', unpack(histories))
    call('HDEL', META, unpack(fields))
    call('ZREM', INDEX, unpack(channels))
  end

  -- Removes up to `most` channels whose events have all expired.
  function work.remove_expired(age, most)
    local expired = {}
    local found = call('ZRANGEBYSCORE', INDEX, '-inf', text(now - age), 'LIMIT', 0, most)
    if #found == 0 then return end
    for _, record in ipairs(work.read(found)) do
      if tonumber(record.last) > now - age then
        call('ZADD', INDEX, record.last, record.channel)
      else
        expired[#expired + 1] = record
      end
    end
    if #expired > 0 then work.remove(expired) end
  end

  return work
end
