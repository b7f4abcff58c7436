-- Send the prepared requests one after another: a line is a signature, a tab and a body.
-- All but the id is written beforehand: the generator shares the machine with what it measures.
local requests, sent = {}, 0
local ID = "0123456789abcdef0123456789abcdef"

function init(args)
  for line in io.lines(args[1]) do
    local signature, body = line:match("^(%x+)\t(.*)$")
    local headers = {
      ["Content-Type"] = "application/json",
      ["User-Agent"] = "sentry/26.10.0 (https://sentry.io)",
      ["Sentry-Hook-Resource"] = "issue",
      ["Sentry-Hook-Timestamp"] = "1795256391",
      ["Sentry-Hook-Signature"] = signature,
      ["Request-ID"] = ID,
    }
    local whole = wrk.format("POST", nil, headers, body)
    local from, to = whole:find(ID, 1, true)
    requests[#requests + 1] = { whole:sub(1, from - 1), whole:sub(to + 1) }
  end
  sent = math.random(#requests)
end

function request()
  sent = sent + 1
  local one = requests[sent % #requests + 1]
  -- Sentry makes a new id for every attempt.
  return one[1] .. string.format("%016x%016x", math.random(2 ^ 52), sent) .. one[2]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"seconds":%f,"p50":%f,"p99":%f,"max":%f,"not_2xx":%d,"broken":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, latency.max / 1e3, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
