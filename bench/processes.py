"""Processes that are measured: started on cores of their own, waited for, and ended whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import requests

from tests.live_server import free_port

# Elsewhere than on Linux a process can't be given a core of its own.
CORES = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
# The server has the first core for itself. Load, harness and PostgreSQL share the others.
SERVER_CORES, LOAD_CORES = CORES[:1], CORES[1:]
TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A part of the bench can't go on. The text says why, in one line."""


@contextmanager
def on_cores(cores: Sequence[int]) -> Iterator[None]:
    """What this thread starts within the block runs on these cores alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Running:
    """A server by its command, which finds its port in `PORT`. Starts on entry, and is killed on exit."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        home: Path,
        settings: Mapping[str, str],
        alive: str,
        cores: Sequence[int] = CORES,
    ) -> None:
        """It runs in `folder`, logs to `home`, and is there as soon as it answers at the path `alive`."""
        self.command, self.folder, self.home, self.alive, self.cores = command, folder, home, alive, cores
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = {**settings, "PORT": str(self.port)}

    def __enter__(self) -> Running:
        self.home.mkdir(parents=True, exist_ok=True)
        with on_cores(self.cores), open(self.home / "log", "a") as log:
            self.process = subprocess.Popen(
                [part.replace("$PORT", str(self.port)) for part in self.command],
                cwd=self.folder,
                env={**os.environ, **self.settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a group of its own, with all its workers
            )
        try:
            self.wait()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def wait(self) -> None:
        """Until it answers. Raises `Failed` where it ends, or takes too long."""
        given_up = time.monotonic() + 60
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > given_up:
                said = (self.home / "log").read_text().strip().splitlines()
                raise Failed(f"{' '.join(self.command)} does not answer: {said[-1] if said else 'it says nothing'}")
            time.sleep(0.01)

    def answers(self) -> bool:
        """Whether it answers by now."""
        try:
            return requests.get(self.url + self.alive, timeout=5).ok
        except requests.ConnectionError:
            return False

    def kill(self) -> None:
        """End it and its workers at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def processes(self) -> list[int]:
        """It and its workers."""
        return [int(number) for number in os.listdir("/proc") if number.isdigit() and self.has(int(number))]

    def has(self, process: int) -> bool:
        """Whether this process is one of its group."""
        try:
            return os.getpgid(process) == self.process.pid
        except ProcessLookupError:
            return False

    def cpu_seconds(self) -> float:
        """What all its processes have taken of the cores until now."""
        return sum(cpu_seconds(process) for process in self.processes())


def run_part(part: Callable[[], object]) -> None:
    """Run a part as a program: it ends with one line where it fails, and all that it started ends with it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    if len(CORES) < 2:
        sys.exit("The bench needs Linux and two cores: one for the server, and one for what sends to it.")
    try:
        part()
    except (Failed, RuntimeError) as failure:  # the tests' own servers raise the latter
        sys.exit(f"The bench stops: {str(failure).strip().splitlines()[-1]}")
    except KeyboardInterrupt:
        sys.exit("stopped")


def cpu_seconds(process: int) -> float:
    """What a process has taken of the cores until now; 0 where it is gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return (int(fields[11]) + int(fields[12])) / TICKS


def busy_seconds(cores: Sequence[int]) -> float:
    """How long these cores have not been idle since the machine started, summed up."""
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    times = {name: [int(field) for field in fields] for name, *fields in lines if name.startswith("cpu")}
    # Idle, and waiting for a disk, are the fourth and the fifth; the last two are parts of the first two.
    return sum(sum(times[f"cpu{core}"][:8]) - sum(times[f"cpu{core}"][3:5]) for core in cores) / TICKS
