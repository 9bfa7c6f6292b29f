"""A cluster of two servers on this machine, which share only a database and a picture store.

`make cluster` (`python -m tests.cluster`) starts one behind nginx, and demonstrates that its servers are consistent.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import requests

from .factories import PASSWORD, PHOTOS
from .live_server import Server
from .nginx import NGINX, Nginx
from .postgres import Cluster
from .s3 import S3


class TwoNodeCluster:
    """Two servers with separate home directories. They start concurrently on entry, and are killed on exit."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.one, self.other = self.both = [Server(folder / name, **settings) for name in ("one", "other")]

    def __enter__(self) -> TwoNodeCluster:
        try:
            with ThreadPoolExecutor(2) as threads:
                list(threads.map(Server.start, self.both))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.both:
            server.kill()


def registration_fields(username: str) -> dict[str, str]:
    """Return the form fields that register this user."""
    return {"username": username, "email": f"{username.lower()}@example.com", "password": PASSWORD}


def call(server: Server, method: str, path: str, **content: Any) -> requests.Response:
    """Send a request to one server on a new connection."""
    return requests.request(method, server.url + path, timeout=60, **content)


def photo_file(name: str = "grace_hopper.jpg") -> dict[str, Any]:
    """Return the `files` argument of `requests` that uploads this photo."""
    return {"file": (name, (PHOTOS / name).read_bytes())}


# --- The demonstration ---


def print_line(line: str) -> None:
    """Print a line unbuffered."""
    print(line, flush=True)


def print_step(step: str, response: requests.Response, expected: int) -> requests.Response:
    """Print a step and its status. Raise `SystemExit` if another status was expected."""
    print_line(f"  {step}: {response.status_code}")
    if response.status_code != expected:
        raise SystemExit(f"Expected status {expected}. The response is: {response.text}")
    return response


def demonstrate(cluster: TwoNodeCluster, nginx: Nginx) -> None:
    """Write on one server and read on the other. Raise `SystemExit` if a response is not the expected one."""
    one, other = cluster.one, cluster.other
    print_line("Each write on one server is visible on the other at once:")
    anna = call(one, "POST", "/user/register", data=registration_fields("Anna"), files=photo_file())
    print_step("Anna registers on one, with a photo", anna, 201)
    # The cookie is Secure, and the servers are called directly over http, so it is passed explicitly.
    cookies = anna.cookies.get_dict()
    print_step("Her profile on the other", call(other, "GET", "/user/profile", cookies=cookies), 200)
    picture = f"/profile_pics/{anna.json()['data']['image']}"
    first, second = (
        print_step(f"Her picture on {name}", call(server, "GET", picture), 200)
        for name, server in list_named_servers(cluster)
    )
    if first.content != second.content or first.headers["ETag"] != second.headers["ETag"]:
        raise SystemExit("The two pictures differ.")

    dog = call(other, "POST", "/api/v1/dogs", json={"name": "Rex", "breed": "Poodle"}, cookies=cookies)
    path = f"/api/v1/dogs/{print_step('She adds a dog on the other', dog, 201).json()['data']['id']}"
    if_match = {"If-Match": print_step("The dog on one", call(one, "GET", path), 200).headers["ETag"]}
    for step, server, name, status in (
        ("She renames it on one", one, "Max", 200),
        ("A stale update on the other", other, "Rex", 412),
    ):
        print_step(step, call(server, "PATCH", path, json={"name": name}, headers=if_match, cookies=cookies), status)

    print_step("She logs out on one", call(one, "POST", "/user/logout", cookies=cookies), 200)
    print_step("Her profile on the other", call(other, "GET", "/user/profile", cookies=cookies), 401)
    wrong = {"username": "Anna", "password": "not this one"}
    for number in range(10):
        response = call(cluster.both[number % 2], "POST", "/user/login", json=wrong)
        if response.status_code != 401:
            raise SystemExit(f"Expected status 401 for a wrong password. The response is: {response.text}")
    print_line("  Ten wrong passwords, five on each: 401")
    for name, server in list_named_servers(cluster):
        print_step(f"One more on {name}", call(server, "POST", "/user/login", json=wrong), 429)

    print_line("Through nginx, which alternates between the servers:")
    bob = print_step("Bob registers", nginx.call("POST", "/user/register", json=registration_fields("Bob")), 201)
    for _ in cluster.both:
        print_step("His profile", nginx.call("GET", "/user/profile", cookies=bob.cookies.get_dict()), 200)


def list_named_servers(cluster: TwoNodeCluster) -> Iterator[tuple[str, Server]]:
    """Return the servers with their names in the output."""
    return zip(("one", "the other"), cluster.both, strict=True)


@contextmanager
def production_cluster() -> Iterator[tuple[TwoNodeCluster, Nginx]]:
    """Run two servers behind nginx, with PostgreSQL and an S3 store, within the block."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kennel-cluster-")))
        postgres = stack.enter_context(Cluster())
        s3 = stack.enter_context(S3(folder))
        bucket = s3.make_bucket("kennel")
        store = {"UPLOADS_URL": bucket.url, **s3.environment}
        cluster = TwoNodeCluster(folder, TRUSTED_PROXIES="1", DATABASE_URL=postgres.url("postgres"), **store)
        nginx = Nginx(*cluster.both)
        for server in cluster.both:
            server.settings |= {"PUBLIC_URL": nginx.url, "CORS_ORIGINS": nginx.url}
        stack.enter_context(cluster)
        stack.enter_context(nginx)
        print_line(f"PostgreSQL  {postgres.url('postgres')}")
        print_line(f"Pictures    {bucket.url} on {s3.url}")
        for name, server in list_named_servers(cluster):
            print_line(f"Server      {server.url} ({name})")
        print_line(f"nginx       {nginx.url} (self-signed certificate: your browser will warn)\n")
        yield cluster, nginx


def main() -> None:
    """Start the cluster, demonstrate that it is consistent, and keep it running until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Start two servers behind nginx and check that they are consistent.")
    parser.add_argument("--check", action="store_true", help="exit after the demonstration, with status 1 if it failed")
    check = parser.parse_args().check
    if NGINX is None:
        sys.exit("make cluster needs nginx. Install it: sudo apt install nginx-light openssl curl")
    # Ctrl-C in a terminal signals the whole process group, but this process is to stop its children, in order.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with production_cluster() as (cluster, nginx):
        demonstrate(cluster, nginx)
        if not check:
            print_line("\nThe cluster is running. Press Ctrl-C to stop it.")
            signal.sigwait([signal.SIGINT])
            print_line("")


if __name__ == "__main__":
    main()
