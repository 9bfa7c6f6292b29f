"""Create the tables in an empty database and fill them: `python seed.py rows.json`."""

import json
import sys
from datetime import datetime
from pathlib import Path

from sqlmodel import Session, SQLModel, insert

from database import engine
from models import Dog, User
from security import password_hash

rows = json.loads(Path(sys.argv[1]).read_text())
if engine.dialect.name == "sqlite":
    with engine.connect() as connection:
        # This is stored in the file.
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
SQLModel.metadata.create_all(engine)
with Session(engine) as session:
    for user in rows["users"]:
        session.add(
            User(
                username=user["username"],
                email=user["email"],
                image=user["image"],
                hashed_password=password_hash.hash(user["password"]),
            )
        )
        session.flush()  # ids in this order
    dogs = [
        {
            "name": dog["name"],
            "owner": dog["owner"],
            "breed": dog["breed"],
            "created_at": datetime.fromisoformat(dog["created_at"]),
            "user_id": dog["user"],
        }
        for dog in rows["dogs"]
    ]
    session.connection().execute(insert(Dog), dogs)
    session.commit()
