"""Accounts: register, log in and out, and what an owner does with an account."""

from __future__ import annotations

from contextlib import nullcontext

from models import User
from schemas import (
    LoginSchema,
    NewPasswordSchema,
    NothingSchema,
    OwnUserSchema,
    PasswordSchema,
    PictureUploadSchema,
    ProfileChangeSchema,
    RegisterSchema,
    UserSchema,
)

from ..pictures.store import kept_picture, pictures
from ..security.authentication import log_in, log_out, require_login, require_session, sign_up
from ..security.passwords import authenticate, hash_password, require_password
from ..security.rate_limits import registrations
from .base import Resource, gives, takes


class UserRegister(Resource):
    """`/user/register`"""

    public = {"POST"}

    @gives(OwnUserSchema, 201)
    @registrations
    @takes(RegisterSchema)
    def post(self, fields):
        """Create an account, with a picture if you like, and log in.

        409 where the username or the address is taken, 429 past 30 registrations in a minute from one address.
        """
        password_hash = hash_password(fields.pop("password"))
        with kept_picture(fields.pop("file", None), fields["username"]) as picture:
            return sign_up(password_hash=password_hash, picture=picture, **fields)


class UserLogin(Resource):
    """`/user/login`"""

    public = {"POST"}

    @gives(OwnUserSchema)
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

    @gives(NothingSchema)
    def post(self):
        """End this session, on the server too."""
        log_out()


class UserProfile(Resource):
    """`/user/profile`"""

    @gives(OwnUserSchema)
    def get(self):
        """Show your account."""
        return require_login()

    @gives(OwnUserSchema)
    @takes(ProfileChangeSchema)
    def patch(self, fields):
        """Change your username, your e-mail address (with your password) or your picture.

        403 for a wrong password, 409 where the username or the address is taken, 429 past 10 wrong passwords in 5
        minutes.
        """
        user = require_login()
        password = fields.pop("current_password", None)
        if fields.get("email", user.email) != user.email:
            require_password(user, password)
        return change_account(user, **fields)

    @gives(NothingSchema)
    @takes(PasswordSchema)
    def delete(self, fields):
        """Delete your account, with its dogs, sessions and pictures.

        403 for a wrong password, 429 past 10 of them in 5 minutes.
        """
        user = require_login()
        require_password(user, **fields)
        pictures().delete(user.erase())
        log_out()


class UserPassword(Resource):
    """`/user/password`"""

    @gives(OwnUserSchema)
    @takes(NewPasswordSchema)
    def put(self, fields):
        """Change your password and end all your other sessions.

        403 for a wrong current password, 429 past 10 of them in 5 minutes.
        """
        session = require_session()
        require_password(session.user, fields["current_password"])
        session.change_password(hash_password(fields["new_password"]))
        return session.user


class UserPicture(Resource):
    """`/user/picture`"""

    @gives(OwnUserSchema)
    @takes(PictureUploadSchema)
    def put(self, fields):
        """Replace your picture."""
        return change_account(require_login(), **fields)

    @gives(OwnUserSchema)
    def delete(self):
        """Go back to the default picture."""
        return change_account(require_login(), to_default=True)


class UserItem(Resource):
    """`/user/<id>`"""

    public = {"GET"}

    @gives(UserSchema)
    def get(self, user_id):
        """Show a user as others see it."""
        return User.find(user_id)


def change_account(user, file=None, to_default=False, **fields):
    """Change the account and, with a `file` or `to_default`, its picture. A default picture follows the name."""
    before, name = user.username, fields.get("username", user.username)
    redrawn = user.picture.is_default and name != before and not file
    with kept_picture(file, name) if file or to_default or redrawn else nullcontext() as picture:
        useless = user.change(picture, redrawn=redrawn, **fields)
    pictures().delete(useless)
    return redraw(user, drawn_of=name if to_default or redrawn else before)


def redraw(user, drawn_of):
    """Draw a default picture anew while it is of another name than the user has, who may change it at any time."""
    while user.picture.is_default and user.username != drawn_of:
        drawn_of = user.username
        with kept_picture(None, drawn_of) as picture:
            useless = user.change(picture, redrawn=True)
        pictures().delete(useless)
    return user
