"""Dogs with a part in one of their texts, by an index of trigrams: three letters in a row.

The index names the dogs that have the trigrams of a part, and each of them is looked at for the part itself. Parts of
one or two letters have no trigram, and a database may have no such index: then dogs are looked at one after the other.

What is common is soon found on a walk through the dogs in the order of their list, and what is rare by the index.
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
from .db.keyset import ApplyOrder
from .db.statements import BindParam
from .dog import Dog

TRIGRAM_LENGTH = 3
# Up to so many dogs are found by the index and put in order. More are looked for on a walk first.
INDEX_SCAN_LIMIT = 4000
# SQLite walks for so many steps of its machine, of which a dog takes about a dozen.
MAX_VM_STEPS = 150_000
# PostgreSQL walks past so many dogs. Where the index would find very many, it is slow, so the walk goes far.
SHORT_SCAN_ROWS = 5000
LONG_SCAN_ROWS = ESTIMATE_THRESHOLD = 50_000

INDEX = "dogs_search"
# SQLite's, a table. The column of its own name takes what is searched for.
TRIGRAMS: Any = peewee.Table(INDEX, (INDEX, "rowid"))

# The databases that are known to have the index.
indexed_databases: WeakSet[Any] = WeakSet()


def search(part: str, is_whole: bool, is_by_id: bool, rows: Callable[..., list[Any]], count: int) -> list[Any]:
    """The first `count` dogs with this part in a list: of all dogs, and in the order of the ids, or not.

    `rows` returns as many of those that a way finds. It may be told to go by the ids alone where the list does, or to
    compare places in the list at once, which is slow on a walk.
    """
    part = casefold_nfc(part)
    if len(part) < TRIGRAM_LENGTH or "\0" in part or not has_index():  # SQLite's index ends a text at a NUL
        return rows(sequential_scan)
    if not isinstance(database.obj, peewee.SqliteDatabase):
        return search_postgres(part, rows, count)
    # In the order of the ids the index can stop when there are enough; in others, it has to find all.
    look = partial(rows, index_scan_by_id, by_id=True) if is_by_id else partial(rows, index_scan, row_values=True)
    if (is_whole and is_by_id) or is_selective(part):
        return look()
    found = with_step_limit(partial(rows, sequential_scan))
    return look() if found is None else found


def search_postgres(part: str, rows: Callable[..., list[Any]], count: int) -> list[Any]:
    """As `search`. The index has to find all, whatever the order."""
    with snapshot_transaction():
        number = estimate_rows(part)
        if number <= INDEX_SCAN_LIMIT:
            return rows(pg_index_scan)
        near, beyond = LONG_SCAN_PLAN if number > ESTIMATE_THRESHOLD else SHORT_SCAN_PLAN
        found = rows(near)
        return found if len(found) == count else rows(beyond) or found


def has_index() -> bool:
    """Whether the database has the index. It is asked again until it has."""
    if database.obj in indexed_databases:
        return True
    if isinstance(database.obj, peewee.SqliteDatabase):
        found = database.table_exists(INDEX)
    else:
        (found,) = database.execute_sql("SELECT to_regclass(%s) IS NOT NULL", (INDEX,)).fetchone()
    if found:
        indexed_databases.add(database.obj)
    return found


def is_selective(part: str) -> bool:
    """Whether few dogs have the trigrams of this part."""
    some = f"SELECT 1 FROM {INDEX} WHERE {INDEX} MATCH ? LIMIT ?"  # noqa: S608 - a name of ours
    count = f"SELECT count(*) FROM ({some})"  # noqa: S608
    (number,) = database.execute_sql(count, (fts_query(part), INDEX_SCAN_LIMIT + 1)).fetchone()
    return number <= INDEX_SCAN_LIMIT


def with_step_limit(deed: Callable[[], list[Any]]) -> list[Any] | None:
    """What this reads of SQLite, or None where a statement of it takes too many steps."""
    connection = database.connection()
    connection.set_progress_handler(lambda: True, MAX_VM_STEPS)  # true: stop
    try:
        return deed()
    except peewee.OperationalError as error:
        if str(error) != "interrupted":
            raise
        return None
    finally:
        connection.set_progress_handler(None, 0)


@contextmanager
def snapshot_transaction() -> Iterator[None]:
    """Within the block, PostgreSQL shows the dogs as they are at one moment, and plans each statement for its values.

    It would else plan one that is run often once for all values, and so for none: a search of the dogs of a rare breed
    in the order of their names would go through all names.
    """
    with database.atomic("REPEATABLE READ"):
        connection = database.connection()
        before, connection.prepare_threshold = connection.prepare_threshold, None
        try:
            yield
        finally:
            connection.prepare_threshold = before


def estimate_rows(part: str) -> int:
    """How many dogs with this part PostgreSQL expects to be there, by its statistics."""
    any_like = " OR ".join(f"{column.column_name} LIKE %s" for column in searched_columns())
    explain = f"EXPLAIN (FORMAT JSON) SELECT FROM dogs WHERE {any_like}"
    ((plan,),) = database.execute_sql(explain, [like_pattern(part)] * len(searched_columns())).fetchall()
    return plan[0]["Plan"]["Plan Rows"]


def sequential_scan(ordered: ApplyOrder, part: BindParam) -> peewee.ModelSelect[Dog]:
    """All of them, looked for in the order of the list."""
    return ordered(Dog.select()).where(contains(part))


def index_scan_by_id(ordered: ApplyOrder, part: BindParam) -> peewee.ModelSelect[Dog]:
    """All of them, of SQLite's index, which knows the dogs in the order of their ids."""
    return ordered(indexed(part), TRIGRAMS.rowid)


