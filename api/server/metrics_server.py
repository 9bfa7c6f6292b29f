"""The metrics port: prometheus_client's server in the main process, with the totals of all worker processes."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from ..observability.metrics import MULTIPROC_DIR_VARIABLE


class WorkerCollector:
    """Adds up the metrics of all worker processes, including dead ones."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.lock = threading.Lock()

    def collect(self) -> list[Metric]:
        """Return the totals. The gauges of dead workers are removed first."""
        with self.lock:
            for path in self.directory.glob("gauge_live*.db"):
                process_id = int(path.stem.rpartition("_")[2])
                if not is_running(process_id):
                    mark_process_dead(process_id, str(self.directory))
            # A worker that was killed while it created a file leaves an empty one.
            files = [str(path) for path in self.directory.glob("*.db") if path.stat().st_size]
            return list(MultiProcessCollector.merge(files))


def is_running(process_id: int) -> bool:
    """Return whether a process with this ID exists."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def start_metrics_server(address: str, port: int) -> Callable[[], None]:
    """Serve `/metrics`, and enable metrics in workers forked from now on. Return a function that stops the server.

    It runs in threads of this process, which can't outlive it. Exits with one line if the port is taken.
    """
    directory = tempfile.mkdtemp(prefix="kennel-metrics-")
    registry = CollectorRegistry()
    registry.register(WorkerCollector(Path(directory)))
    try:
        server, thread = start_http_server(port, address, registry)
    except OSError as error:
        shutil.rmtree(directory)
        sys.exit(f"METRICS_PORT: cannot bind to {address}:{port} ({error.strerror}). For example: 9464")
    os.environ[MULTIPROC_DIR_VARIABLE] = directory
    # Forked workers would keep the port open after this process has ended.
    os.register_at_fork(after_in_child=server.socket.close)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()
        shutil.rmtree(directory, ignore_errors=True)

    return stop
