"""The database engines that a test runs on: SQLite, unless one of these marks the test, its class or its module.

Mark what depends on the engine: SQL, constraints, races, transactions, search, outages, migrations. A test with one of
these marks that uses the fixture `engine`, as `app` and `make_server` do, runs once per engine.
"""

from __future__ import annotations

import pytest

BOTH_ENGINES = pytest.mark.engines("sqlite", "postgresql")
SQLITE_ONLY = pytest.mark.engines("sqlite")
POSTGRESQL_ONLY = pytest.mark.engines("postgresql")


def parametrize_engine(metafunc: pytest.Metafunc) -> None:
    """Run the test once for each engine of the closest mark, if it uses one."""
    marker = metafunc.definition.get_closest_marker("engines")
    if marker and "engine" in metafunc.fixturenames:
        marks = {"sqlite": (), "postgresql": pytest.mark.postgresql}
        engines = [pytest.param(name, marks=marks[name]) for name in marker.args]
        metafunc.parametrize("engine", engines, indirect=True)
