"""Create the tables in an empty database and fill them: `python seed.py rows.json`."""

import json
import os
import sys
from datetime import datetime
from pathlib import Path

import django
from django.core.management import call_command

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from dogs.models import Dog, User  # noqa: E402 - needs django.setup()

rows = json.loads(Path(sys.argv[1]).read_text())
call_command("migrate", verbosity=0)
for user in rows["users"]:
    User.objects.create_user(**user)
Dog.objects.bulk_create(
    (
        Dog(
            name=dog["name"],
            owner=dog["owner"],
            breed=dog["breed"],
            created_at=datetime.fromisoformat(dog["created_at"]),
            user_id=dog["user"],
        )
        for dog in rows["dogs"]
    ),
    batch_size=1000,
)
