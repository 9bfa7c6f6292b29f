"""An index for the search of dogs: of all that is three letters in a row. Where the database has none, it does without.

SQLite's says which dogs have these letters in a text, but not where (`detail=none`), so it is small and quick to write.
Triggers keep it up to date; a change that leaves the texts as they were does not touch it.
"""

from peewee import Database, DatabaseError, OperationalError, SqliteDatabase
from playhouse.migrate import SchemaMigrator

TOKENIZER = "trigram case_sensitive 1"  # the texts have no case

SQLITE = (
    """
    CREATE TRIGGER dogs_search_insert AFTER INSERT ON dogs BEGIN
        INSERT INTO dogs_search (rowid, name_key, owner_key, breed_key)
        VALUES (new.id, new.name_key, new.owner_key, new.breed_key);
    END
    """,
    """
    CREATE TRIGGER dogs_search_delete AFTER DELETE ON dogs BEGIN
        INSERT INTO dogs_search (dogs_search, rowid, name_key, owner_key, breed_key)
        VALUES ('delete', old.id, old.name_key, old.owner_key, old.breed_key);
    END
    """,
    """
    CREATE TRIGGER dogs_search_update AFTER UPDATE ON dogs
    WHEN (old.name_key, old.owner_key, old.breed_key) IS NOT (new.name_key, new.owner_key, new.breed_key) BEGIN
        INSERT INTO dogs_search (dogs_search, rowid, name_key, owner_key, breed_key)
        VALUES ('delete', old.id, old.name_key, old.owner_key, old.breed_key);
        INSERT INTO dogs_search (rowid, name_key, owner_key, breed_key)
        VALUES (new.id, new.name_key, new.owner_key, new.breed_key);
    END
    """,
    # Each commit adds a small part to the index. Eight are merged at a time: each merge writes them once more.
    "INSERT INTO dogs_search (dogs_search, rank) VALUES ('automerge', 8)",
    "INSERT INTO dogs_search (dogs_search) VALUES ('rebuild')",
    # What is there now becomes one part, so that the merges leave it alone for long.
    "INSERT INTO dogs_search (dogs_search) VALUES ('optimize')",
)

# To sort in the letters of each new dog at once would be slow. They are put aside, and sorted in before there are too
# many to be looked through with each search. The unit is a kilobyte.
POSTGRESQL = """
CREATE INDEX dogs_search ON dogs USING gin (name_key gin_trgm_ops, owner_key gin_trgm_ops, breed_key gin_trgm_ops)
WITH (gin_pending_list_limit = 256)
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    if not isinstance(db, SqliteDatabase):
        if has_extension(db):
            db.execute_sql(POSTGRESQL)
    elif create_table(db):
        for statement in SQLITE:
            db.execute_sql(statement)


def down(migrator: SchemaMigrator, db: Database) -> None:
    if not isinstance(db, SqliteDatabase):
        db.execute_sql("DROP INDEX IF EXISTS dogs_search")
        return
    for event in ("insert", "delete", "update"):
        db.execute_sql(f"DROP TRIGGER IF EXISTS dogs_search_{event}")
    db.execute_sql("DROP TABLE IF EXISTS dogs_search")


def create_table(db: Database) -> bool:
    """Create SQLite's index without its content. Return whether this SQLite supports it."""
    try:
        with db.atomic():
            db.execute_sql(
                "CREATE VIRTUAL TABLE dogs_search USING fts5(name_key, owner_key, breed_key, content='dogs',"
                f" content_rowid='id', tokenize='{TOKENIZER}', detail=none, columnsize=0)"
            )
    except OperationalError as error:
        if "no such" not in str(error):  # module, or tokenizer
            raise
        return False
    return True


def has_extension(db: Database) -> bool:
    """Return whether PostgreSQL has pg_trgm, or lets us add it, and finds it without a schema name."""
    try:
        with db.atomic():
            db.execute_sql("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    except DatabaseError:  # it is not on the server, or may not be added
        return False
    known = "SELECT FROM pg_opclass WHERE opcname = 'gin_trgm_ops' AND pg_opclass_is_visible(oid)"
    return db.execute_sql(known).fetchone() is not None
