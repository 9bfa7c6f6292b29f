"""Authentication: a session, by its cookie or by its key as a bearer token. Ownership of rows."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from flask import Flask, session
from flask_login import LoginManager, current_user, login_user, logout_user

from models import Session, User

from ..http.errors import BadRequest, Forbidden, Unauthorized
from ..http.request import current_request

INVALID_CREDENTIALS = "Username or Password is incorrect"
REMEDIES = {
    "Authorization": "Send it as: Bearer <token>",
    "Cookie": "Delete this site's cookies of other programs, or percent-encode their values",
}


class Owned(Protocol):
    """A row that belongs to a user."""

    user_id: int


OwnedRow = TypeVar("OwnedRow", bound=Owned)


def init_app(app: Flask) -> None:
    """Register the user loaders of Flask-Login.

    Its own `init_app` would add the hooks of its remember cookie, which cannot be revoked on the server. Ours is the
    session cookie with a longer lifetime.
    """
    manager = LoginManager()
    manager.session_protection = None  # the key is secret enough, and phones change their address all the time
    # Flask-Login hashes address and browser in each request even so, which is a tenth of the time of a profile.
    manager._session_identifier_generator = str
    # Flask-Login would accept a cookie named `remember_token`, also that of another program on this host, and then
    # ignore the bearer token. No cookie can have this name.
    app.config["REMEMBER_COOKIE_NAME"] = ";"
    manager.user_loader(load_user_from_cookie)
    manager.request_loader(load_user_from_token)
    app.login_manager = manager  # type: ignore[attr-defined]
    Session.secret = app.config["SECRET_KEY"].encode()


def bearer_token() -> str | None:
    """Return the token of the Authorization header (RFC 6750, section 2.1), None if it has none.

    Raises `BadRequest` if the header can't be read.
    """
    scheme, _, token = read_header("Authorization").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def read_header(name: str) -> str:
    """Return a header that says who the client is, or nothing if it is missing. Raises `BadRequest` if it is empty.

    Granian replaces a header with a byte beyond ASCII by an empty one. Without this check, a cookie of another program
    would log a user out, and a malformed token would count as none.
    """
    key = f"HTTP_{name.upper()}"
    value: str | None = current_request().environ.get(key)
    if value == "":
        raise BadRequest(f"The {name} header is empty or has a character beyond ASCII. {REMEDIES[name]}")
    return value or ""


def load_user_from_cookie(key: str) -> User | None:
    """Load the user of a session (Flask-Login's `user_loader`). A bearer token, valid or not, overrides the cookie."""
    active = Session.find_active(key) if bearer_token() is None else None
    return active.user if active else None


def load_user_from_token(_: Any) -> User | None:
    """Load the user of the bearer token's session (Flask-Login's `request_loader`), where the cookie names none.

    Raises `BadRequest` if the cookies can't be read.
    """
    token = bearer_token()
    if token is None:
        read_header("Cookie")
    active = Session.find_active(token) if token else None
    return active.user if active else None


def require_login() -> User:
    """Return the user of this request. Raises `Unauthorized`."""
    user: Any = current_user._get_current_object()
    if user.is_authenticated:
        return user
    if bearer_token() is not None:
        raise Unauthorized("Invalid or expired token")
    raise Unauthorized


def require_session() -> Session:
    """Return the session of this request. Raises `Unauthorized`."""
    active: Session | None = require_login().session
    if active is None:
        raise Unauthorized
    return active


def require_owner(row: OwnedRow) -> OwnedRow:
    """Return the row if it belongs to the user of this request. Raises `Forbidden`."""
    if row.user_id != require_login().id:
        raise Forbidden(f"This {type(row).__name__.lower()} belongs to another user")
    return row


def log_in(user: User, remember: bool = False) -> User:
    """Start a session for this user, replacing the one in the cookie.

    Raises `SessionExpired` if the account was just deleted or its password changed.
    """
    Session.start(user, remember, instead_of=session_key_from_cookie())
    return set_session_cookie(user, remember)


def register_and_log_in(**fields: Any) -> User:
    """Insert an account and start its first session, in one transaction. Raises `Conflict` for a duplicate."""
    return set_session_cookie(Session.register(instead_of=session_key_from_cookie(), **fields))


def session_key_from_cookie() -> str | None:
    """Return the session key in the cookie. `_user_id` is Flask-Login's name for the value of `User.get_id`."""
    return session.get("_user_id")


def set_session_cookie(user: User, remember: bool = False) -> User:
    """Put the key of the user's new session in the cookie, and nothing else."""
    session.clear()
    login_user(user)
    for unused in ("_id", "_fresh"):  # for Flask-Login's session protection and remember cookie
        session.pop(unused)
    session.permanent = remember
    return user


def change_session_password(active: Session, password_hash: str) -> None:
    """Store a new password, and end all sessions but this one, whose cookie gets a new key.

    A bearer token stays: its client would not learn another. Raises `SessionExpired`.
    """
    by_cookie = bearer_token() is None
    active.change_password(password_hash, renew_key=by_cookie)
    if by_cookie:
        set_session_cookie(active.user, active.remember)


def log_out() -> None:
    """End the session of this request, by its token and by its cookie."""
    token = bearer_token()
    if token:
        Session.revoke(token)
    clear_session_cookie()


def clear_session_cookie() -> None:
    """End the session in the cookie, if any, on the server and in the browser."""
    key = session_key_from_cookie()
    if key:
        Session.revoke(key)
    logout_user()
    session.clear()
