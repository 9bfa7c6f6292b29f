"""Rows and their rules. Nothing here knows of requests, schemas or status codes."""

from .db.connection import atomic, connect, database, disconnect
from .db.statements import prepared
from .dog import Dog
from .errors import Conflict, Ended, NotFound, Stale
from .rate_limit import RateLimit
from .session import Session
from .user import Picture, User

# Those that others point to come first.
MODELS = (User, Session, Dog, RateLimit)

__all__ = [
    "MODELS", "Conflict", "Dog", "Ended", "NotFound", "Picture", "RateLimit", "Session", "Stale", "User",
    "atomic", "connect", "database", "disconnect", "prepared",
]  # fmt: skip
