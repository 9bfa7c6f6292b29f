"""Substring search over name, owner and breed of the dogs, ignoring case.

There are two ways to fill a page, and the functions below choose. A sequential scan checks the dogs in list order until
the page is full, which is fast for frequent substrings. The trigram index (three characters in a row; FTS5 on SQLite,
pg_trgm on PostgreSQL) finds the dogs that have all trigrams of the substring; each is checked and all are sorted, which
is fast for rare substrings.

Substrings of fewer than three characters have no trigram, and a database may have no such index (see
`migrations/0003_search_index.py`). Both leave the sequential scan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import WeakSet

import peewee

from .casefold import casefold_nfc
from .db.connection import database
from .db.keyset import is_sqlite
from .search_queries import (
    INDEX,
    LONG_SCAN_ROWS,
    SEARCHED_COLUMNS,
    TRIGRAM_LENGTH,
    fts_query,
    fts_scan,
    fts_scan_by_id,
    like_pattern,
    long_scan,
    sequential_scan,
    short_scan,
    trigram_scan,
    trigram_scan_after_long,
    trigram_scan_after_short,
)

# Up to this many matches the index is faster than a sequential scan that may find nothing.
INDEX_SCAN_LIMIT = 4000
# SQLite: interrupt a sequential scan after this many steps of its virtual machine. A dog takes about a dozen.
MAX_VM_STEPS = 150_000
# PostgreSQL: do the long scan if more matches are estimated, because the index takes longer for these.
ESTIMATE_THRESHOLD = LONG_SCAN_ROWS

# Databases that are known to have the index.
indexed_databases: WeakSet[Any] = WeakSet()


def search(
    part: str, is_unfiltered: bool, is_sorted_by_id: bool, fetch: Callable[..., list[Any]], count: int
) -> list[Any]:
    """Return up to `count` dogs that contain `part`.

    `is_unfiltered`: the list has no other filter. `is_sorted_by_id`: it is in the order of the ids.
    `fetch(strategy)` executes the query of a strategy (see `QueryStrategy`); with `by_id`, it sorts by the id alone
    whatever index a filter would use; with `row_values`, it compares positions as row values.
    """
    part = casefold_nfc(part)
    if len(part) < TRIGRAM_LENGTH or "\0" in part or not has_index():  # FTS5 strings end at a NUL
        return fetch(sequential_scan)
    if is_sqlite():
        return search_sqlite(part, is_unfiltered, is_sorted_by_id, fetch)
    return search_postgres(part, fetch, count)


def search_sqlite(part: str, is_unfiltered: bool, is_sorted_by_id: bool, fetch: Callable[..., list[Any]]) -> list[Any]:
    """Use the index for a rare substring; else a sequential scan, and the index if that takes too long.

    The index has the dogs in the order of their ids, so in a list sorted by id it stops when the page is full.
    """
    if is_sorted_by_id:
        use_index = partial(fetch, fts_scan_by_id, by_id=True)
    else:
        use_index = partial(fetch, fts_scan, row_values=True)
    if (is_unfiltered and is_sorted_by_id) or is_selective(part):
        return use_index()
    rows = with_step_limit(partial(fetch, sequential_scan))
    return use_index() if rows is None else rows


def search_postgres(part: str, fetch: Callable[..., list[Any]], count: int) -> list[Any]:
    """Use the index for a rare substring; else a sequential scan that is limited, and the index if it finds too few."""
    with snapshot_transaction():
        estimate = estimate_rows(part)
        if estimate <= INDEX_SCAN_LIMIT:
            return fetch(trigram_scan)
        if estimate <= ESTIMATE_THRESHOLD:
            scan, continue_by_index = short_scan, trigram_scan_after_short
        else:
            scan, continue_by_index = long_scan, trigram_scan_after_long
        rows = fetch(scan)
        return rows if len(rows) == count else fetch(continue_by_index) or rows


# --- What the planner knows ---


def has_index() -> bool:
    """Return whether the database has the index. A missing one is looked for again each time."""
    if database.obj in indexed_databases:
        return True
    if is_sqlite():
        found = database.table_exists(INDEX)
    else:
        (found,) = database.execute_sql("SELECT to_regclass(%s) IS NOT NULL", (INDEX,)).fetchone()
    if found:
        indexed_databases.add(database.obj)
    return found


def is_selective(part: str) -> bool:
    """Return whether SQLite's index has at most `INDEX_SCAN_LIMIT` dogs with the trigrams of this substring."""
    matches = f"SELECT 1 FROM {INDEX} WHERE {INDEX} MATCH ? LIMIT ?"  # noqa: S608 - a constant
    count = f"SELECT count(*) FROM ({matches})"  # noqa: S608
    (number,) = database.execute_sql(count, (fts_query(part), INDEX_SCAN_LIMIT + 1)).fetchone()
    return number <= INDEX_SCAN_LIMIT


def with_step_limit(fetch: Callable[[], list[Any]]) -> list[Any] | None:
    """Return the rows that a function fetches from SQLite, or None if a statement takes over `MAX_VM_STEPS` steps."""
    connection = database.connection()
    connection.set_progress_handler(lambda: True, MAX_VM_STEPS)  # true interrupts the statement
    try:
        return fetch()
    except peewee.OperationalError as error:
        if str(error) != "interrupted":
            raise
        return None
    finally:
        connection.set_progress_handler(None, 0)


@contextmanager
def snapshot_transaction() -> Iterator[None]:
    """Run in a REPEATABLE READ transaction without prepared statements.

    So all statements see the same dogs, and PostgreSQL plans each for its values. Its generic plan of a prepared
    statement would go through all names to find the dogs of a rare breed in the order of their names.
    """
    with database.atomic("REPEATABLE READ"):
        connection = database.connection()
        before, connection.prepare_threshold = connection.prepare_threshold, None
        try:
            yield
        finally:
            connection.prepare_threshold = before


def estimate_rows(part: str) -> int:
    """Return how many dogs PostgreSQL's planner expects to contain this substring."""
    any_like = " OR ".join(f"{column.column_name} LIKE %s" for column in SEARCHED_COLUMNS)
    explain = f"EXPLAIN (FORMAT JSON) SELECT FROM dogs WHERE {any_like}"
    ((plan,),) = database.execute_sql(explain, [like_pattern(part)] * len(SEARCHED_COLUMNS)).fetchall()
    return plan[0]["Plan"]["Plan Rows"]
