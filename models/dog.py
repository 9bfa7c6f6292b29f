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
    """A dog. `owner` is the name of a person, `user` the account that made the entry and alone may change it.

    `version` counts its changes. The `*_key` columns hold the texts without their case, to find and sort by.
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
        # One for each filter and each sort; the id in second place makes every order a total one.
        indexes = (
            (("name_key", "id"), False),
            (("owner_key", "id"), False),
            (("breed_key", "id"), False),
            (("created_at", "id"), False),
            (("user_id", "id"), False),
        )

    @property
    def etag(self) -> str:
        """The name of this state of the row (RFC 9110, section 8.8.3), without its quotes."""
        return f"{self.id}-{self.version}"

    @classmethod
    def create_for(cls, user: User, name: str, breed: str, owner: str) -> Dog:
        """Insert a dog of this user."""
        return cls.create(user=user, **with_folded_columns({"name": name, "breed": breed, "owner": owner}))

    def update_fields(self, fields: dict[str, str], version: int | None = None) -> Dog:
        """Change these texts, and return the row as it then stands.

        Raises `VersionConflict` where `version` is given and no longer that of the row, and `NotFound` where the row is
        gone.
        """
        if not fields:
            return self
        return one_row_or_raise(
            update_returning(**{**with_folded_columns(fields), **version_params(self, version)}), version
        )

    def delete_row(self, version: int | None = None) -> Dog:
        """Delete the row and return it as it stood. Raises as `change` does."""
        return one_row_or_raise(delete_returning(**version_params(self, version)), version)


@cached_statement
def update_returning(seen_id: Any, seen_version: Any = None, **texts: BindParam) -> peewee.Query:
    """Change a dog, and return it."""
    changes = {**column_values(Dog, texts), Dog.version: Dog.version + 1}
    return Dog.update(changes).where(*version_conditions(seen_id, seen_version)).returning(Dog)


@cached_statement
def delete_returning(seen_id: Any, seen_version: Any = None) -> peewee.Query:
    """Delete a dog, and return it."""
    return Dog.delete().where(*version_conditions(seen_id, seen_version)).returning(Dog)


def version_conditions(seen_id: Any, seen_version: Any) -> list[Any]:
    """The conditions that it is this dog, and in this version where one is given."""
    return [Dog.id == seen_id] + ([] if seen_version is None else [Dog.version == seen_version])


def version_params(dog: Dog, version: int | None) -> dict[str, int]:
    """The dog that a write is for, in the version that it must have, where one is given."""
    return {"seen_id": dog.id} | ({} if version is None else {"seen_version": version})


def one_row_or_raise(rows: list[Any], version: int | None) -> Dog:
    """The row that one statement has written, so that no other write came between look and deed.

    Where the version is given and the row is gone, it has been changed too: `VersionConflict`.
    """
    for row in rows:
        return Dog.from_row(row)
    if version is not None:
        raise VersionConflict(Dog)
    raise NotFound("Dog not found")


def with_folded_columns(fields: dict[str, str]) -> dict[str, str]:
    """These texts, each with the column it is found by."""
    return fields | {f"{name}_key": fields[name] for name in TEXT_FIELDS if name in fields}
