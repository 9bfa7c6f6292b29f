"""Accounts: register, log in and out, and what an owner does with an account."""

from __future__ import annotations

from contextlib import nullcontext

from models import User
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
from ..security.authentication import log_in, log_out, register_and_log_in, require_login, require_session
from ..security.passwords import authenticate, confirm_password, hash_password
from ..security.rate_limits import limit_registrations
from .base import Resource, gives, takes


class UserRegister(Resource):
    """`/user/register`"""

    public = {"POST"}

    @gives(PrivateUserSchema, 201)
    @limit_registrations
    @takes(RegisterSchema)
    def post(self, fields):
        """Create an account, with a picture if you like, and log in.

        409 where the username or the address is taken, 429 past 30 registrations in a minute from one address.
        """
        password_hash = hash_password(fields.pop("password"))
        with stored_picture(fields.pop("file", None), fields["username"]) as picture:
            return register_and_log_in(password_hash=password_hash, picture=picture, **fields)


class UserLogin(Resource):
    """`/user/login`"""

    public = {"POST"}

    @gives(PrivateUserSchema)
    @takes(LoginSchema)
    def post(self, fields):
        """Log in with an e-mail address or a username.

        401 where the name or the password is wrong, 429 past 10 failures in 5 minutes.
        """
        remember = fields.pop("remember")
        return log_in(authenticate(**fields), remember)


class UserLogout(Resource):
    """`/user/logout`"""

    public = {"POST"}

    @gives(EmptySchema)
    def post(self):
        """End this session, on the server too."""
        log_out()


class UserProfile(Resource):
    """`/user/profile`"""

    @gives(PrivateUserSchema)
    def get(self):
        """Show your account."""
        return require_login()

    @gives(PrivateUserSchema)
    @takes(UpdateProfileSchema)
    def patch(self, fields):
        """Change your username, your e-mail address (with your password) or your picture.

        403 for a wrong password, 409 where the username or the address is taken, 429 past 10 wrong passwords in 5
        minutes.
        """
        user = require_login()
        password = fields.pop("current_password", None)
        if fields.get("email", user.email) != user.email:
            confirm_password(user, password)
        return update_account(user, **fields)

    @gives(EmptySchema)
    @takes(ConfirmPasswordSchema)
    def delete(self, fields):
        """Delete your account, with its dogs, sessions and pictures.

        403 for a wrong password, 429 past 10 of them in 5 minutes.
        """
        user = require_login()
        confirm_password(user, **fields)
        picture_store().delete(user.delete_account())
        log_out()


class UserPassword(Resource):
    """`/user/password`"""

    @gives(PrivateUserSchema)
    @takes(ChangePasswordSchema)
    def put(self, fields):
        """Change your password and end all your other sessions.

        403 for a wrong current password, 429 past 10 of them in 5 minutes.
        """
        session = require_session()
        confirm_password(session.user, fields["current_password"])
        session.change_password(hash_password(fields["new_password"]))
        return session.user


class UserPicture(Resource):
    """`/user/picture`"""

    @gives(PrivateUserSchema)
    @takes(PictureUploadSchema)
    def put(self, fields):
        """Replace your picture."""
        return update_account(require_login(), **fields)

    @gives(PrivateUserSchema)
    def delete(self):
        """Go back to the default picture."""
        return update_account(require_login(), to_default=True)


class UserItem(Resource):
    """`/user/<id>`"""

    public = {"GET"}

    @gives(PublicUserSchema)
    def get(self, user_id):
        """Show a user as others see it."""
        return User.find(user_id)


def update_account(user, file=None, to_default=False, **fields):
    """Change the account and, with a `file` or `to_default`, its picture. A default picture follows the name."""
    before, name = user.username, fields.get("username", user.username)
    redrawn = user.picture.is_default and name != before and not file
    with stored_picture(file, name) if file or to_default or redrawn else nullcontext() as picture:
        replaced = user.update_account(picture, redrawn=redrawn, **fields)
    picture_store().delete(replaced)
    return refresh_default_picture(user, drawn_of=name if to_default or redrawn else before)


def refresh_default_picture(user, drawn_of):
    """Draw a default picture anew while it is of another name than the user has, who may change it at any time."""
    while user.picture.is_default and user.username != drawn_of:
        drawn_of = user.username
        with stored_picture(None, drawn_of) as picture:
            replaced = user.update_account(picture, redrawn=True)
        picture_store().delete(replaced)
    return user
