"""Create a trigram index for the search of dogs, if the database supports one.

On SQLite it is an FTS5 table that knows which dogs have a trigram, but not where (`detail=none`), so it is small and
fast to write. Triggers keep it up to date; an update that leaves the texts unchanged does not touch it.
"""

from peewee import Database, DatabaseError, OperationalError, SqliteDatabase
from playhouse.migrate import SchemaMigrator

TOKENIZER = "trigram case_sensitive 1"  # the texts are case-folded

SQLITE_STATEMENTS = (
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
    # Each commit adds a segment to the index. Merge eight at a time, because each merge writes them again.
    "INSERT INTO dogs_search (dogs_search, rank) VALUES ('automerge', 8)",
    "INSERT INTO dogs_search (dogs_search) VALUES ('rebuild')",
    # Merge all existing rows into one segment, which later merges rarely touch.
    "INSERT INTO dogs_search (dogs_search) VALUES ('optimize')",
)

# New dogs go to a pending list (fastupdate), because inserting each of their trigrams at once is slow. A search scans
# the list, so it is limited, in kilobytes.
POSTGRESQL_INDEX = """
CREATE INDEX dogs_search ON dogs USING gin (name_key gin_trgm_ops, owner_key gin_trgm_ops, breed_key gin_trgm_ops)
WITH (gin_pending_list_limit = 256)
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    if not isinstance(db, SqliteDatabase):
        if has_extension(db):
            db.execute_sql(POSTGRESQL_INDEX)
    elif create_table(db):
        for statement in SQLITE_STATEMENTS:
            db.execute_sql(statement)


def down(migrator: SchemaMigrator, db: Database) -> None:
    if not isinstance(db, SqliteDatabase):
        db.execute_sql("DROP INDEX IF EXISTS dogs_search")
        return
    for event in ("insert", "delete", "update"):
        db.execute_sql(f"DROP TRIGGER IF EXISTS dogs_search_{event}")
    db.execute_sql("DROP TABLE IF EXISTS dogs_search")


def create_table(db: Database) -> bool:
    """Create SQLite's index, empty. Return whether this SQLite supports it."""
    try:
        with db.atomic():
            db.execute_sql(
                "CREATE VIRTUAL TABLE dogs_search USING fts5(name_key, owner_key, breed_key, content='dogs',"
                f" content_rowid='id', tokenize='{TOKENIZER}', detail=none, columnsize=0)"
            )
    except OperationalError as error:
        if "no such" not in str(error):  # such module or tokenizer
            raise
        return False
    return True


def has_extension(db: Database) -> bool:
    """Return whether PostgreSQL has pg_trgm or can add it, on the search path."""
    try:
        with db.atomic():
            db.execute_sql("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    except DatabaseError:  # not installed on the server, or not permitted
        return False
    visible = "SELECT FROM pg_opclass WHERE opcname = 'gin_trgm_ops' AND pg_opclass_is_visible(oid)"
    return db.execute_sql(visible).fetchone() is not None
