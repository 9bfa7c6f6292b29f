"""Users and dogs."""

import os
from datetime import UTC, datetime

from flask_login import UserMixin
from peewee import CharField, DateTimeField, ForeignKeyField, Model
from playhouse.db_url import connect

database = connect(os.environ["DATABASE_URL"])


def now() -> datetime:
    """Return the current time in UTC, without a time zone, which the database does not store."""
    return datetime.now(UTC).replace(tzinfo=None)


class User(UserMixin, Model):
    """A user."""

    username = CharField(unique=True)
    email = CharField(unique=True)
    password = CharField()
    image = CharField()
    created_at = DateTimeField(default=now)

    class Meta:
        database = database
        table_name = "users"


class Dog(Model):
    """A dog, its owner, and the user who created it."""

    name = CharField()
    owner = CharField()
    breed = CharField()
    created_at = DateTimeField(default=now)
    user_id = ForeignKeyField(User, backref="dogs", object_id_name="creator_id")

    class Meta:
        database = database
        table_name = "dogs"
