#!lua flags=allow-oom
-- Reads what the channels hold after an offset, merged in order.
--
-- ARGV: age of what is kept in µs, offset to begin after, most entries, most bytes of each channel, the channels.
-- Answers the epoch, the position, the highest floor, each channel's last offset, whether there is more, and the
-- entries: offset, channel, event.

local age, after, most, most_bytes = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

last = math.max(last, now)
-- A time that has not been yet is no believable one: all that is held follows.
if after > last then after = 0 end
local start = '(' .. text(math.max(after, last - age - 1)) .. '-0'

local channels, records, floors, lasts = {}, {}, floor, {}
for i = 7, #ARGV do
  local record = read(ARGV[i])
  channels[#channels + 1] = ARGV[i]
  records[#channels] = record or false
  lasts[#lasts + 1] = text(record and record.last or 0)
  if record then
    floors = math.max(floors, record.floor)
    if record.count > 0 then
      most = math.min(most, math.max(1, math.floor(most_bytes / (record.bytes / record.count))))
    end
  end
end

-- One more than the page from each: no channel can hide an entry that belongs before the page's last.
local found = {}
for i, channel in ipairs(channels) do
  local record = records[i]
  if record and record.count > 0 and record.last > after then
    local entries = redis.call('XRANGE', HISTORY .. channel, start, '+', 'COUNT', most + 1)
    for _, entry in ipairs(entries) do
      found[#found + 1] = {tonumber(string.match(entry[1], '%d+')), channel, entry[2][2]}
    end
    -- Its newest entry is gone, though the count is right: what is left is no proof.
    if #entries <= most and record.last >= last - age and (#entries == 0 or found[#found][1] ~= record.last) then
      floors = math.max(floors, record.last)
    end
  end
end
table.sort(found, function(a, b) return a[1] < b[1] end)

local page, newest, more = {}, nil, 0
for _, entry in ipairs(found) do
  if entry[1] ~= newest then
    if #page == most * 3 then
      more = 1
      break
    end
    newest = entry[1]
    page[#page + 1], page[#page + 2], page[#page + 3] = text(newest), entry[2], entry[3]
  end
end
save()
return {epoch, text(last), text(floors), lasts, more, page}
