"""Tables and their rules. No module here knows requests, schemas or status codes."""

from .db.connection import close_connections, connect, database, transactional
from .db.statements import cached_statement
from .dog import Dog
from .errors import Conflict, NotFound, SessionExpired, VersionConflict
from .rate_limit import RateLimit
from .session import Session
from .user import Picture, User

# In the order of their foreign keys: referenced tables first.
MODELS = (User, Session, Dog, RateLimit)

__all__ = [
    "MODELS",
    "Conflict",
    "Dog",
    "NotFound",
    "Picture",
    "RateLimit",
    "Session",
    "SessionExpired",
    "User",
    "VersionConflict",
    "cached_statement",
    "close_connections",
    "connect",
    "database",
    "transactional",
]  # fmt: skip
