"""Dogs: the resource that users own."""

from __future__ import annotations

from typing import Any

import peewee

from .base import Model, MomentField, is_equal, now
from .errors import NotFound, Stale
from .text import fold
from .user import User

TEXTS = ("name", "owner", "breed")


class Dog(Model):
    """A dog. `owner` is the name of a person, `user` the account that made the entry and alone may change it.

    `version` counts its changes. The `*_key` columns hold the texts without their case, to find and sort by.
    """

    name = peewee.CharField(max_length=80)
    name_key = peewee.TextField()
    owner = peewee.CharField(max_length=80)
    owner_key = peewee.TextField()
    breed = peewee.CharField(max_length=80)
    breed_key = peewee.TextField()
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

    @classmethod
    def search(cls, q: str = "", **equal: Any) -> peewee.ModelSelect[Dog]:
        """The dogs with `q` in a text and with these texts and this `user_id`, all without regard to case."""
        query = cls.select()
        for name, value in equal.items():
            query = query.where(is_equal(cls.user, value) if name == "user_id" else is_equal(KEYS[name], fold(value)))
        if q:
            part = fold(q)
            query = query.where(
                cls.name_key.contains(part) | cls.owner_key.contains(part) | cls.breed_key.contains(part)
            )
        return query

    def change(self, fields: dict[str, str], version: int | None = None) -> Dog:
        """Change these texts, and return the row as it then stands.

        Raises `Stale` where `version` is given and no longer that of the row, and `NotFound` where the row is gone.
        """
        if not fields:
            return self
        query = Dog.update(version=Dog.version + 1, **with_keys(fields)).where(Dog.id == self.id)
        return self.write(query, version)

    def erase(self, version: int | None = None) -> Dog:
        """Delete the row and return it as it stood. Raises as `change` does."""
        return self.write(Dog.delete().where(Dog.id == self.id), version)

    def write(self, query: Any, version: int | None) -> Dog:
        """Run a write and return the row: one statement, so that no other write comes between look and deed.

        Where the version is given and the row is gone, it has been changed too: `Stale`.
        """
        if version is not None:
            query = query.where(Dog.version == version)
        rows = list(query.returning(Dog))  # to its end, where SQLite commits it
        if rows:
            return rows[0]
        if version is not None:
            raise Stale("This dog has been changed since you read it")
        raise NotFound("There is no dog with this id")


KEYS = {"name": Dog.name_key, "owner": Dog.owner_key, "breed": Dog.breed_key}


def with_keys(fields: dict[str, str]) -> dict[str, str]:
    """These texts, each with the column it is found by."""
    return fields | {f"{name}_key": fold(fields[name]) for name in TEXTS if name in fields}
