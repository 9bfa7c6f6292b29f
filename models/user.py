"""Accounts."""

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
        """The name of the file of twice the size, where there is one."""
        return self.image.replace(".", "_2x.") if self.has_double else None

    @property
    def files(self) -> list[str]:
        """The names of all its files."""
        return [name for name in (self.image, self.double) if name]


class User(Model, UserMixin):
    """An account. `session` is the `Session` that it came by, where it came by one."""

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
        """What the login cookie holds: the key of the session, never the id of the user."""
        if self.session is None or self.session.key is None:
            raise ValueError("this user came by no session that was just opened")
        return self.session.key

    @property
    def picture(self) -> Picture:
        """The profile picture."""
        return Picture(self.image, self.image_width, self.image_height, self.image_has_double, self.image_is_default)

    @classmethod
    @transactional
    def register(cls, username: str, email: str, password_hash: str, picture: Picture) -> User:
        """Insert an account. Raises `Conflict` where the name or the address is taken."""
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
        """The account with this name, or address, or (where both are given) with both."""
        wanted = []
        if username is not None:
            wanted.append(cls.username_key == casefold_nfc(username))
        if email is not None:
            wanted.append(cls.email == email)
        return cls.get_or_none(*wanted) if wanted else None

    @classmethod
    def all_picture_files(cls, other: peewee.Database | None = None) -> Iterator[str]:
        """The names of the files of all pictures, here or in another database, read a thousand accounts at a time."""
        last = 0
        while users := list(cls.select().where(cls.id > last).order_by(cls.id).limit(1000).bind(other or database)):
            for user in users:
                yield from user.picture.files
            last = users[-1].id

    @transactional
    def update_account(self, picture: Picture | None = None, redrawn: bool = False, **fields: Any) -> Picture | None:
        """Change the given fields and the picture, and return the picture whose files are of no more use.

        A `redrawn` picture takes the place of a default one only: an upload that came meanwhile stays.
        Raises `Conflict` where a new name or address is taken, and `SessionExpired` as `lock_for_update` does.
        """
        if "username" in fields:
            fields["username_key"] = casefold_nfc(fields["username"])
        with translate_unique_violation(fields.get("username"), fields.get("email"), self):
            now_stored = self.lock_for_update()
            useless = now_stored.picture if picture else None
            if picture and redrawn and not now_stored.image_is_default:
                useless = picture
            elif picture:
                fields |= picture_columns(picture)
            if fields:
                User.update(**fields).where(User.id == self.id).execute()
        self.__data__.update(now_stored.__data__ | fields)
        return useless

    @transactional
    def delete_account(self) -> Picture:
        """Delete the account with its dogs and sessions, and return its picture. Raises `SessionExpired`."""
        before = self.lock_for_update()
        before.delete_instance()
        return before.picture

    def lock_for_update(self) -> User:
        """This account as it stands, held still until the end of the transaction.

        Raises `SessionExpired` where it has been deleted, or given another password, since it was read: the password
        was checked some time ago, and nothing that an old one began may outlive its change.
        """
        query = User.select().where(User.id == self.id)
        if database.for_update:
            query = query.for_update()
        user = query.first()
        if user is None or user.password_hash != self.password_hash:
            raise SessionExpired("This account has just been deleted, or its password changed")
        return user


def picture_columns(picture: Picture) -> dict[str, Any]:
    """The columns that a picture is kept in."""
    return {
        "image": picture.image,
        "image_width": picture.width,
        "image_height": picture.height,
        "image_has_double": picture.has_double,
        "image_is_default": picture.is_default,
    }


@contextmanager
def translate_unique_violation(username: str | None, email: str | None, user: User | None = None) -> Iterator[None]:
    """Part of a transaction, which turns the database's refusal of a duplicate into `Conflict`."""
    try:
        with database.atomic():
            yield
    except peewee.IntegrityError as error:
        others = User.id != (user.id if user else 0)
        taken = []
        if username and User.select().where(others, User.username_key == casefold_nfc(username)).exists():
            taken.append("username")
        if email and User.select().where(others, User.email == email).exists():
            taken.append("email")
        if not taken:  # pragma: no cover - the holder of the name was deleted within these microseconds
            raise
        raise Conflict({field: CONFLICT_MESSAGES[field] for field in taken}) from error
