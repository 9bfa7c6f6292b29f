"""Users: login and profile."""

from flask import Blueprint, Response, request
from flask_bcrypt import Bcrypt
from flask_login import current_user, login_required, login_user
from playhouse.shortcuts import model_to_dict

from models import User
from responses import respond

users = Blueprint("users", "users")
bcrypt = Bcrypt()


def public(user: User) -> dict[str, object]:
    """A user without the password."""
    return model_to_dict(user, exclude=[User.password])


@users.post("/login")
def login() -> tuple[Response, int]:
    """Log in with username and password."""
    payload = request.get_json()
    user = User.get_or_none(User.username == payload["username"])
    if user is None or not bcrypt.check_password_hash(user.password, payload["password"]):
        return respond({}, 401, "Username or password is incorrect")
    login_user(user)
    return respond(public(user))


@users.get("/profile")
@login_required
def profile() -> tuple[Response, int]:
    """Show the current user."""
    return respond(public(current_user))
