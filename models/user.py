"""User accounts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import peewee
from flask_login import UserMixin

from .base import Model, UtcDateTimeField, utc_now
from .casefold import casefold_nfc
from .db.connection import database, transactional
from .errors import Conflict, SessionExpired

CONFLICT_MESSAGES = {
    "username": "A user with that name already exists",
    "email": "A user with that email already exists",
}


@dataclass(frozen=True)
class Picture:
    """A stored profile picture: the name of its file, and its size in CSS pixels."""

    image: str
    width: int
    height: int
    has_double: bool
    is_default: bool

    @property
    def double(self) -> str | None:
        """Return the name of the file of double size, or None."""
        return self.image.replace(".", "_2x.") if self.has_double else None

    @property
    def files(self) -> list[str]:
        """Return the names of all its files."""
        return [name for name in (self.image, self.double) if name]


class User(Model, UserMixin):
    """An account. `session` is the `Session` that it was loaded with, if any."""

    username = peewee.CharField(max_length=40)
    username_key = peewee.TextField(unique=True)
    email = peewee.CharField(max_length=254, unique=True)
    password_hash = peewee.CharField(max_length=60)
    image = peewee.CharField(max_length=64)
    image_width = peewee.SmallIntegerField()
    image_height = peewee.SmallIntegerField()
    image_has_double = peewee.BooleanField()
    image_is_default = peewee.BooleanField()
    created_at = UtcDateTimeField(default=utc_now)

    session: Any = None

    class Meta:
        table_name = "users"

    def get_id(self) -> str:
        """Return what Flask-Login stores in the cookie: the key of the session, not the id of the user."""
        if self.session is None or self.session.key is None:
            raise ValueError("the user has no session that was just started")
        return self.session.key

    @property
    def picture(self) -> Picture:
        """Return the profile picture."""
        return Picture(self.image, self.image_width, self.image_height, self.image_has_double, self.image_is_default)

    @classmethod
    @transactional
    def register(cls, username: str, email: str, password_hash: str, picture: Picture) -> User:
        """Insert an account and return it. Raises `Conflict` if the username or the email address is taken."""
        with translate_unique_violation(username, email):
            return cls.create(
                username=username,
                username_key=casefold_nfc(username),
                email=email,
                password_hash=password_hash,
                **picture_columns(picture),
            )

    @classmethod
    def find_by_login(cls, username: str | None = None, email: str | None = None) -> User | None:
        """Return the account with this username or email address (if both are given: with both), or None."""
        conditions = []
        if username is not None:
            conditions.append(cls.username_key == casefold_nfc(username))
        if email is not None:
            conditions.append(cls.email == email)
        return cls.get_or_none(*conditions) if conditions else None

    @property
    def hash_cost(self) -> int:
        """Return the cost factor of the bcrypt hash, such as 12 of `$2b$12$...`."""
        return int(self.password_hash[4:6])

    @classmethod
    def highest_hash_cost(cls) -> int:
        """Return the highest cost factor of all hashes."""
        return int(cls.select(peewee.fn.MAX(peewee.fn.SUBSTR(cls.password_hash, 5, 2))).scalar() or 0)

    def replace_hash(self, password_hash: str) -> None:
        """Store another hash of the same password, unless the password was changed meanwhile."""
        query = User.update(password_hash=password_hash)
        if query.where(User.id == self.id, User.password_hash == self.password_hash).execute():
            self.password_hash = password_hash

    @classmethod
    def all_picture_files(cls, other: peewee.Database | None = None) -> Iterator[str]:
        """Yield the names of all picture files in this or another database. Reads 1,000 accounts at a time."""
        last_id = 0
        while users := list(cls.select().where(cls.id > last_id).order_by(cls.id).limit(1000).bind(other or database)):
            for user in users:
                yield from user.picture.files
            last_id = users[-1].id

    @transactional
    def update_account(self, picture: Picture | None = None, redrawn: bool = False, **fields: Any) -> Picture | None:
        """Update fields and optionally the picture; return the picture whose files must be deleted, if any.

        `redrawn`: replace only a default picture. If the user uploaded one meanwhile, that one stays, and `picture`
        itself is returned.
        Raises `Conflict` if the username or the email address is taken, and `SessionExpired` as `lock_for_update`.
        """
        if "username" in fields:
            fields["username_key"] = casefold_nfc(fields["username"])
        with translate_unique_violation(fields.get("username"), fields.get("email"), self):
            stored = self.lock_for_update()
            replaced_picture = stored.picture if picture else None
            if picture and redrawn and not stored.image_is_default:
                replaced_picture = picture
            elif picture:
                fields |= picture_columns(picture)
            if fields:
                User.update(**fields).where(User.id == self.id).execute()
        self.__data__.update(stored.__data__ | fields)
        return replaced_picture

    @transactional
    def delete_account(self) -> Picture:
        """Delete the account, its dogs and its sessions; return its picture. Raises `SessionExpired`."""
        stored = self.lock_for_update()
        stored.delete_instance()
        return stored.picture

    def lock_for_update(self) -> User:
        """Return the stored row, locked until the end of the transaction (SELECT ... FOR UPDATE).

        Raises `SessionExpired` if the account was deleted or its password changed since it was loaded, so that nothing
        is done on a stale password check.
        """
        query = User.select().where(User.id == self.id)
        if database.for_update:
            query = query.for_update()
        user = query.first()
        if user is None or user.password_hash != self.password_hash:
            raise SessionExpired("Account deleted or password changed; please log in again")
        return user


def picture_columns(picture: Picture) -> dict[str, Any]:
    """Return the column values of a picture."""
    return {
        "image": picture.image,
        "image_width": picture.width,
        "image_height": picture.height,
        "image_has_double": picture.has_double,
        "image_is_default": picture.is_default,
    }


@contextmanager
def translate_unique_violation(username: str | None, email: str | None, user: User | None = None) -> Iterator[None]:
    """Run the block in a savepoint, and raise `Conflict` for a violated unique constraint."""
    try:
        with database.atomic():
            yield
    except peewee.IntegrityError:
        require_unused(username, email, user)
        raise  # pragma: no cover - the other account was deleted within these microseconds


def require_unused(username: str | None, email: str | None, user: User | None = None) -> None:
    """Raise `Conflict` if another account than `user` has this username or email address."""
    others = User.id != (user.id if user else 0)
    taken = []
    if username and User.select().where(others, User.username_key == casefold_nfc(username)).exists():
        taken.append("username")
    if email and User.select().where(others, User.email == email).exists():
        taken.append("email")
    if taken:
        raise Conflict({field: CONFLICT_MESSAGES[field] for field in taken})
