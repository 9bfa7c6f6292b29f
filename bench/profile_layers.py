"""A profile of Kennel's requests, layer by layer: `python -m bench.profile_layers`.

The application of `run.py` is called in a process without a server, one request after the other, under a sampling
profiler. The cost of the server, its threads and its sockets is the difference between the CPU time of the real server
per response and that of the application.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.live_server import ROOT

from .measurement import format_table
from .processes import BenchmarkError, run_program
from .sampling_profiler import Profile
from .targets import CALLS, KENNEL, KENNEL_PYTHON, POSTGRESQL, SECRET_KEY, SQLITE, Call, sample_rows
from .throughput import ENGINES, Throughput, database_factory, prepare_database
from .wrk import build_request

PROFILED_CALLS = [CALLS[name] for name in ("list", "one", "profile", "change", "create")]


def build_requests(call: Call) -> list[dict[str, Any]]:
    """Return the requests of a call, each with whether it needs a login."""
    return [
        {**build_request(call.method, path, {}, body), "needs_login": call.needs_login}
        for body in call.bodies
        for path in call.paths
    ]


def profile_calls(
    engine: str,
    url: str,
    folder: Path,
    calls: Mapping[str, Sequence[Mapping[str, Any]]],
    credentials: Mapping[str, str] | None = None,
) -> list[Profile]:
    """Profile the application with this database. `calls` has the requests by name. Raise `BenchmarkError`."""
    with open(folder / "log", "w") as log:
        completed = subprocess.run(
            [KENNEL_PYTHON, "-m", "bench.sampling_profiler"],
            check=False,
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": url, "SECRET_KEY": SECRET_KEY, **KENNEL.settings},
            input=json.dumps({"engine": engine, "credentials": credentials, "calls": calls}),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    if completed.returncode:
        lines = (folder / "log").read_text().strip().splitlines()
        raise BenchmarkError(f"the application could not be profiled: {lines[-1] if lines else 'no output'}")
    return [Profile(**each) for each in json.loads(completed.stdout)]


def measure(echo: Callable[[object], None], engines: Sequence[str] = (SQLITE, POSTGRESQL)) -> list[Profile]:
    """Profile all calls on these engines."""
    results, rows = [], sample_rows()
    credentials = {name: rows["users"][0][name] for name in ("username", "password")}
    for engine in engines:
        with tempfile.TemporaryDirectory() as name, database_factory(engine, Path(name)) as create_database:
            folder, url = Path(name), create_database()
            (folder / "rows.json").write_text(json.dumps(rows))
            KENNEL.seed(url, folder / "rows.json")
            prepare_database(KENNEL.name, url)
            calls = {call.name: build_requests(call) for call in PROFILED_CALLS}
            profiles = profile_calls(engine, url, folder, calls, credentials)
        echo(f"{engine}\n{format_profiles(profiles)}")
        results += profiles
    return results


def format_profiles(profiles: Sequence[Profile], throughput: Sequence[Throughput] = ()) -> str:
    """Return a Markdown table of the profiles of one engine, with the CPU time of the real server where it is known."""
    servers = {
        each.call: each for each in throughput if (each.engine, each.target) == (profiles[0].engine, KENNEL.name)
    }
    titles = [CALLS[each.call].title if each.call in CALLS else each.call for each in profiles]
    columns = [format_column(each, servers.get(each.call)) for each in profiles]
    rows = [[name, *[column[name] for column in columns]] for name in columns[0]]
    return format_table(["microseconds", *titles], [row for row in rows if any(row[1:])])


def format_column(profile: Profile, server: Throughput | None) -> dict[str, str]:
    """Return the cells of one call by row: its wall time by layer, and its CPU time without and with the server."""

    def share(microseconds: float) -> str:
        return f"{microseconds:,.0f} ({microseconds / profile.wall:.0%})"

    sync = share(max(profile.wall - profile.unsynced, 0)) if profile.unsynced != profile.wall else ""
    return {
        "**application, wall time**": f"**{profile.wall:,.0f}**",
        **{layer: share(microseconds) for layer, microseconds in profile.layers.items()},
        "of which disk sync": sync,
        "application, CPU time": f"{profile.cpu:,.0f}",
        "**server, CPU time**": f"**{server.cpu_microseconds:,.0f}**" if server else "",
        "difference: granian, threads, sockets": f"{max(server.cpu_microseconds - profile.cpu, 0):,.0f}"
        if server
        else "",
        "server CPU utilization": f"{server.utilization:.0%}" if server else "",
    }


def main() -> None:
    """Profile all calls and print the results."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile_layers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", choices=ENGINES, action="append", help="only this engine")
    engines = parser.parse_args().engine or ENGINES
    measure(lambda text: print(text, flush=True), [ENGINES[engine] for engine in engines])


if __name__ == "__main__":
    run_program(main)
