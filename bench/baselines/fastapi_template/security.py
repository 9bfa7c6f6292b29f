"""Passwords and tokens."""

import os
from datetime import UTC, datetime, timedelta

import jwt
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher

ALGORITHM = "HS256"
SECRET_KEY = os.environ["SECRET_KEY"]
TOKEN_LIFETIME = timedelta(days=8)

password_hash = PasswordHash((Argon2Hasher(), BcryptHasher()))


def create_access_token(user_id: int | None) -> str:
    """Return an access token for this user."""
    return jwt.encode({"exp": datetime.now(UTC) + TOKEN_LIFETIME, "sub": str(user_id)}, SECRET_KEY, algorithm=ALGORITHM)
