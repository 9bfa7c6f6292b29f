"""Queries of the substring search: one function per query strategy, which `models.search` chooses from."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import or_
from typing import Any

import peewee

from .casefold import casefold_nfc
from .db.keyset import ApplyOrder, is_sqlite
from .db.statements import BindParam
from .dog import Dog

TRIGRAM_LENGTH = 3
# PostgreSQL: end a sequential scan after this many dogs.
SHORT_SCAN_ROWS = 5000
LONG_SCAN_ROWS = 50_000

# The index of PostgreSQL, and on SQLite the FTS5 table, whose hidden column of the same name takes the MATCH query.
INDEX = "dogs_search"
FTS_TABLE: Any = peewee.Table(INDEX, (INDEX, "rowid"))

SEARCHED_COLUMNS = (Dog.name_key, Dog.owner_key, Dog.breed_key)


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
