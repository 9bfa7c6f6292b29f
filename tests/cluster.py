"""Two machines on one: servers that share a database and a store of pictures, and nothing else.

`python -m tests.cluster`, or `make cluster`, starts them behind nginx and shows that they are one to their users.
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
    """Two servers, each with a home of its own. Both start on entry, at the same moment, and are killed on exit."""

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
    """What this user registers with."""
    return {"username": username, "email": f"{username.lower()}@example.com", "password": PASSWORD}


def call(server: Server, method: str, path: str, **content: Any) -> requests.Response:
    """Call one server, on a connection of its own."""
    return requests.request(method, server.url + path, timeout=60, **content)


def photo_file(name: str = "grace_hopper.jpg") -> dict[str, Any]:
    """A photo, as a form sends it."""
    return {"file": (name, (PHOTOS / name).read_bytes())}


# --- The demonstration ---


def print_line(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def print_step(deed: str, answer: requests.Response, status: int) -> requests.Response:
    """Say what was done and what came of it. Raises `SystemExit` where it should have been another status."""
    print_line(f"  {deed}: {answer.status_code}")
    if answer.status_code != status:
        raise SystemExit(f"It should have been {status}. The answer is: {answer.text}")
    return answer


def demonstrate(machines: TwoNodeCluster, nginx: Nginx) -> None:
    """Show that what is done on one server holds on the other, at once. Raises `SystemExit` where it does not."""
    one, other = machines.one, machines.other
    print_line("What is done on one server holds on the other, at once:")
    anna = call(one, "POST", "/user/register", data=registration_fields("Anna"), files=photo_file())
    print_step("Anna registers on one, with a photo", anna, 201)
    # The cookie is for https alone, so it is carried over by hand to servers that are called past nginx.
    cookies = anna.cookies.get_dict()
    print_step("Her profile on the other", call(other, "GET", "/user/profile", cookies=cookies), 200)
    picture = f"/profile_pics/{anna.json()['data']['image']}"
    here, there = (
        print_step(f"Her picture on {name}", call(server, "GET", picture), 200) for name, server in named(machines)
    )
    if here.content != there.content or here.headers["ETag"] != there.headers["ETag"]:
        raise SystemExit("The two pictures differ.")

    dog = call(other, "POST", "/api/v1/dogs", json={"name": "Rex", "breed": "Poodle"}, cookies=cookies)
    path = f"/api/v1/dogs/{print_step('She adds a dog on the other', dog, 201).json()['data']['id']}"
    seen = {"If-Match": print_step("It is there on one", call(one, "GET", path), 200).headers["ETag"]}
    for deed, server, name, status in (
        ("She changes it on one", one, "Max", 200),
        ("A change on the other that knows of no such change", other, "Rex", 412),
    ):
        print_step(deed, call(server, "PATCH", path, json={"name": name}, headers=seen, cookies=cookies), status)

    print_step("She logs out on one", call(one, "POST", "/user/logout", cookies=cookies), 200)
    print_step("Her profile on the other", call(other, "GET", "/user/profile", cookies=cookies), 401)
    wrong = {"username": "Anna", "password": "not this one"}
    for number in range(10):
        answer = call(machines.both[number % 2], "POST", "/user/login", json=wrong)
        if answer.status_code != 401:
            raise SystemExit(f"A wrong password should have been 401. The answer is: {answer.text}")
    print_line("  Ten wrong passwords, five on each: 401")
    for name, server in named(machines):
        print_step(f"One more on {name}", call(server, "POST", "/user/login", json=wrong), 429)

    print_line("Through nginx, which calls the servers in turns:")
    bob = print_step("Bob registers", nginx.call("POST", "/user/register", json=registration_fields("Bob")), 201)
    for _ in machines.both:
        print_step("His profile", nginx.call("GET", "/user/profile", cookies=bob.cookies.get_dict()), 200)


def named(machines: TwoNodeCluster) -> Iterator[tuple[str, Server]]:
    """The servers, with the names that the demonstration has for them."""
    return zip(("one", "the other"), machines.both, strict=True)


@contextmanager
def picture_of_production() -> Iterator[tuple[TwoNodeCluster, Nginx]]:
    """Two servers on one PostgreSQL and one store, behind nginx. All of it goes at the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kennel-machines-")))
        postgres = stack.enter_context(Cluster())
        s3 = stack.enter_context(S3(folder))
        bucket = s3.make_bucket("kennel")
        store = {"UPLOADS_URL": bucket.url, **s3.environment}
        machines = TwoNodeCluster(folder, TRUSTED_PROXIES="1", DATABASE_URL=postgres.url("postgres"), **store)
        nginx = Nginx(*machines.both)
        for server in machines.both:
            server.settings |= {"PUBLIC_URL": nginx.url, "CORS_ORIGINS": nginx.url}
        stack.enter_context(machines)
        stack.enter_context(nginx)
        print_line(f"PostgreSQL  {postgres.url('postgres')}")
        print_line(f"Pictures    {bucket.url} on {s3.url}")
        for name, server in named(machines):
            print_line(f"Server      {server.url} ({name})")
        print_line(f"nginx       {nginx.url} (its certificate is its own, so a browser warns)\n")
        yield machines, nginx


def main() -> None:
    """Start the picture, show that it holds, and leave it to be tried out until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Start two servers behind nginx, and show that they are one.")
    parser.add_argument("--check", action="store_true", help="end when it has been shown; with 1 where it fails")
    check = parser.parse_args().check
    if NGINX is None:
        sys.exit("make cluster needs nginx. Run this, then try again: sudo apt install nginx-light openssl curl")
    # At a terminal Ctrl-C goes to all processes. None is to end by it but by this one, in order.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with picture_of_production() as (machines, nginx):
        demonstrate(machines, nginx)
        if not check:
            print_line("\nTry them. Stop them with Ctrl-C.")
            signal.sigwait([signal.SIGINT])
            print_line("")


if __name__ == "__main__":
    main()
