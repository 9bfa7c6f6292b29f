"""Retries of transactions that PostgreSQL aborts with a serialization failure: applied exactly once, or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from models import Dog, Session, User, database

from .engines import POSTGRESQL_ONLY
from .factories import PASSWORD, add_dog, api_error, photo, register, run_concurrently

pytestmark = POSTGRESQL_ONLY

DatabaseState = dict[str, Any]
Operation = Callable[[FlaskClient, str], Any]

NEW_PASSWORD = "battery staple"
# A sequence is not rolled back, so it counts the failed attempts too.
FAILING_TRIGGER = """
CREATE SEQUENCE failures;
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('failures') <= {times} THEN
        RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
"""
STATEMENT_TRIGGER = (
    "CREATE TRIGGER fails BEFORE INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION fail()"
)
COMMIT_TRIGGER = (
    "CREATE CONSTRAINT TRIGGER fails AFTER INSERT OR UPDATE OR DELETE ON {table}"
    " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail()"
)
BOTH_TRIGGERS = pytest.mark.parametrize(
    "trigger", [STATEMENT_TRIGGER, COMMIT_TRIGGER], ids=["at a statement", "at commit"]
)
INITIAL_STATE: DatabaseState = {"users": ["Anna"], "sessions": ["Anna", "Anna"], "dogs": [("Rex", 1)]}


def registration_form() -> dict[str, Any]:
    return {"username": "Cleo", "email": "cleo@example.com", "password": PASSWORD, "file": photo()}


# Operations of Anna's client on the URL of her dog, with the expected status and change of state.
OPERATIONS: dict[str, tuple[Operation, int, DatabaseState]] = {
    "register with a photo": (
        lambda anna, _: anna.post("/user/register", data=registration_form()),
        201,
        {"users": ["Anna", "Cleo"], "sessions": ["Anna", "Cleo"]},
    ),
    "log in": (
        lambda anna, _: anna.post("/user/login", json={"username": "Anna", "password": PASSWORD, "remember": True}),
        200,
        {},
    ),
    "log out": (lambda anna, _: anna.post("/user/logout"), 200, {"sessions": ["Anna"]}),
    "add a dog": (
        lambda anna, _: anna.post("/api/v1/dogs", json={"name": "Max", "breed": "Pug"}),
        201,
        {"dogs": [("Max", 1), ("Rex", 1)]},
    ),
    "change a dog": (lambda anna, dog: anna.patch(dog, json={"name": "Max"}), 200, {"dogs": [("Max", 2)]}),
    "delete a dog": (lambda anna, dog: anna.delete(dog), 200, {"dogs": []}),
    "change the password": (
        lambda anna, _: anna.put(
            "/user/password", json={"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        ),
        200,
        {"sessions": ["Anna"]},
    ),
    "change the name": (lambda anna, _: anna.patch("/user/profile", json={"username": "Bea"}), 200,
                        {"users": ["Bea"], "sessions": ["Bea", "Bea"]}),
    "change the picture": (lambda anna, _: anna.put("/user/picture", data={"file": photo()}), 200, {}),
    "delete the account": (
        lambda anna, _: anna.delete("/user/profile", json={"current_password": PASSWORD}),
        200,
        {"users": [], "sessions": [], "dogs": []},
    ),
}  # fmt: skip


def install_failing_triggers(trigger: str, times: int) -> None:
    """Make the next writes fail this many times, counted over all tables."""
    database.execute_sql(FAILING_TRIGGER.format(times=times))
    for table in ("users", "sessions", "dogs"):
        database.execute_sql(trigger.format(table=table))


def count_trigger_calls() -> int:
    """Return how many writes have fired a trigger."""
    return database.execute_sql("SELECT last_value FROM failures").fetchone()[0]


def read_state() -> DatabaseState:
    return {
        "users": sorted(user.username for user in User.select()),
        "sessions": sorted(session.user.username for session in Session.select(Session, User).join(User)),
        "dogs": sorted((dog.name, dog.version) for dog in Dog.select()),
    }


@pytest.fixture
def dog(app: Flask, anna: FlaskClient) -> str:
    """The URL of a dog of Anna, who has a second session."""
    response = app.test_client().post("/user/login", json={"username": "Anna", "password": PASSWORD})
    assert response.status_code == 200
    return f"/api/v1/dogs/{add_dog(anna)['id']}"


def get_session_key(client: FlaskClient) -> str:
    with client.session_transaction() as session:
        return session["_user_id"]


@BOTH_TRIGGERS
@pytest.mark.parametrize("name", OPERATIONS)
def test_transaction_failing_twice_is_applied_once(
    app: Flask, anna: FlaskClient, dog: str, uploads: Callable[[], set[str]], trigger: str, name: str
) -> None:
    operation, status, changes = OPERATIONS[name]
    key = get_session_key(anna)
    install_failing_triggers(trigger, times=2)

    response = operation(anna, dog)

    assert response.status_code == status, response.json
    assert count_trigger_calls() > 2, "no write has failed"
    assert read_state() == INITIAL_STATE | changes
    assert uploads() == set(User.all_picture_files())
    rotated = {"register with a photo", "log in", "log out", "change the password", "delete the account"}
    assert (Session.find_active(key) is None) == (name in rotated)
    logged_out = name in ("log out", "delete the account")
    assert anna.get("/user/profile").status_code == (401 if logged_out else 200)
    if name == "change the password":
        for password, expected in ((PASSWORD, 401), (NEW_PASSWORD, 200)):
            login = app.test_client().post("/user/login", json={"username": "Anna", "password": password})
            assert login.status_code == expected


@pytest.mark.parametrize(
    ("name", "trigger"),
    [
        ("register with a photo", COMMIT_TRIGGER),
        ("change the name", COMMIT_TRIGGER),
        ("change the password", STATEMENT_TRIGGER),
        ("add a dog", STATEMENT_TRIGGER),
        ("log in", COMMIT_TRIGGER),
    ],
)
def test_transaction_always_failing_returns_503(
    anna: FlaskClient, dog: str, uploads: Callable[[], set[str]], trigger: str, name: str
) -> None:
    files = uploads()
    install_failing_triggers(trigger, times=1_000_000)

    response = OPERATIONS[name][0](anna, dog)

    assert api_error(response) == (503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0
    assert read_state() == INITIAL_STATE
    assert uploads() == files == set(User.all_picture_files())
    assert anna.get("/user/profile").json["data"]["username"] == "Anna"


@pytest.fixture
def serializable(settings: dict[str, Any], make_app: Callable[..., Flask]) -> Flask:
    """The application with serializable isolation."""
    options = "?options=-c%20default_transaction_isolation%3Dserializable"
    app = make_app(DATABASE_URL=settings["DATABASE_URL"] + options, RATELIMIT_ENABLED=False)
    assert database.execute_sql("SHOW transaction_isolation").fetchone() == ("serializable",)
    assert database.execute_sql("SHOW statement_timeout").fetchone() == ("10s",)
    return app


def test_serializable_updates_of_one_dog_succeed(serializable: Flask) -> None:
    anna = register(serializable, "Anna")
    dog = add_dog(anna)
    headers = {"Authorization": f"Bearer {get_session_key(anna)}"}

    def change() -> list[int]:
        client = serializable.test_client()
        path = f"/api/v1/dogs/{dog['id']}"
        return [client.patch(path, json={"name": f"Dog {n}"}, headers=headers).status_code for n in range(10)]

    statuses = Counter(
        status for statuses_of_client in run_concurrently(serializable, *[change] * 6) for status in statuses_of_client
    )

    assert set(statuses) <= {200, 503}, statuses
    assert Dog.get().version == 1 + statuses[200]
    assert statuses[200] >= 50, statuses


def test_serializable_registrations_succeed(serializable: Flask, uploads: Callable[[], set[str]]) -> None:
    statuses = run_concurrently(
        serializable, *[lambda n=n: register(serializable, f"User{n}") and 201 for n in range(20)]
    )

    assert statuses == [201] * 20
    assert User.select().count() == Session.select().count() == 20
    assert uploads() == set(User.all_picture_files())


def test_serializable_duplicate_registration_returns_409(serializable: Flask, uploads: Callable[[], set[str]]) -> None:
    def claim(number: int) -> int:
        body = {"username": "Anna", "email": f"anna{number}@example.com", "password": PASSWORD}
        return serializable.test_client().post("/user/register", json=body).status_code

    statuses = Counter(run_concurrently(serializable, *[lambda n=n: claim(n) for n in range(20)]))

    assert statuses == {201: 1, 409: 19}
    assert User.select().count() == Session.select().count() == 1
    assert uploads() == set(User.all_picture_files())
