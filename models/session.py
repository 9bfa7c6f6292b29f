"""Login sessions. Each is a row: once it is deleted, no copy of its cookie is valid."""

from __future__ import annotations

import hmac
import secrets
from datetime import timedelta
from typing import Any

import peewee

from .base import Model, UtcDateTimeField, utc_now
from .db.connection import transactional
from .db.statements import cached_statement
from .user import User

REMEMBER_DURATION = timedelta(days=30)
IDLE_TIMEOUT = timedelta(hours=24)
# The sessions of one account. A login ends those that were not used for the longest time.
MAX_SESSIONS = 100
# `used_at` is updated at most once per interval, so most requests write nothing.
TOUCH_INTERVAL = timedelta(minutes=5)


def hash_key(key: str) -> bytes:
    """Return what is stored of a key: its HMAC with `Session.secret`, so another secret ends every session.

    For 256 random bits a fast hash is enough (OWASP, Session Management).
    """
    return hmac.digest(Session.secret, key.encode("utf-8", "surrogatepass"), "sha256")


class Session(Model):
    """A login of a user. `key` is known only to the client and to the code that started the session."""

    key_hash = peewee.BlobField(unique=True)
    user = peewee.ForeignKeyField(User, on_delete="CASCADE")
    remember = peewee.BooleanField()
    created_at = UtcDateTimeField(default=utc_now)
    used_at = UtcDateTimeField(default=utc_now)
    expires_at = UtcDateTimeField(index=True)

    key: str | None = None
    # The application's `SECRET_KEY`.
    secret = b""

    class Meta:
        table_name = "sessions"

    @classmethod
    @transactional
    def start(cls, user: User, remember: bool = False, instead_of: str | None = None) -> Session:
        """Start a session and revoke the one with the key `instead_of`.

        Raises `SessionExpired` if the account was deleted or its password changed meanwhile.
        """
        if instead_of:
            cls.revoke(instead_of)
        started = utc_now()
        user.lock_for_update()
        cls.delete().where(cls.expires_at <= started).execute()
        newest = cls.select(cls.id).where(cls.user == user).order_by(cls.used_at.desc(), cls.id.desc())
        cls.delete().where(cls.user == user, cls.id.not_in(newest.limit(MAX_SESSIONS - 1))).execute()
        session = cls(
            user=user,
            remember=remember,
            created_at=started,
            used_at=started,
            expires_at=started + (REMEMBER_DURATION if remember else IDLE_TIMEOUT + TOUCH_INTERVAL),
        )
        session.renew_key()
        session.save()
        user.session = session
        return session

    def renew_key(self) -> None:
        """Give the session a new key, which is stored when it is saved."""
        self.key = secrets.token_urlsafe(32)
        self.key_hash = hash_key(self.key)

    @classmethod
    @transactional
    def register(cls, instead_of: str | None = None, **fields: Any) -> User:
        """Insert an account and start its first session, in one transaction. See `User.register` and `start`."""
        user = User.register(**fields)
        cls.start(user, instead_of=instead_of)
        return user

    @classmethod
    def find_active(cls, key: str) -> Session | None:
        """Return the session with this key and its user, by one query, if it has not expired. Touch it."""
        for row in select_active_session(key_hash=hash_key(key), now=utc_now()):
            session = cls.from_row(row[:SESSION_COLUMN_COUNT])
            session.user = User.from_row(row[SESSION_COLUMN_COUNT:])
            session.user.session = session
            session.touch()
            return session
        return None

    def touch(self) -> None:
        """Extend the idle timeout. Writes at most once per `TOUCH_INTERVAL`."""
        now = utc_now()
        if now - self.used_at < TOUCH_INTERVAL:
            return
        self.used_at = now
        if not self.remember:
            self.expires_at = now + IDLE_TIMEOUT + TOUCH_INTERVAL
        Session.update(used_at=self.used_at, expires_at=self.expires_at).where(Session.id == self.id).execute()

    @classmethod
    def revoke(cls, key: str) -> None:
        """Delete the session with this key, if it exists. It ends in every process."""
        cls.delete().where(cls.key_hash == hash_key(key)).execute()

    @transactional
    def change_password(self, password_hash: str, renew_key: bool = True) -> None:
        """Set the user's password, delete all other sessions of the user, and by default give this one a new key.

        Raises `SessionExpired`.
        """
        self.user.lock_for_update().update_account(password_hash=password_hash)
        Session.delete().where(Session.user == self.user, Session.id != self.id).execute()
        if renew_key:
            self.renew_key()
            Session.update(key_hash=self.key_hash).where(Session.id == self.id).execute()


SESSION_COLUMN_COUNT = len(Session._meta.sorted_fields)


@cached_statement
def select_active_session(key_hash: Any, now: Any) -> peewee.Query:
    """Select the session with this key that has not expired at `now`, with its user."""
    return Session.select(Session, User).join(User).where(Session.key_hash == key_hash, Session.expires_at > now)
