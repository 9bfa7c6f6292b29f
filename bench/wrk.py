"""Requests from wrk: as many as a server answers, for some time."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .processes import LOAD_CORES, Failed, on_cores

CONNECTIONS = 16
# A machine that is busy otherwise may hold all up for a moment. So where nothing is answered, it is tried so many times
# in all, each for this many times as long as before.
ATTEMPTS, LONGER = 3, 4
# How long wrk may take to end, in seconds.
PATIENCE = 30
# The requests in wrk's own language. It makes each of them once, and they take turns.
SCRIPT = """
local requests = {}
function init(args)
  for _, each in ipairs(%s) do
    table.insert(requests, wrk.format(each.method, each.path, each.headers, each.body))
  end
end
local turn = 0
function request()
  turn = turn %% #requests + 1
  return requests[turn]
end
function done(summary)
  local errors = summary.errors
  io.write(string.format("%%d %%d %%d %%d\\n", summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
"""


def lua(value: object) -> str:
    """A value as Lua writes it. JSON's texts are Lua's, where they hold no escapes of Unicode."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{lua(name)}] = {lua(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(lua(item) for item in value) + "}"
    return json.dumps(value, ensure_ascii=False)


def request(
    method: str, path: str, headers: Mapping[str, str], body: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """A request as the script has it."""
    if body is None:
        return {"method": method, "path": path, "headers": dict(headers)}
    headers = {**headers, "Content-Type": "application/json"}
    return {"method": method, "path": path, "headers": headers, "body": json.dumps(body)}


def load(
    url: str, sent: Sequence[Mapping[str, Any]], seconds: float, folder: Path, refusals: bool = False
) -> tuple[int, float]:
    """Let wrk send these requests in turn for so long, and return how many were answered, and the seconds they took.

    Raises `Failed` where none is answered, for a lost connection, and for an answer that is an error, unless there may
    be `refusals`.
    """
    path = folder / "requests.lua"
    path.write_text(SCRIPT % lua(list(sent)))
    for attempt in range(ATTEMPTS):
        answered, taken, errors, lost = run_wrk(url, path, seconds * LONGER**attempt)
        if lost or (errors and not refusals):
            raise Failed(f"{url}: {errors} of {answered} answers were errors, and {lost} connections were lost")
        if answered:
            return answered, taken
    raise Failed(f"{url} answers nothing within {taken:.0f} s")


def run_wrk(url: str, script: Path, seconds: float) -> tuple[int, float, int, int]:
    """The answers that wrk has got, the seconds they took, the errors among them, and the connections it lost."""
    # wrk counts whole seconds alone. At Ctrl-C it stops earlier, and tells as much. Of an answer that takes more than
    # two seconds it would say that the connection is lost: some rivals let a writer wait for longer.
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", "-d600", "--timeout", "10s", "-s", str(script), url]
    with on_cores(LOAD_CORES):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        time.sleep(seconds)
        said = stopped(process)
    finally:
        process.kill()
    if process.returncode:
        raise Failed(f"wrk failed: {(said.strip().splitlines() or ['it says nothing'])[-1]}")
    answered, microseconds, errors, lost = (int(part) for part in said.splitlines()[-1].split())
    return answered, microseconds / 1e6, errors, lost


def stopped(process: subprocess.Popen[str]) -> str:
    """What wrk says at its end. It ignores Ctrl-C while it starts, so it is told so again."""
    for _ in range(PATIENCE):
        process.send_signal(signal.SIGINT)
        try:
            return process.communicate(timeout=1)[0]
        except subprocess.TimeoutExpired:
            continue
    raise Failed(f"wrk does not end within {PATIENCE} s")
