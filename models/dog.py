"""Dogs: the resource that users own."""

from __future__ import annotations

from typing import Any

import peewee

from .base import CaseFoldedField, Model, UtcDateTimeField, column_values, utc_now
from .db.statements import BindParam, cached_statement
from .errors import NotFound, VersionConflict
from .user import User

TEXT_FIELDS = ("name", "owner", "breed")


class Dog(Model):
    """A dog. `owner` is the name of a person; `user` is the account that added the dog, and only it may change it.

    `version` increases with each change. The `*_key` columns hold the case-folded texts, to filter and sort by.
    """

    name = peewee.CharField(max_length=80)
    name_key = CaseFoldedField()
    owner = peewee.CharField(max_length=80)
    owner_key = CaseFoldedField()
    breed = peewee.CharField(max_length=80)
    breed_key = CaseFoldedField()
    version = peewee.IntegerField(default=1)
    created_at = UtcDateTimeField(default=utc_now)
    user_id: int
    user = peewee.ForeignKeyField(User, on_delete="CASCADE", index=False)

    class Meta:
        table_name = "dogs"
        # One per filter and sort order. The id as second column makes each order total.
        indexes = (
            (("name_key", "id"), False),
            (("owner_key", "id"), False),
            (("breed_key", "id"), False),
            (("created_at", "id"), False),
            (("user_id", "id"), False),
        )

    @property
    def etag(self) -> str:
        """Return the ETag of this version of the row (RFC 9110, section 8.8.3), without quotes."""
        return f"{self.id}-{self.version}"

    @classmethod
    def create_for(cls, user: User, name: str, breed: str, owner: str) -> Dog:
        """Insert a dog for this user and return it."""
        return cls.create(user=user, **with_folded_columns({"name": name, "breed": breed, "owner": owner}))

    def update_fields(self, fields: dict[str, str], version: int | None = None) -> Dog:
        """Update fields and return the updated row.

        Raises `VersionConflict` if no row has the given version, and `NotFound` if none is given and the row is gone.
        """
        if not fields:
            return self
        return one_row_or_raise(
            update_returning(**{**with_folded_columns(fields), **version_params(self, version)}), version
        )

    def delete_row(self, version: int | None = None) -> Dog:
        """Delete the row and return it. Raises as `update_fields` does."""
        return one_row_or_raise(delete_returning(**version_params(self, version)), version)


@cached_statement
def update_returning(seen_id: Any, seen_version: Any = None, **texts: BindParam) -> peewee.Query:
    """Update a dog and return it."""
    changes = {**column_values(Dog, texts), Dog.version: Dog.version + 1}
    return Dog.update(changes).where(*version_conditions(seen_id, seen_version)).returning(Dog)


@cached_statement
def delete_returning(seen_id: Any, seen_version: Any = None) -> peewee.Query:
    """Delete a dog and return it."""
    return Dog.delete().where(*version_conditions(seen_id, seen_version)).returning(Dog)


def version_conditions(seen_id: Any, seen_version: Any) -> list[Any]:
    """Return the conditions on the id and, if given, the version of a dog."""
    return [Dog.id == seen_id] + ([] if seen_version is None else [Dog.version == seen_version])


def version_params(dog: Dog, version: int | None) -> dict[str, int]:
    """Return the parameters of `version_conditions` for this dog."""
    return {"seen_id": dog.id} | ({} if version is None else {"seen_version": version})


def one_row_or_raise(rows: list[Any], version: int | None) -> Dog:
    """Return the single row of an UPDATE or DELETE with RETURNING.

    Raises `VersionConflict` if no row has the given version, else `NotFound` if there is none. As one statement checks
    and writes, no other write comes between.
    """
    for row in rows:
        return Dog.from_row(row)
    if version is not None:
        raise VersionConflict(Dog)
    raise NotFound("Dog not found")


def with_folded_columns(fields: dict[str, str]) -> dict[str, str]:
    """Return these fields together with their case-folded columns."""
    return fields | {f"{name}_key": fields[name] for name in TEXT_FIELDS if name in fields}
