"""Server processes under test: pinned to cores, awaited until ready, and killed whatever happens."""

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

# Only on Linux can a process be pinned to a core.
CORES = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
# The server has the first core to itself. The load generator, the benchmark and PostgreSQL share the others.
SERVER_CORES, LOAD_CORES = CORES[:1], CORES[1:]
CLOCK_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
START_SECONDS = 60


class BenchmarkError(Exception):
    """A benchmark cannot go on. The message gives the reason in one line."""


@contextmanager
def cpu_affinity(cores: Sequence[int]) -> Iterator[None]:
    """Pin this thread, and what it starts within the block, to these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class ServerProcess:
    """A server started by a command, which finds its port in `PORT`. Starts on entry, and is killed on exit."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        log_folder: Path,
        settings: Mapping[str, str],
        health_path: str,
        cores: Sequence[int] = CORES,
    ) -> None:
        """Run it in `folder` on `cores`. It is ready once `health_path` responds with success."""
        self.command, self.folder, self.log_folder = command, folder, log_folder
        self.health_path, self.cores = health_path, cores
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = {**settings, "PORT": str(self.port)}

    def __enter__(self) -> ServerProcess:
        self.log_folder.mkdir(parents=True, exist_ok=True)
        with cpu_affinity(self.cores), open(self.log_folder / "log", "a") as log:
            self.process = subprocess.Popen(
                [part.replace("$PORT", str(self.port)) for part in self.command],
                cwd=self.folder,
                env={**os.environ, **self.settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a process group for it and its workers
            )
        try:
            self.wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def wait_until_ready(self) -> None:
        """Wait until it responds. Raise `BenchmarkError` if it exits or takes longer than `START_SECONDS`."""
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                lines = (self.log_folder / "log").read_text().strip().splitlines()
                reason = lines[-1] if lines else "no output"
                raise BenchmarkError(f"{' '.join(self.command)} does not respond: {reason}")
            time.sleep(0.01)

    def is_ready(self) -> bool:
        """Return whether it responds."""
        try:
            return requests.get(self.url + self.health_path, timeout=5).ok
        except requests.ConnectionError:
            return False

    def kill(self) -> None:
        """Kill it and its workers."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def pids(self) -> list[int]:
        """Return the process ids of its process group."""
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and self.is_in_group(int(name))]

    def is_in_group(self, pid: int) -> bool:
        """Return whether this process belongs to its process group."""
        try:
            return os.getpgid(pid) == self.process.pid
        except ProcessLookupError:
            return False

    def cpu_seconds(self) -> float:
        """Return the CPU time that all its processes have used."""
        return sum(cpu_seconds(pid) for pid in self.pids())


def run_program(main: Callable[[], object]) -> None:
    """Run `main` as a program: a failure is one line, and SIGTERM ends the processes that it started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    if len(CORES) < 2:
        sys.exit("The benchmarks need Linux and two cores: one for the server, one for the load generator.")
    try:
        main()
    except (BenchmarkError, RuntimeError) as error:  # the servers of tests/ raise RuntimeError
        sys.exit(f"The benchmark failed: {str(error).strip().splitlines()[-1]}")
    except KeyboardInterrupt:
        sys.exit("stopped")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used, or 0 if it has exited."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS_PER_SECOND


def busy_seconds(cores: Sequence[int]) -> float:
    """Return the total time since boot in which these cores were not idle."""
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    times = {name: [int(field) for field in fields] for name, *fields in lines if name.startswith("cpu")}
    # Fields 4 and 5 are idle and iowait; 9 and 10 are already counted in 1 and 2 (proc(5)).
    ticks = sum(sum(times[f"cpu{core}"][:8]) - sum(times[f"cpu{core}"][3:5]) for core in cores)
    return ticks / CLOCK_TICKS_PER_SECOND
