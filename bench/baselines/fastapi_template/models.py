"""Tables, and models of requests and responses."""

from datetime import UTC, datetime
from typing import Any

from pydantic import EmailStr
from sqlalchemy import DateTime, Dialect, TypeDecorator
from sqlmodel import Field, Relationship, SQLModel


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class UTCDateTime(TypeDecorator[datetime]):
    """A timestamp with its time zone, which SQLite does not store."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Add UTC to a timestamp without a time zone."""
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


class UserBase(SQLModel):
    """The fields common to all user models."""

    username: str = Field(unique=True, index=True, max_length=40)
    email: EmailStr = Field(unique=True, index=True, max_length=255)
    image: str = Field(max_length=255)


class User(UserBase, table=True):
    """The table of users."""

    id: int | None = Field(default=None, primary_key=True)
    hashed_password: str
    created_at: datetime = Field(default_factory=now, sa_type=UTCDateTime)
    dogs: list["Dog"] = Relationship(back_populates="user", cascade_delete=True)


class UserPublic(UserBase):
    """A user in a response."""

    id: int
    created_at: datetime


class DogBase(SQLModel):
    """The fields common to all dog models."""

    name: str = Field(min_length=1, max_length=80)
    owner: str = Field(min_length=1, max_length=80)
    breed: str = Field(min_length=1, max_length=80)


class DogCreate(DogBase):
    """A new dog."""


class DogUpdate(DogBase):
    """The fields of a dog that can be changed."""


class Dog(DogBase, table=True):
    """The table of dogs."""

    id: int | None = Field(default=None, primary_key=True)
    created_at: datetime = Field(default_factory=now, sa_type=UTCDateTime)
    user_id: int = Field(foreign_key="user.id", nullable=False, ondelete="CASCADE")
    user: User | None = Relationship(back_populates="dogs")


class DogPublic(DogBase):
    """A dog in a response."""

    id: int
    created_at: datetime
    user_id: int


class DogsPublic(SQLModel):
    """A list in a response."""

    data: list[DogPublic]
    count: int


class Login(SQLModel):
    """Credentials."""

    username: str
    password: str


class Token(SQLModel):
    """An access token."""

    access_token: str
    token_type: str = "bearer"


class TokenPayload(SQLModel):
    """The claims of a token."""

    sub: int
