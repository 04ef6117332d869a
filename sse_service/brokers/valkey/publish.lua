#!lua
-- Stores the events of one call, without duplicates, and publishes them to the subscribed tasks.
--
-- ARGV: maximum events of a channel, age of the history in µs, maximum bytes of all channels, dedupe window in µs,
-- maximum dedupe keys, prefix of the pub/sub channels, number of events, number of channels, number of different dedupe
-- keys; the dedupe key of each event; the field of each channel ('@' .. channel); the digest of each event's content;
-- the events. Then, unless the first event is of the first channel alone, the second of the second, and so on: for each
-- event, the numbers of its channels, separated by spaces.
-- Returns for each event its offset, or 'same' or 'differing' for a duplicate; and last the epoch.
--
-- What a call costs is its commands, arguments and garbage. So one command reads all records, one all dedupe keys, and
-- one each writes them. Per event there are only XADD and PUBLISH, and as few strings and tables as possible.

local max_events, age, max_bytes = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local window, max_keys, live, events = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], tonumber(ARGV[9])
-- The first dedupe key is ARGV[KEY + 1], the first field ARGV[FIELD + 1], and its record records[FIXED + 1].
local KEY, FIELD, channels = 11, 11 + events, tonumber(ARGV[10])
local CONTENT = FIELD + channels
local EVENT, WHERE = CONTENT + events, CONTENT + 2 * events

local records = open(ARGV, FIELD + 1, FIELD + channels)

-- A history may exceed its limits of events and age by a tenth, and is then cut to them. So one command removes many
-- entries. The limit of bytes is exact.
local most_events, too_old = max_events + math.min(math.floor(max_events / 10), 50), now - age - age / 10
-- The scores of channels without an event since then are set again.
local minute = now - now % math.min(SCORE_AGE, age / 60)
local created = 0
-- Scores to set, each with its channel.
local scores = {}
-- Dedupe keys to add, each with its value, and their number.
local list, listed = {}, 0

