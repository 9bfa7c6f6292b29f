"""Accounts and sessions."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from models import User
from models.user import require_unused
from schemas import (
    ChangePasswordSchema,
    ConfirmPasswordSchema,
    EmptySchema,
    LoginSchema,
    PictureUploadSchema,
    PrivateUserSchema,
    PublicUserSchema,
    RegisterSchema,
    UpdateProfileSchema,
)

from ..pictures.store import picture_store, stored_picture
from ..security.authentication import (
    change_session_password,
    log_in,
    log_out,
    register_and_log_in,
    require_login,
    require_session,
)
from ..security.passwords import authenticate, confirm_password, hash_password
from ..security.rate_limits import limit_registrations
from .base import Resource, gives, takes


class UserRegister(Resource):
    """`/user/register`"""

    public = {"POST"}

    @gives(PrivateUserSchema, 201, errors=(409, 429))
    @limit_registrations
    @takes(RegisterSchema)
    def post(self, fields: dict[str, Any]) -> User:
        """Create an account, optionally with a picture, and log in.

        At most 30 registrations per minute from one IP address.
        """
        require_unused(fields["username"], fields["email"])  # before anything is hashed or written
        password_hash = hash_password(fields.pop("password"))
        with stored_picture(fields.pop("file", None), fields["username"]) as picture:
            return register_and_log_in(password_hash=password_hash, picture=picture, **fields)


class UserLogin(Resource):
    """`/user/login`"""

    public = {"POST"}

    @gives(PrivateUserSchema, errors=(429,))
    @takes(LoginSchema)
    def post(self, fields: dict[str, Any]) -> User:
        """Log in with an email address or a username.

        At most 10 failed logins per account in 5 minutes.
        """
        remember = fields.pop("remember")
        return log_in(authenticate(**fields), remember)


class UserLogout(Resource):
    """`/user/logout`"""

    public = {"POST"}

    @gives(EmptySchema)
    def post(self) -> None:
        """End this session, in the browser and on the server."""
        log_out()


class UserProfile(Resource):
    """`/user/profile`"""

    @gives(PrivateUserSchema)
    def get(self) -> User:
        """Get your account."""
        return require_login()

    @gives(PrivateUserSchema, errors=(403, 409, 429))
    @takes(UpdateProfileSchema)
    def patch(self, fields: dict[str, Any]) -> User:
        """Change your username, your email address or your picture.

        A new email address requires `current_password`; at most 10 wrong ones in 5 minutes.
        """
        user = require_login()
        password = fields.pop("current_password", None)
        if fields.get("email", user.email) != user.email:
            confirm_password(user, password)
        return update_account(user, **fields)

    @gives(EmptySchema, errors=(403, 429))
    @takes(ConfirmPasswordSchema)
    def delete(self, fields: dict[str, Any]) -> None:
        """Delete your account, with its dogs, sessions and pictures."""
        user = require_login()
        confirm_password(user, **fields)
        picture_store.get().delete(user.delete_account())
        log_out()


class UserPassword(Resource):
    """`/user/password`"""

    @gives(PrivateUserSchema, errors=(403, 429))
    @takes(ChangePasswordSchema)
    def put(self, fields: dict[str, Any]) -> User:
        """Change your password, and end all your other sessions. This one gets a new cookie."""
        session = require_session()
        confirm_password(session.user, fields["current_password"])
        change_session_password(session, hash_password(fields["new_password"]))
        return session.user


class UserPicture(Resource):
    """`/user/picture`"""

    @gives(PrivateUserSchema)
    @takes(PictureUploadSchema)
    def put(self, fields: dict[str, Any]) -> User:
        """Replace your picture."""
        return update_account(require_login(), **fields)

    @gives(PrivateUserSchema)
    def delete(self) -> User:
        """Reset your picture to the default."""
        return update_account(require_login(), to_default=True)


class UserItem(Resource):
    """`/user/<id>`"""

    public = {"GET"}

    @gives(PublicUserSchema)
    def get(self, user_id: int) -> User:
        """Get the public profile of a user."""
        return User.find(user_id)


def update_account(user: User, file: Any = None, to_default: bool = False, **fields: Any) -> User:
    """Update the account and, with a `file` or `to_default`, its picture. A default picture follows the username."""
    before, name = user.username, fields.get("username", user.username)
    redrawn = user.picture.is_default and name != before and not file
    with stored_picture(file, name) if file or to_default or redrawn else nullcontext() as picture:
        replaced = user.update_account(picture, redrawn=redrawn, **fields)
    picture_store.get().delete(replaced)
    return refresh_default_picture(user, drawn_of=name if to_default or redrawn else before)


def refresh_default_picture(user: User, drawn_of: str) -> User:
    """Redraw a default picture until it shows the username, which a concurrent request may have changed."""
    while user.picture.is_default and user.username != drawn_of:
        drawn_of = user.username
        with stored_picture(None, drawn_of) as picture:
            replaced = user.update_account(picture, redrawn=True)
        picture_store.get().delete(replaced)
    return user
