-- The request that wrk sends, read from the environment that load.py sets, and the result as one line of JSON.
wrk.method = "POST"
wrk.path = os.getenv("BENCH_PATH")

for name, value in os.getenv("BENCH_HEADERS"):gmatch("([^\n:]+): ([^\n]*)") do
  wrk.headers[name] = value
end

local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
wrk.body = file:read("*a")
file:close()

function done(summary, latency, requests)
  local errors = summary.errors
  local form = '\n{"seconds":%.6f,"requests":%d,"p50_ms":%.4f,"p99_ms":%.4f,"refused":%d,"broken":%d}\n'
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  io.write(form:format(summary.duration / 1e6, summary.requests, latency:percentile(50) / 1e3,
                       latency:percentile(99) / 1e3, errors.status, broken))
end