def index_scan(ordered: ApplyOrder, part: BindParam) -> peewee.ModelSelect[Dog]:
    """All of them, of SQLite's index."""
    return ordered(indexed(part))


def indexed(part: BindParam) -> peewee.ModelSelect[Dog]:
    """The dogs with a part, of SQLite's index. A cross join is one that SQLite makes in the order it is written in."""
    both = peewee.Join(TRIGRAMS, Dog, peewee.JOIN.CROSS, on=Dog.id == TRIGRAMS.rowid)
    match = peewee.Expression(TRIGRAMS.dogs_search, "MATCH", part.with_converter(fts_query))
    return Dog.select().from_(both).where(match, contains(part))


def pg_index_scan(ordered: ApplyOrder, part: BindParam) -> peewee.ModelSelect[Dog]:
    """All of them, of PostgreSQL's index.

    It is kept from going by any other index by the offset, which makes no difference to what is found.
    """
    like = [peewee.Expression(column, "LIKE", part.with_converter(like_pattern)) for column in searched_columns()]
    return ordered(Dog.select().from_(SubqueryAlias(Dog.select().where(any_of(like)).offset(0))))


def scan_first_n(number: int, ordered: ApplyOrder, part: BindParam) -> peewee.ModelSelect[Dog]:
    """Those among the next so many dogs of the list."""
    return ordered(Dog.select().from_(SubqueryAlias(ordered(Dog.select()).limit(number)))).where(contains(part))


def index_scan_beyond_n(number: int, ordered: ApplyOrder, part: BindParam) -> peewee.ModelSelect[Dog]:
    """As `matching`; none where the list goes on for no more than so many dogs."""
    goes_on = ordered(Dog.select(Dog.id)).offset(number).limit(1)
    return pg_index_scan(ordered, part).where(peewee.fn.EXISTS(goes_on))


# How far PostgreSQL walks, and what is done where too few were found on the way.
SHORT_SCAN_PLAN, LONG_SCAN_PLAN = (
    (partial(scan_first_n, number), partial(index_scan_beyond_n, number))
    for number in (SHORT_SCAN_ROWS, LONG_SCAN_ROWS)
)


class SubqueryAlias(peewee.Node):
    """Rows of a query, which stand in for all dogs in another one."""

    def __init__(self, rows: peewee.ModelSelect[Dog]) -> None:
        self.rows = rows

    def __sql__(self, ctx: peewee.Context) -> peewee.Context:
        return ctx.sql(self.rows.alias(ctx.alias_manager[Dog._meta.table]))


def searched_columns() -> tuple[peewee.Field, ...]:
    """The columns that are searched."""
    return (Dog.name_key, Dog.owner_key, Dog.breed_key)


def any_of(conditions: list[Any]) -> Any:
    """The condition that one of three holds."""
    first, second, third = conditions
    return first | second | third


def contains(part: BindParam) -> Any:
    """The condition that a dog has this part in one of its texts."""
    is_sqlite = isinstance(database.obj, peewee.SqliteDatabase)
    place = peewee.fn.INSTR if is_sqlite else peewee.fn.STRPOS
    return any_of([place(column, part.with_converter(casefold_nfc)) > 0 for column in searched_columns()])


def like_pattern(part: str) -> str:
    """What `LIKE` takes for this part."""
    part = casefold_nfc(part)
    for sign in "\\%_":
        part = part.replace(sign, f"\\{sign}")
    return f"%{part}%"


def fts_query(part: str) -> str:
    """What SQLite's index is asked for: all trigrams of the part. Each may be common where one is rare."""
    part = casefold_nfc(part)
    quoted = (
        part[begin : begin + TRIGRAM_LENGTH].replace('"', '""') for begin in range(len(part) - TRIGRAM_LENGTH + 1)
    )
    return " AND ".join(f'"{trigram}"' for trigram in dict.fromkeys(quoted))
