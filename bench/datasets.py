"""Databases of up to a million dogs, to measure how latency scales with data size."""

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

from .seed import seed_database
from .targets import SECRET_KEY, SQLITE

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SMALLEST, LARGEST = SIZES[0], SIZES[-1]
USERS = 1_000
SYLLABLES = [f"{first}{second}" for first in "bdfgklmnprstv" for second in "aeio"]
# Every fourth dog has a common value, and five dogs have the rare ones. The newest 2% have the newest breed.
COMMON_VALUES = {"name": "Bella", "owner": "Anna Müller", "breed": "Labrador Retriever", "user": 1}
RARE_VALUES = {"name": "Xylophon", "owner": "Quentin Quixote", "breed": "Thai Bangkaew", "user": USERS}
NEWEST_BREED = "Xoloitzcuintle"


def generate_dogs(count: int) -> Iterator[dict[str, Any]]:
    """Yield `count` dogs, the same in each run. A few of their values are very common, and many are rare."""
    rng = random.Random(count)
    words = sorted({"".join(rng.choices(SYLLABLES, k=rng.randint(2, 4))).title() for _ in range(20_000)})
    vocabulary = {
        "name": words,
        "owner": [f"{rng.choice(words)} {rng.choice(words)}" for _ in range(20_000)],
        "breed": [f"{rng.choice(words)} {kind}" for kind in ("Hound", "Terrier", "Spaniel") for _ in range(100)],
        "user": list(range(2, USERS)),
    }
    # Zipf's law: the value of rank n is 1/n times as frequent as the first.
    weights = {
        name: list(accumulate(1 / rank for rank in range(1, len(values) + 1))) for name, values in vocabulary.items()
    }
    start = datetime(2020, 1, 1, tzinfo=UTC)
    choices = {name: rng.choices(values, cum_weights=weights[name], k=count) for name, values in vocabulary.items()}
    rare = range(count // 10, count, count // 5)
    for number in range(count):
        dog = {name: choices[name][number] for name in vocabulary}
        for name in vocabulary:
            if rng.random() < 0.25:
                dog[name] = COMMON_VALUES[name]
        if number >= count * 0.98 and dog["breed"] != COMMON_VALUES["breed"]:
            dog["breed"] = NEWEST_BREED
        created_at = start + timedelta(seconds=number * 7919 % count * 60)
        yield (RARE_VALUES if number in rare else dog) | {"created_at": f"{created_at:%Y-%m-%dT%H:%M:%S}.000000Z"}


def fill_database(url: str, count: int) -> str:
    """Fill an empty database with users and `count` dogs, and return a session token of the first user."""
    names = [f"anna{number}" for number in range(1, USERS + 1)]
    seed_database(
        url,
        [{"username": name, "email": f"{name}@example.com", "image": f"{name}.webp"} for name in names],
        generate_dogs(count),
    )
    connect(url)
    Session.secret = SECRET_KEY.encode()  # of the server that gets the token
    token = Session.start(User.get_by_id(1)).key
    close_connections()
    if url.startswith("postgresql"):  # as autovacuum would do sooner or later
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
    return token


def fill_databases(
    folder: Path, create_database: Callable[[], str], engines: Sequence[str]
) -> dict[str, dict[int, tuple[str, str]]]:
    """Fill a database of each size on each engine, on all cores. Return their URLs and tokens, by engine and size."""
    urls = {
        engine: {
            size: f"sqlite:///{folder.absolute()}/{size}.sqlite" if engine == SQLITE else create_database()
            for size in SIZES
        }
        for engine in engines
    }
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        # The largest first, since the others take next to no time.
        tasks = {
            (engine, size): pool.submit(fill_database, urls[engine][size], size)
            for size in reversed(SIZES)
            for engine in urls
        }
        return {engine: {size: (urls[engine][size], tasks[engine, size].result()) for size in SIZES} for engine in urls}
