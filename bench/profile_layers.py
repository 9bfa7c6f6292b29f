"""Where the time of Kennel's requests goes, layer by layer: `python -m bench.profile_layers`.

The application of `run.py` is called in a process of its own, without a server, one request after the other. A thousand
times a second it is looked which code runs. What the server, its threads and the sockets take is what an answer of the
real server takes of its core more than one of the application alone.
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

from .measurement import table
from .processes import Failed, run_part
from .sampling_profiler import Profile
from .targets import CALLS, KENNEL, KEY, OURS, POSTGRESQL, SQLITE, Call, sample
from .throughput import ENGINES, Rates, databases, settle
from .wrk import request

MEASURED = [CALLS[name] for name in ("list", "one", "profile", "change", "create")]


def requests_of(call: Call) -> list[dict[str, Any]]:
    """The requests of a call, which say whether a user has to be logged in."""
    return [
        {**request(call.method, path, {}, body), "logged_in": call.logged_in}
        for body in call.bodies
        for path in call.paths
    ]


def look_at(
    engine: str,
    url: str,
    folder: Path,
    calls: Mapping[str, Sequence[Mapping[str, Any]]],
    login: Mapping[str, str] | None = None,
) -> list[Profile]:
    """The profiles of these calls of the application with this database. Raises `Failed`."""
    with open(folder / "log", "w") as log:
        done = subprocess.run(
            [OURS, "-m", "bench.sampling_profiler"],
            check=False,
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": url, "SECRET_KEY": KEY, **KENNEL.settings},
            input=json.dumps({"engine": engine, "login": login, "calls": calls}),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    if done.returncode:
        said = (folder / "log").read_text().strip().splitlines()
        raise Failed(f"the application can't be looked at: {said[-1] if said else 'it says nothing'}")
    return [Profile(**each) for each in json.loads(done.stdout)]


def measure(say: Callable[[object], None], engines: Sequence[str] = (SQLITE, POSTGRESQL)) -> list[Profile]:
    """The profiles of all calls on these engines."""
    found, rows = [], sample()
    login = {name: rows["users"][0][name] for name in ("username", "password")}
    for engine in engines:
        with tempfile.TemporaryDirectory() as name, databases(engine, Path(name)) as new_database:
            folder, url = Path(name), new_database()
            (folder / "rows.json").write_text(json.dumps(rows))
            KENNEL.fill(url, folder / "rows.json")
            settle(KENNEL.name, url)
            some = look_at(engine, url, folder, {call.name: requests_of(call) for call in MEASURED}, login)
        say(f"{engine}\n{profiles_table(some)}")
        found += some
    return found


def profiles_table(profiles: Sequence[Profile], rates: Sequence[Rates] = ()) -> str:
    """A table in Markdown of the profiles of one engine, beside what the real server takes, where that is known."""
    known = {each.call: each for each in rates if (each.engine, each.contender) == (profiles[0].engine, KENNEL.name)}
    titles = [CALLS[each.call].title if each.call in CALLS else each.call for each in profiles]
    columns = [column_of(each, known.get(each.call)) for each in profiles]
    # A line that says nothing is left out.
    names = [name for name in columns[0] if any(column[name] for column in columns)]
    return table(["microseconds", *titles], [[name, *[column[name] for column in columns]] for name in names])


def column_of(profile: Profile, rates: Rates | None) -> dict[str, str]:
    """What a request takes by the clock, and its parts; and of the core, alone and in the server."""

    def part(taken: float) -> str:
        return f"{taken:,.0f} ({taken / profile.wall:.0%})"

    writes = profile.unsynced != profile.wall
    return {
        "**application, by the clock**": f"**{profile.wall:,.0f}**",
        **{layer: part(taken) for layer, taken in profile.layers.items()},
        "of that in the database: until the disk has it": part(max(profile.wall - profile.unsynced, 0))
        if writes
        else "",
        "application, of its core": f"{profile.cpu:,.0f}",
        "**server, of its core**": f"**{rates.cpu:,.0f}**" if rates else "",
        "so granian, threads, sockets": f"{max(rates.cpu - profile.cpu, 0):,.0f}" if rates else "",
        "the server's core works": f"{rates.busy:.0%} of the time" if rates else "",
    }


def main() -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile_layers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", choices=ENGINES, action="append", help="this one alone")
    engines = parser.parse_args().engine or ENGINES
    measure(lambda said: print(said, flush=True), [ENGINES[engine] for engine in engines])


if __name__ == "__main__":
    run_part(main)
