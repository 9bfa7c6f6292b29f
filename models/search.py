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
from functools import partial, reduce
from operator import or_
from typing import Any
from weakref import WeakSet

import peewee

from .casefold import casefold_nfc
from .db.connection import database
from .db.keyset import ApplyOrder, is_sqlite
from .db.statements import BindParam
from .dog import Dog

TRIGRAM_LENGTH = 3
# Up to this many matches the index is faster than a sequential scan that may find nothing.
INDEX_SCAN_LIMIT = 4000
# SQLite: interrupt a sequential scan after this many steps of its virtual machine. A dog takes about a dozen.
MAX_VM_STEPS = 150_000
# PostgreSQL: end a sequential scan after this many dogs. Do the long one if more than `ESTIMATE_THRESHOLD` matches are
# estimated, because the index takes longer for these.
SHORT_SCAN_ROWS = 5000
LONG_SCAN_ROWS = ESTIMATE_THRESHOLD = 50_000

# The index of PostgreSQL, and on SQLite the FTS5 table, whose hidden column of the same name takes the MATCH query.
INDEX = "dogs_search"
FTS_TABLE: Any = peewee.Table(INDEX, (INDEX, "rowid"))

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


# --- Query strategies ---


def sequential_scan(apply_order: ApplyOrder, part: BindParam) -> peewee.ModelSelect[Dog]:
    """Check the dogs in list order."""
    return apply_order(Dog.select()).where(contains(part))


def fts_scan(apply_order: ApplyOrder, part: BindParam) -> peewee.ModelSelect[Dog]:
    """SQLite: take the dogs from the index, and sort them."""
    return apply_order(select_by_fts(part))


def fts_scan_by_id(apply_order: ApplyOrder, part: BindParam) -> peewee.ModelSelect[Dog]:
    """SQLite: take the dogs from the index in the order of their ids."""
    return apply_order(select_by_fts(part), FTS_TABLE.rowid)


def trigram_scan(apply_order: ApplyOrder, part: BindParam) -> peewee.ModelSelect[Dog]:
    """PostgreSQL: take the dogs from the index, and sort them.

    OFFSET 0 changes no result, but keeps the planner from choosing the index of the sort column.
    """
    any_like = any_of(
        peewee.Expression(column, "LIKE", part.with_converter(like_pattern)) for column in SEARCHED_COLUMNS
    )
    return apply_order(select_from(Dog.select().where(any_like).offset(0)))


def short_scan(apply_order: ApplyOrder, part: BindParam) -> peewee.ModelSelect[Dog]:
    """PostgreSQL: check the next `SHORT_SCAN_ROWS` dogs of the list."""
    return scan_first(SHORT_SCAN_ROWS, apply_order, part)


def long_scan(apply_order: ApplyOrder, part: BindParam) -> peewee.ModelSelect[Dog]:
    """PostgreSQL: check the next `LONG_SCAN_ROWS` dogs of the list."""
    return scan_first(LONG_SCAN_ROWS, apply_order, part)


def trigram_scan_after_short(apply_order: ApplyOrder, part: BindParam) -> peewee.ModelSelect[Dog]:
    """PostgreSQL: `trigram_scan`, but no rows if `short_scan` checked the rest of the list."""
    return trigram_scan_if_longer(SHORT_SCAN_ROWS, apply_order, part)


def trigram_scan_after_long(apply_order: ApplyOrder, part: BindParam) -> peewee.ModelSelect[Dog]:
    """PostgreSQL: `trigram_scan`, but no rows if `long_scan` checked the rest of the list."""
    return trigram_scan_if_longer(LONG_SCAN_ROWS, apply_order, part)


# --- Parts of queries ---


SEARCHED_COLUMNS = (Dog.name_key, Dog.owner_key, Dog.breed_key)


def scan_first(number: int, apply_order: ApplyOrder, part: BindParam) -> peewee.ModelSelect[Dog]:
    """Select the matches among the next `number` dogs of the list."""
    return apply_order(select_from(apply_order(Dog.select()).limit(number))).where(contains(part))


def trigram_scan_if_longer(number: int, apply_order: ApplyOrder, part: BindParam) -> peewee.ModelSelect[Dog]:
    """Do a `trigram_scan` if the list goes on for more than `number` dogs."""
    next_dog = apply_order(Dog.select(Dog.id)).offset(number).limit(1)
    return trigram_scan(apply_order, part).where(peewee.fn.EXISTS(next_dog))


def select_by_fts(part: BindParam) -> peewee.ModelSelect[Dog]:
    """Select the matches by SQLite's index. A CROSS JOIN makes SQLite read that table first."""
    join = peewee.Join(FTS_TABLE, Dog, peewee.JOIN.CROSS, on=Dog.id == FTS_TABLE.rowid)
    match = peewee.Expression(FTS_TABLE.dogs_search, "MATCH", part.with_converter(fts_query))
    return Dog.select().from_(join).where(match, contains(part))


def select_from(dogs: peewee.ModelSelect[Dog]) -> peewee.ModelSelect[Dog]:
    """Select dogs from a subquery."""
    return Dog.select().from_(SubqueryAlias(dogs))


class SubqueryAlias(peewee.Node):
    """A subquery that takes the alias of the dogs' table, so that the columns of `Dog` refer to it."""

    def __init__(self, dogs: peewee.ModelSelect[Dog]) -> None:
        self.dogs = dogs

    def __sql__(self, ctx: peewee.Context) -> peewee.Context:
        return ctx.sql(self.dogs.alias(ctx.alias_manager[Dog._meta.table]))


def contains(part: BindParam) -> Any:
    """Return the condition that a dog has this substring in one of its columns."""
    position = peewee.fn.INSTR if is_sqlite() else peewee.fn.STRPOS
    return any_of(position(column, part.with_converter(casefold_nfc)) > 0 for column in SEARCHED_COLUMNS)


def any_of(conditions: Iterator[Any]) -> Any:
    """Return the disjunction of conditions."""
    return reduce(or_, conditions)


def like_pattern(part: str) -> str:
    """Return the pattern that LIKE takes for this substring."""
    part = casefold_nfc(part)
    for character in "\\%_":
        part = part.replace(character, f"\\{character}")
    return f"%{part}%"


def fts_query(part: str) -> str:
    """Return the FTS5 query for the dogs with all trigrams of this substring. Of these, only some may be rare."""
    part = casefold_nfc(part)
    trigrams = (
        part[begin : begin + TRIGRAM_LENGTH].replace('"', '""') for begin in range(len(part) - TRIGRAM_LENGTH + 1)
    )
    return " AND ".join(f'"{trigram}"' for trigram in dict.fromkeys(trigrams))
