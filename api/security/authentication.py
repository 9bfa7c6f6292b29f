"""Who are you: a session by its cookie, or by its key as a bearer token."""

from __future__ import annotations

from typing import Any

from flask import Flask, session
from flask_login import LoginManager, current_user, login_user, logout_user

from models import Dog, Session, User

from ..http.errors import Forbidden, Unauthorized
from ..http.request import current_request

INVALID_CREDENTIALS = "Username or Password is incorrect"


def init_app(app: Flask) -> None:
    """Let Flask-Login find the user of a request.

    Its own `init_app` would add the hooks of its remember cookie, which can't be ended on the server. Ours is the
    session's own cookie with a longer life.
    """
    manager = LoginManager()
    manager.session_protection = None  # the key is secret enough, and phones change their address all the time
    # It would hash address and browser for each request all the same, which is a tenth of what a profile takes.
    manager._session_identifier_generator = str
    # Flask-Login would take a `remember_token` cookie, of any other program on this host too, for ours, and then look
    # at no bearer token. This is the name of no cookie.
    app.config["REMEMBER_COOKIE_NAME"] = ";"
    manager.user_loader(load_user_from_cookie)
    manager.request_loader(load_user_from_token)
    app.login_manager = manager  # type: ignore[attr-defined]


def bearer_token() -> str | None:
    """The token of the Authorization header (RFC 6750, section 2.1), or None where it holds none."""
    scheme, _, token = current_request().environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def load_user_from_cookie(key: str) -> User | None:
    """The user of the session that the cookie names. Beside a bearer token, good or bad, a cookie does not count."""
    found = Session.find_active(key) if bearer_token() is None else None
    return found.user if found else None


def load_user_from_token(_: Any) -> User | None:
    """The user of the session that the bearer token names."""
    token = bearer_token()
    found = Session.find_active(token) if token else None
    return found.user if found else None


def require_login() -> User:
    """The user of this request. Raises `Unauthorized`."""
    user: Any = current_user._get_current_object()
    if user.is_authenticated:
        return user
    if bearer_token() is not None:
        raise Unauthorized("This token is wrong or has ended")
    raise Unauthorized


def require_session() -> Session:
    """The session of this request. Raises `Unauthorized`."""
    found: Session | None = require_login().session
    if found is None:
        raise Unauthorized
    return found


def require_owner(dog: Dog) -> Dog:
    """The dog that was found, where it belongs to the user of this request. Raises `Forbidden`."""
    if dog.user_id != require_login().id:
        raise Forbidden("This dog belongs to another user")
    return dog


def log_in(user: User, remember: bool = False) -> User:
    """Open a session for this user in place of the one that the cookie names.

    Raises `SessionExpired` where the account or its password has just changed.
    """
    Session.start(user, remember, instead_of=session_key_from_cookie())
    return set_session_cookie(user, remember)


def register_and_log_in(**fields: Any) -> User:
    """Insert an account and log its user in: both or neither. Raises `Conflict` where name or address are taken."""
    return set_session_cookie(Session.register(instead_of=session_key_from_cookie(), **fields))


def session_key_from_cookie() -> str | None:
    """The key of the session that the cookie names. `_user_id` is Flask-Login's word for what `User.get_id` gives."""
    return session.get("_user_id")


def set_session_cookie(user: User, remember: bool = False) -> User:
    """Name the session that this user came by in the cookie, and nothing else."""
    session.clear()
    login_user(user)
    for note in ("_id", "_fresh"):
        session.pop(note)  # which only Flask-Login's own protection and remember cookie need
    session.permanent = remember
    return user


def log_out() -> None:
    """End the session of this request, whether its cookie or a token names it."""
    token = bearer_token()
    if token:
        Session.revoke(token)
    clear_session_cookie()


def clear_session_cookie() -> None:
    """End the session that the cookie names, on the server and in the browser, where there is one."""
    key = session_key_from_cookie()
    if key:
        Session.revoke(key)
    logout_user()
    session.clear()
