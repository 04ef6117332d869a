#!lua flags=allow-oom
-- Reads the entries of some channels after an offset, merged into one order.
--
-- ARGV: age of the history in µs, offset to begin after, maximum entries, maximum bytes, number of channels, the
-- channels. Then for each possible loss: its channel and two offsets. An entry above the first, up to the second, was
-- lost.
-- Returns the epoch, the position, the highest floor, each channel's last offset, whether something was lost, whether
-- there is more, and for each entry its offset, channel and event.

local age, after, max_entries, max_bytes = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local count = tonumber(ARGV[7])

local check = work_on_records().check
local wanted, records = {}, {}
for i = 1, count do wanted[i] = '@' .. ARGV[7 + i] end
local stored = open(wanted, 1, count)
for i = 1, count do records[ARGV[7 + i]] = check(ARGV[7 + i], stored[FIXED + i]) end

last = math.max(last, now)
-- An offset in the future proves nothing, so return everything.
if after > last then after = 0 end

local lost = 0
for i = 8 + count, #ARGV, 3 do
  local channel, complete = ARGV[i], tonumber(ARGV[i + 1])
  local record = records[channel] or check(channel, call('HMGET', META, '@' .. channel)[1])
  local first
  if math.max(floor, record and tonumber(record.floor) or 0) > complete then
    first = complete + 1
  else
    local entry = call('XRANGE', HISTORY .. channel, '(' .. ARGV[i + 1] .. '-0', ARGV[i + 2], 'COUNT', 1)[1]
    first = entry and tonumber(match(entry[1], '%d+'))
  end
  if first then
    lost, after = 1, math.min(after, first - 1)
  end
end

local floors, lasts, active, size, held = floor, {}, {}, 0, 0
for i = 8, 7 + count do
  local record = records[ARGV[i]]
  lasts[#lasts + 1] = record and record.last or '0'
  if record then
    floors = math.max(floors, tonumber(record.floor))
    if record.count > 0 and tonumber(record.last) > after then
      active[#active + 1] = {ARGV[i], record}
      size, held = size + record.bytes, held + record.count
    end
  end
end

-- Maximum entries read from one channel. If a channel has more, the page ends with the last one read from it. So no
-- channel can hide an entry that belongs before the end of the page.
local share = max_entries + 1
if #active > 1 then share = math.ceil(max_entries * 2 / #active) + 1 end
if held > 0 then share = math.max(1, math.min(share, math.floor(max_bytes / #active / (size / held)))) end

local found, upto, more = {}, last, 0
local start = '(' .. text(math.max(after, last - age - 1)) .. '-0'
for _, pair in ipairs(active) do
  local channel, held_last = pair[1], tonumber(pair[2].last)
  local entries = call('XRANGE', HISTORY .. channel, start, '+', 'COUNT', share)
  local newest = 0
  for _, entry in ipairs(entries) do
    newest = tonumber(match(entry[1], '%d+'))
    found[#found + 1] = {newest, channel, entry[2][2]}
  end
  if #entries == share then
    if newest < held_last then upto, more = math.min(upto, newest), 1 end
  elseif newest ~= held_last and held_last >= last - age then
    -- The count is right, but the newest entry is missing, so the rest proves nothing.
    floors = math.max(floors, held_last)
  end
end
table.sort(found, function(a, b) return a[1] < b[1] end)

local page, newest = {}, nil
for _, entry in ipairs(found) do
  if entry[1] > upto then break end
  if entry[1] ~= newest then
    if #page == max_entries * 3 then
      more = 1
      break
    end
    newest = entry[1]
    page[#page + 1], page[#page + 2], page[#page + 3] = text(newest), entry[2], entry[3]
  end
end
call('HSET', META, 'last', text(last))
return {epoch, text(last), text(floors), lasts, lost, more, page}
