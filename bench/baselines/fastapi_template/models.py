"""What is kept, what comes in, and what goes out."""

from datetime import UTC, datetime
from typing import Any

from pydantic import EmailStr
from sqlalchemy import DateTime, Dialect, TypeDecorator
from sqlmodel import Field, Relationship, SQLModel


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


class UTCDateTime(TypeDecorator[datetime]):
    """A moment with its zone, which SQLite does not keep."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """What the database gave, in UTC where it has no zone."""
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


class UserBase(SQLModel):
    """What all forms of a user have."""

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
    """A user in an answer."""

    id: int
    created_at: datetime


class DogBase(SQLModel):
    """What all forms of a dog have."""

    name: str = Field(min_length=1, max_length=80)
    owner: str = Field(min_length=1, max_length=80)
    breed: str = Field(min_length=1, max_length=80)


class DogCreate(DogBase):
    """A new dog."""


class DogUpdate(DogBase):
    """What of a dog can be changed."""


class Dog(DogBase, table=True):
    """The table of dogs."""

    id: int | None = Field(default=None, primary_key=True)
    created_at: datetime = Field(default_factory=now, sa_type=UTCDateTime)
    user_id: int = Field(foreign_key="user.id", nullable=False, ondelete="CASCADE")
    user: User | None = Relationship(back_populates="dogs")


class DogPublic(DogBase):
    """A dog in an answer."""

    id: int
    created_at: datetime
    user_id: int


class DogsPublic(SQLModel):
    """A list in an answer."""

    data: list[DogPublic]
    count: int


class Login(SQLModel):
    """Who wants to log in."""

    username: str
    password: str


class Token(SQLModel):
    """The token of a login."""

    access_token: str
    token_type: str = "bearer"


class TokenPayload(SQLModel):
    """What is in a token."""

    sub: int
