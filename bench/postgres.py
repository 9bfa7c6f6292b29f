"""The PostgreSQL server of the bench: the system's, where it can index parts of texts, else that of the tests."""

from __future__ import annotations

from pathlib import Path

from tests.postgres import UNPRIVILEGED, Cluster, can_run, find_postgres, user_exists

# Where Debian and Ubuntu have PostgreSQL, with its extensions.
PROGRAMS, SHARED = Path("/usr/lib/postgresql"), Path("/usr/share/postgresql")


def programs() -> Path:
    """The folder of PostgreSQL's programs: the newest that has trigrams, which the tests' own has not."""
    for folder in sorted(PROGRAMS.glob("*/bin"), key=lambda folder: int(folder.parent.name), reverse=True):
        has_trigrams = (SHARED / folder.parent.name / "extension" / "pg_trgm.control").exists()
        if has_trigrams and any(can_run(folder / "initdb", user) for user in UNPRIVILEGED if user_exists(user)):
            return folder
    return find_postgres()[0]


class Postgres(Cluster):
    """A server of these programs, with a folder of its own. Starts on entry; stops on exit, and its folder goes."""

    def run(self, program: str, *arguments: str) -> None:
        """Run one of its programs, instead of those that the tests would take."""
        self.programs = programs()
        super().run(program, *arguments)
