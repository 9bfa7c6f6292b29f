"""Dogs: the resource that users own."""

from __future__ import annotations

from typing import Any

import peewee

from .base import KeyField, Model, MomentField, kept, now
from .db.statements import Placeholder, prepared
from .errors import NotFound, Stale
from .user import User

TEXTS = ("name", "owner", "breed")


class Dog(Model):
    """A dog. `owner` is the name of a person, `user` the account that made the entry and alone may change it.

    `version` counts its changes. The `*_key` columns hold the texts without their case, to find and sort by.
    """

    name = peewee.CharField(max_length=80)
    name_key = KeyField()
    owner = peewee.CharField(max_length=80)
    owner_key = KeyField()
    breed = peewee.CharField(max_length=80)
    breed_key = KeyField()
    version = peewee.IntegerField(default=1)
    created_at = MomentField(default=now)
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
    def add(cls, user: User, name: str, breed: str, owner: str) -> Dog:
        """Insert a dog of this user."""
        return cls.create(user=user, **with_keys({"name": name, "breed": breed, "owner": owner}))

    def change(self, fields: dict[str, str], version: int | None = None) -> Dog:
        """Change these texts, and return the row as it then stands.

        Raises `Stale` where `version` is given and no longer that of the row, and `NotFound` where the row is gone.
        """
        if not fields:
            return self
        return written(changed(**{**with_keys(fields), **seen(self, version)}), version)

    def erase(self, version: int | None = None) -> Dog:
        """Delete the row and return it as it stood. Raises as `change` does."""
        return written(erased(**seen(self, version)), version)


@prepared
def changed(seen_id: Any, seen_version: Any = None, **texts: Placeholder) -> peewee.Query:
    """Change a dog, and return it."""
    changes = {**kept(Dog, texts), Dog.version: Dog.version + 1}
    return Dog.update(changes).where(*is_as_seen(seen_id, seen_version)).returning(Dog)


@prepared
def erased(seen_id: Any, seen_version: Any = None) -> peewee.Query:
    """Delete a dog, and return it."""
    return Dog.delete().where(*is_as_seen(seen_id, seen_version)).returning(Dog)


def is_as_seen(seen_id: Any, seen_version: Any) -> list[Any]:
    """The conditions that it is this dog, and in this version where one is given."""
    return [Dog.id == seen_id] + ([] if seen_version is None else [Dog.version == seen_version])


def seen(dog: Dog, version: int | None) -> dict[str, int]:
    """The dog that a write is for, in the version that it must have, where one is given."""
    return {"seen_id": dog.id} | ({} if version is None else {"seen_version": version})


def written(rows: list[Any], version: int | None) -> Dog:
    """The row that one statement has written, so that no other write came between look and deed.

    Where the version is given and the row is gone, it has been changed too: `Stale`.
    """
    for row in rows:
        return Dog.of(row)
    if version is not None:
        raise Stale("This dog has been changed since you read it")
    raise NotFound("There is no dog with this id")


def with_keys(fields: dict[str, str]) -> dict[str, str]:
    """These texts, each with the column it is found by."""
    return fields | {f"{name}_key": fields[name] for name in TEXTS if name in fields}