-- Makes the functions that remove entries, and adds them to those that work on records.
local work
local function work_on_entries()
  if work then return work end
  work = work_on_records()

  -- Takes the oldest entries off a record until `fits` accepts it with the next entry as its first. Returns the id of
  -- that entry; nil if none is left. Removes the entries only if `delete` says so.
  local function cut(record, fits, step, delete)
    local history, start = HISTORY .. record.channel, '-'
    repeat
      local removed, kept, entries = {}, nil, call('XRANGE', history, start, '+', 'COUNT', step)
      for _, entry in ipairs(entries) do
        local id = match(entry[1], '^%d+')
        if fits(record, id) then
          kept = id
          break
        end
        local size = #entry[2][2] + ENTRY_BYTES
        record.count, record.bytes, bytes = record.count - 1, record.bytes - size, bytes - size
        record.floor, start = id, '(' .. entry[1]
        removed[#removed + 1] = entry[1]
      end
      if delete and #removed > 0 then call('XDEL', history, unpack(removed)) end
      if kept then
        record.first = kept
        return kept
      end
    until #entries < step
    -- There were no more entries. If the record counts some, they were lost.
    work.forget(record)
  end

  local function fits_events(record, id) return record.count < max_events and tonumber(id) >= now - age end

  local function fits_bytes(record) return bytes <= max_bytes or record.count <= 1 end

  -- Adds an event to a channel that is new or must be cut, or whose history was lost. Returns the record to store.
  function work.append(channel, stored, number, event, lost)
    local record
    if not stored then
      created, bytes = created + 1, bytes + CHANNEL_BYTES
      record = {channel = channel, floor = '0', bytes = CHANNEL_BYTES, count = 0}
    else
      record = work.parse(channel, stored)
      if lost then
        work.forget(record)
      elseif record.count > 0 then
        local first = cut(record, fits_events, math.max(20, math.min(record.count - max_events + 2, 100)))
        local id = first and redis.pcall('XADD', HISTORY .. channel, 'NOMKSTREAM', 'MINID', first, number, 'e', event)
        if type(id) ~= 'string' then work.forget(record) end
      end
    end
    if record.count == 0 then
      call('UNLINK', HISTORY .. channel)
      call('XADD', HISTORY .. channel, number, 'e', event)
      record.first = number
    end
    local size = #event + ENTRY_BYTES
    record.last, record.count, record.bytes, bytes = number, record.count + 1, record.bytes + size, bytes + size
    return work.packed(record)
  end

  -- Removes the channels idle longest until the bytes fit. Channels of the newest event lose older entries first.
  function work.make_room()
    while bytes > max_bytes do
      -- Each channel frees at least CHANNEL_BYTES.
      local most = math.min(math.ceil((bytes - max_bytes) / CHANNEL_BYTES), 100)
      local found, names, idle, size = call('ZRANGE', INDEX, 0, most - 1, 'WITHSCORES'), {}, {}, 0
      for i = 1, #found, 2 do names[#names + 1] = found[i] end
      for i, record in ipairs(work.read(names)) do
        if bytes - size <= max_bytes then break end
        if tonumber(record.last) > tonumber(found[2 * i]) then
          call('ZADD', INDEX, record.last, record.channel)
          break
        end
        if tonumber(record.last) == last and record.count > 1 then
          if #idle == 0 then
            cut(record, fits_bytes, 20, true)
            work.save(record)
          end
          break
        end
        idle[i], size = record, size + record.bytes
      end
      if #idle > 0 then work.remove(idle) end
    end
  end

  -- Adds the listed dedupe keys. Replaces the old generation of dedupe keys by the young one. So a key is kept for at
  -- least one window, unless the limit of keys is reached.
  function work.rotate(offset)
    if listed > 0 then seen = seen + call('HSET', DEDUPE, unpack(list, 1, listed)) end
    listed = 0
    call('UNLINK', DEDUPE_OLD)
    if seen > 0 then call('RENAME', DEDUPE, DEDUPE_OLD) end
    seen, old, rotated = 0, seen, offset
    call('HSET', META, 'old', text(old), 'rotated', text(rotated))
  end

  return work
end

local pcall, sub = redis.pcall, string.sub

local function append(index, event, number)
  local channel, stored = sub(ARGV[FIELD + index], 2), records[FIXED + index]
  local previous, changed, lost, aged = '0', nil, false, true
  if stored then
    local newest, removed, held, count, first = match(stored, '^(%d+)( %d+ )(%d+) (%d+)(.+)$')
    previous, count, aged = newest, tonumber(count), tonumber(newest) < minute
    -- That a history is too old is noticed with the first event of a minute.
    if count > 0 and count < most_events and not (aged and tonumber(first) < too_old) then
      -- NOMKSTREAM notices the loss of a whole history, which costs less than asking for its length. The loss of single
      -- entries is noticed when the history is read. An error means that another client of the server has put something
      -- else there.
      if type(pcall('XADD', HISTORY .. channel, 'NOMKSTREAM', number, 'e', event)) == 'string' then
        local size = #event + ENTRY_BYTES
        bytes = bytes + size
        changed = format('%s%s%d %d%s', number, removed, held + size, count + 1, first)
      else
        lost = true
      end
    end
  end
  records[FIXED + index] = changed or work_on_entries().append(channel, stored, number, event, lost)
  if aged then
    scores[#scores + 1] = number
    scores[#scores + 1] = channel
  end
  call('PUBLISH', live .. channel, epoch .. ' ' .. number .. ' ' .. previous .. '\n' .. event)
end

-- Returns the digest in the value of a dedupe key, if that is within the window.
local function within_window(value, offset)
  local at, content = match(value, '^(%d+) (.*)$')
  if tonumber(at) >= offset - window then return content end
end

-- The answers take the place of the stored values.
local answer = read_fields(DEDUPE, ARGV, KEY + 1, KEY + events)
local aged = old > 0 and read_fields(DEDUPE_OLD, ARGV, KEY + 1, KEY + events)
-- Contents of this call, if a dedupe key is in it more than once.
local here, marked = tonumber(ARGV[11]) < events and {}, false
for i = 1, events do
  local key, content, offset = ARGV[KEY + i], ARGV[CONTENT + i], math.max(last + 1, now)
  local stored = answer[i]
  local before = here and here[key] or stored and within_window(stored, offset)
  stored = aged and not before and aged[i]
  if stored then before = within_window(stored, offset) end
  if before then
    answer[i] = before == content and 'same' or 'differing'
  else
    if not marked then
      -- If the script fails before its end, events are published or stored that the metadata does not know. With this
      -- mark, the next call finds the metadata not intact, and begins a new epoch above these offsets.
      call('HSET', META, 'seen', 'unknown', 'last', text(offset + events))
      marked = true
    end
    if offset - rotated > window or seen + listed / 2 >= max_keys / 2 then work_on_entries().rotate(offset) end
    if listed >= MAX_UNPACKED then
      seen, listed = seen + call('HSET', DEDUPE, unpack(list, 1, listed)), 0
    end
    last = offset
    if here then here[key] = content end
    local number, where = text(offset), ARGV[WHERE + i]
    answer[i] = number
    list[listed + 1], list[listed + 2] = key, number .. ' ' .. content
    listed = listed + 2
    if not where then
      append(i, ARGV[EVENT + i], number)
    else
      for index in string.gmatch(where, '%d+') do append(tonumber(index), ARGV[EVENT + i], number) end
    end
  end
end
answer[events + 1] = epoch
if not marked then return answer end

seen = seen + call('HSET', DEDUPE, unpack(list, 1, listed))
for from = 1, #scores, MAX_UNPACKED do
  call('ZADD', INDEX, unpack(scores, from, math.min(#scores, from + MAX_UNPACKED - 1)))
end
-- The same table, because its room is there.
local count = 0
for i = 1, channels do
  local record = records[FIXED + i]
  if record then
    list[count + 1], list[count + 2] = ARGV[FIELD + i], record
    count = count + 2
    if count >= MAX_UNPACKED then
      call('HSET', META, unpack(list, 1, count))
      count = 0
    end
  end
end
-- This takes the mark away.
list[count + 1], list[count + 2] = 'last', text(last)
list[count + 3], list[count + 4] = 'bytes', text(bytes)
list[count + 5], list[count + 6] = 'seen', text(seen)
call('HSET', META, unpack(list, 1, count + 6))
if bytes > max_bytes then work_on_entries().make_room() end
-- As many as can be created. The probes remove the rest.
if created > 0 then work_on_entries().remove_expired(age, math.min(20 + created, 100)) end
return answer
