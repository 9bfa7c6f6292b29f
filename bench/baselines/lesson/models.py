"""Users and dogs."""

import os
from datetime import UTC, datetime

from flask_login import UserMixin
from peewee import CharField, DateTimeField, ForeignKeyField, Model
from playhouse.db_url import connect

database = connect(os.environ["DATABASE_URL"])


def now() -> datetime:
    """This moment in UTC. The database keeps no zone."""
    return datetime.now(UTC).replace(tzinfo=None)


class User(UserMixin, Model):
    """Who can log in."""

    username = CharField(unique=True)
    email = CharField(unique=True)
    password = CharField()
    image = CharField()
    created_at = DateTimeField(default=now)

    class Meta:
        database = database
        table_name = "users"


class Dog(Model):
    """A dog, its owner, and the user who has entered it."""

    name = CharField()
    owner = CharField()
    breed = CharField()
    created_at = DateTimeField(default=now)
    user_id = ForeignKeyField(User, backref="dogs", object_id_name="creator_id")

    class Meta:
        database = database
        table_name = "dogs"
