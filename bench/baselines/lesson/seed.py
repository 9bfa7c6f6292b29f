"""Create the tables in an empty database and fill them: `python seed.py rows.json`."""

import json
import sys
from datetime import datetime
from pathlib import Path

from flask_bcrypt import generate_password_hash
from peewee import chunked

from models import Dog, User, database

rows = json.loads(Path(sys.argv[1]).read_text())
users = [{**user, "password": generate_password_hash(user["password"]).decode()} for user in rows["users"]]
dogs = [
    {
        "name": dog["name"],
        "owner": dog["owner"],
        "breed": dog["breed"],
        "created_at": datetime.fromisoformat(dog["created_at"]).replace(tzinfo=None),
        "user_id": dog["user"],
    }
    for dog in rows["dogs"]
]
# SQLite keeps its default journal mode, which is synced too. With a connection per request, WAL would be slower: its
# files are created and removed by each connection that is the only one.
with database, database.atomic():
    database.create_tables([User, Dog])
    for model, values in ((User, users), (Dog, dogs)):
        for chunk in chunked(values, 1000):
            model.insert_many(chunk).execute()
