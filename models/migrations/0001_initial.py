"""Create the tables of users, sessions, dogs and rate limits."""

from peewee import (
    SQL,
    BigAutoField,
    BlobField,
    BooleanField,
    CharField,
    Database,
    DateTimeField,
    ForeignKeyField,
    IntegerField,
    Model,
    SmallIntegerField,
    SqliteDatabase,
    TextField,
)
from playhouse.migrate import SchemaMigrator


def up(migrator: SchemaMigrator, db: Database) -> None:
    # Else SQLite would reuse the id of a deleted row, and an old URL or ETag would refer to another row.
    autoincrement = [SQL("AUTOINCREMENT")] if isinstance(db, SqliteDatabase) else []

    class Row(Model):
        id = BigAutoField(constraints=[*autoincrement])

        class Meta:
            database = db
            legacy_table_names = False

    class User(Row):
        username = CharField(max_length=40)
        username_key = TextField(unique=True)
        email = CharField(max_length=254, unique=True)
        password_hash = CharField(max_length=60)
        image = CharField(max_length=64)
        image_width = SmallIntegerField()
        image_height = SmallIntegerField()
        image_has_double = BooleanField()
        image_is_default = BooleanField()
        created_at = DateTimeField()

        class Meta:
            table_name = "users"

    class Session(Row):
        key_hash = BlobField(unique=True)
        user = ForeignKeyField(User, on_delete="CASCADE")
        remember = BooleanField()
        created_at = DateTimeField()
        used_at = DateTimeField()
        expires_at = DateTimeField(index=True)

        class Meta:
            table_name = "sessions"

    class Dog(Row):
        name = CharField(max_length=80)
        name_key = TextField()
        owner = CharField(max_length=80)
        owner_key = TextField()
        breed = CharField(max_length=80)
        breed_key = TextField()
        version = IntegerField()
        created_at = DateTimeField()
        user = ForeignKeyField(User, on_delete="CASCADE", index=False)

        class Meta:
            table_name = "dogs"
            indexes = (
                (("name_key", "id"), False),
                (("owner_key", "id"), False),
                (("breed_key", "id"), False),
                (("created_at", "id"), False),
                (("user_id", "id"), False),
            )

    class RateLimit(Model):
        key = TextField(primary_key=True)
        count = IntegerField()
        expires_at = DateTimeField(index=True)

        class Meta:
            database = db
            table_name = "rate_limits"

    db.create_tables([User, Session, Dog, RateLimit])


def down(migrator: SchemaMigrator, db: Database) -> None:
    for table in ("rate_limits", "dogs", "sessions", "users"):
        migrator.migrate(migrator.drop_table(table))
