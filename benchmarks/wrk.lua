-- Send the prepared requests one after another: a line is a signature, a tab and a body.
local requests, sent = {}, 0

function init(args)
  local offset = 0
  for line in io.lines(args[1]) do
    local signature, body = line:match("^(%x+)\t(.*)$")
    local headers = {
      ["Content-Type"] = "application/json",
      ["User-Agent"] = "sentry/26.10.0 (https://sentry.io)",
      ["Sentry-Hook-Resource"] = "issue",
      ["Sentry-Hook-Timestamp"] = "1795256391",
      ["Sentry-Hook-Signature"] = signature,
    }
    requests[#requests + 1] = { headers = headers, body = body }
  end
  sent = math.random(#requests)
end

function request()
  sent = sent + 1
  local one = requests[sent % #requests + 1]
  -- Sentry makes a new id for every attempt.
  one.headers["Request-ID"] = string.format("%016x%016x", math.random(2 ^ 52), sent)
  return wrk.format("POST", nil, one.headers, one.body)
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"seconds":%f,"p50":%f,"p99":%f,"max":%f,"not_2xx":%d,"broken":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, latency.max / 1e3, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
