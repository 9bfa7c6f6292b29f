"""Databases of up to a million dogs, to see what grows with them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psycopg

from models import Session, User, close_connections, connect

from .seed import fill
from .targets import SQLITE

SIZES = (1_000, 10_000, 100_000, 1_000_000)
FEWEST, MOST = SIZES[0], SIZES[-1]
USERS = 1_000
SYLLABLES = [f"{first}{second}" for first in "bdfgklmnprstv" for second in "aeio"]
# One of each four dogs has the most common value, and five in all the rare one. The newest have a breed of their own.
COMMON = {"name": "Bella", "owner": "Anna Müller", "breed": "Labrador Retriever", "user": 1}
RARE = {"name": "Xylophon", "owner": "Quentin Quixote", "breed": "Thai Bangkaew", "user": USERS}
NEWEST = "Xoloitzcuintle"


def dogs(count: int) -> Iterator[dict[str, Any]]:
    """So many dogs, the same in each run. A few of their values are very common, and many are rare."""
    choice = random.Random(count)
    words = sorted({"".join(choice.choices(SYLLABLES, k=choice.randint(2, 4))).title() for _ in range(20_000)})
    known = {
        "name": words,
        "owner": [f"{choice.choice(words)} {choice.choice(words)}" for _ in range(20_000)],
        "breed": [f"{choice.choice(words)} {kind}" for kind in ("Hound", "Terrier", "Spaniel") for _ in range(100)],
        "user": list(range(2, USERS)),
    }
    # The one at place n comes 1/n as often as the first (Zipf's law).
    weights = {name: list(accumulate(1 / place for place in range(1, len(some) + 1))) for name, some in known.items()}
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    picked = {name: choice.choices(some, cum_weights=weights[name], k=count) for name, some in known.items()}
    rare = range(count // 10, count, count // 5)
    for number in range(count):
        dog = {name: picked[name][number] for name in known}
        for name in known:
            if choice.random() < 0.25:
                dog[name] = COMMON[name]
        if number >= count * 0.98 and dog["breed"] != COMMON["breed"]:
            dog["breed"] = NEWEST
        moment = begin + timedelta(seconds=number * 7919 % count * 60)
        yield (RARE if number in rare else dog) | {"created_at": f"{moment:%Y-%m-%dT%H:%M:%S}.000000Z"}


def fill_with(url: str, count: int) -> str:
    """Fill an empty database with so many dogs, as it would be after a night, and return a token of its first user."""
    names = [f"anna{number}" for number in range(1, USERS + 1)]
    fill(
        url,
        [{"username": name, "email": f"{name}@example.com", "image": f"{name}.webp"} for name in names],
        dogs(count),
    )
    connect(url)
    token = Session.start(User.get_by_id(1)).key
    close_connections()
    if url.startswith("postgresql"):  # its autovacuum would have done so
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
    return token


def filled(
    folder: Path, new_database: Callable[[], str], engines: Sequence[str]
) -> dict[str, dict[int, tuple[str, str]]]:
    """A database of each size on these engines, made on all cores: their URLs, and a token of the first user."""
    urls = {
        engine: {
            size: f"sqlite:///{folder.absolute()}/{size}.sqlite" if engine == SQLITE else new_database()
            for size in SIZES
        }
        for engine in engines
    }
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        # The largest first, since the others take next to no time.
        tasks = {
            (engine, size): pool.submit(fill_with, urls[engine][size], size)
            for size in reversed(SIZES)
            for engine in urls
        }
        return {engine: {size: (urls[engine][size], tasks[engine, size].result()) for size in SIZES} for engine in urls}
