"""The load generator: wrk sends requests for some time, as many as the server answers."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .processes import LOAD_CORES, BenchmarkError, cpu_affinity

CONNECTIONS = 16
# A busy machine may stall everything for a while. If there was no response at all, try again, each time for longer.
ATTEMPTS, BACKOFF_FACTOR = 3, 4
STOP_SECONDS = 30
# wrk is scripted in Lua. The requests are formatted once and sent in turn.
SCRIPT = """
local requests = {}
function init(args)
  for _, each in ipairs(%s) do
    table.insert(requests, wrk.format(each.method, each.path, each.headers, each.body))
  end
end
local index = 0
function request()
  index = index %% #requests + 1
  return requests[index]
end
function done(summary)
  local errors = summary.errors
  io.write(string.format("%%d %%d %%d %%d\\n", summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
"""


def to_lua(value: object) -> str:
    """Return a Lua literal. A JSON string is one, as long as it has no Unicode escapes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{to_lua(name)}] = {to_lua(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(to_lua(item) for item in value) + "}"
    return json.dumps(value, ensure_ascii=False)


def build_request(
    method: str, path: str, headers: Mapping[str, str], body: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return a request in the form that the script expects."""
    if body is None:
        return {"method": method, "path": path, "headers": dict(headers)}
    headers = {**headers, "Content-Type": "application/json"}
    return {"method": method, "path": path, "headers": headers, "body": json.dumps(body)}


def run_load(
    url: str, requests: Sequence[Mapping[str, Any]], seconds: float, folder: Path, allow_errors: bool = False
) -> tuple[int, float]:
    """Send the requests in turn for this long. Return the number of responses, and the seconds that they took.

    Raise `BenchmarkError` if there is no response, a connection is lost, or, unless `allow_errors`, a status is 400 or
    above.
    """
    script = folder / "requests.lua"
    script.write_text(SCRIPT % to_lua(list(requests)))
    for attempt in range(ATTEMPTS):
        responses, elapsed, errors, lost = run_wrk(url, script, seconds * BACKOFF_FACTOR**attempt)
        if lost or (errors and not allow_errors):
            raise BenchmarkError(f"{url}: {errors} of {responses} responses were errors, {lost} connections were lost")
        if responses:
            return responses, elapsed
    raise BenchmarkError(f"{url} did not respond within {elapsed:.0f} s")


def run_wrk(url: str, script: Path, seconds: float) -> tuple[int, float, int, int]:
    """Return the number of responses, the seconds that they took, and how many were errors and connections lost."""
    # wrk only takes whole seconds, so it is stopped by SIGINT, after which it reports the actual duration. The timeout
    # is above its default of two seconds, since in some baselines a writer may wait for longer.
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", "-d600", "--timeout", "10s", "-s", str(script), url]
    with cpu_affinity(LOAD_CORES):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        time.sleep(seconds)
        output = stop(process)
    finally:
        process.kill()
    if process.returncode:
        raise BenchmarkError(f"wrk failed: {(output.strip().splitlines() or ['no output'])[-1]}")
    responses, microseconds, errors, lost = (int(part) for part in output.splitlines()[-1].split())
    return responses, microseconds / 1e6, errors, lost


def stop(process: subprocess.Popen[str]) -> str:
    """Stop wrk and return its output. It ignores SIGINT while it starts, so the signal is repeated."""
    for _ in range(STOP_SECONDS):
        process.send_signal(signal.SIGINT)
        try:
            return process.communicate(timeout=1)[0]
        except subprocess.TimeoutExpired:
            continue
    raise BenchmarkError(f"wrk did not stop within {STOP_SECONDS} s")
