"""Transactions that PostgreSQL undoes to keep them in order: done again, they have one result, or none."""

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

State = dict[str, Any]
Deed = Callable[[FlaskClient, str], Any]

NEW_PASSWORD = "battery staple"
# A sequence counts what a rollback takes back, too.
FUNCTION = """
CREATE SEQUENCE failures;
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('failures') <= {times} THEN
        RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
"""
AT_STATEMENT = "CREATE TRIGGER fails BEFORE INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION fail()"
AT_COMMIT = (
    "CREATE CONSTRAINT TRIGGER fails AFTER INSERT OR UPDATE OR DELETE ON {table}"
    " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail()"
)
WHEN = pytest.mark.parametrize("trigger", [AT_STATEMENT, AT_COMMIT], ids=["at a statement", "at commit"])
# Ways to bring about an end: what a client does who is logged in as Anna and has a dog with this URL.
BEGINNING: State = {"users": ["Anna"], "sessions": ["Anna", "Anna"], "dogs": [("Rex", 1)]}


def form_of_cleo() -> dict[str, Any]:
    return {"username": "Cleo", "email": "cleo@example.com", "password": PASSWORD, "file": photo()}


DEEDS: dict[str, tuple[Deed, int, State]] = {
    "register with a photo": (
        lambda anna, _: anna.post("/user/register", data=form_of_cleo()),
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


def fail(trigger: str, times: int) -> None:
    """Let the next writes fail so many times, on all tables together."""
    database.execute_sql(FUNCTION.format(times=times))
    for table in ("users", "sessions", "dogs"):
        database.execute_sql(trigger.format(table=table))


def failures() -> int:
    """How often a write came to a trigger."""
    return database.execute_sql("SELECT last_value FROM failures").fetchone()[0]


def state() -> State:
    return {
        "users": sorted(user.username for user in User.select()),
        "sessions": sorted(session.user.username for session in Session.select(Session, User).join(User)),
        "dogs": sorted((dog.name, dog.version) for dog in Dog.select()),
    }


@pytest.fixture
def dog(app: Flask, anna: FlaskClient) -> str:
    """The URL of a dog of Anna, who is also logged in by another client."""
    answer = app.test_client().post("/user/login", json={"username": "Anna", "password": PASSWORD})
    assert answer.status_code == 200
    return f"/api/v1/dogs/{add_dog(anna)['id']}"


def key_of(client: FlaskClient) -> str:
    with client.session_transaction() as session:
        return session["_user_id"]


@WHEN
@pytest.mark.parametrize("name", DEEDS)
def test_what_fails_twice_has_one_answer_and_one_result(
    app: Flask, anna: FlaskClient, dog: str, uploads: Callable[[], set[str]], trigger: str, name: str
) -> None:
    deed, status, changes = DEEDS[name]
    key = key_of(anna)
    fail(trigger, times=2)

    answer = deed(anna, dog)

    assert answer.status_code == status, answer.json
    assert failures() > 2, "nothing has failed"
    assert state() == BEGINNING | changes
    assert uploads() == set(User.all_picture_files())
    ended = {"register with a photo", "log in", "log out", "delete the account"}
    assert (Session.find_active(key) is None) == (name in ended)
    logged_out = name in ("log out", "delete the account")
    assert anna.get("/user/profile").status_code == (401 if logged_out else 200)
    if name == "change the password":
        for password, expected in ((PASSWORD, 401), (NEW_PASSWORD, 200)):
            login = app.test_client().post("/user/login", json={"username": "Anna", "password": password})
            assert login.status_code == expected


@pytest.mark.parametrize(
    ("name", "trigger"),
    [
        ("register with a photo", AT_COMMIT),
        ("change the name", AT_COMMIT),
        ("change the password", AT_STATEMENT),
        ("add a dog", AT_STATEMENT),
        ("log in", AT_COMMIT),
    ],
)
def test_what_fails_for_ever_is_503_and_changes_nothing(
    anna: FlaskClient, dog: str, uploads: Callable[[], set[str]], trigger: str, name: str
) -> None:
    files = uploads()
    fail(trigger, times=1_000_000)

    answer = DEEDS[name][0](anna, dog)

    assert api_error(answer) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert state() == BEGINNING
    assert uploads() == files == set(User.all_picture_files())
    assert anna.get("/user/profile").json["data"]["username"] == "Anna"


@pytest.fixture
def serializable(settings: dict[str, Any], make_app: Callable[..., Flask]) -> Flask:
    """The application on a database that undoes all that could not have come one after the other."""
    options = "?options=-c%20default_transaction_isolation%3Dserializable"
    app = make_app(DATABASE_URL=settings["DATABASE_URL"] + options, RATELIMIT_ENABLED=False)
    assert database.execute_sql("SHOW transaction_isolation").fetchone() == ("serializable",)
    assert database.execute_sql("SHOW statement_timeout").fetchone() == ("10s",)
    return app


def test_serializable_changes_of_one_dog_all_succeed(serializable: Flask) -> None:
    anna = register(serializable, "Anna")
    dog = add_dog(anna)
    headers = {"Authorization": f"Bearer {key_of(anna)}"}

    def change() -> list[int]:
        client = serializable.test_client()
        path = f"/api/v1/dogs/{dog['id']}"
        return [client.patch(path, json={"name": f"Dog {n}"}, headers=headers).status_code for n in range(10)]

    statuses = Counter(status for each in run_concurrently(serializable, *[change] * 6) for status in each)

    assert set(statuses) <= {200, 503}, statuses
    assert Dog.get().version == 1 + statuses[200]
    assert statuses[200] >= 50, statuses


def test_serializable_registrations_all_succeed(serializable: Flask, uploads: Callable[[], set[str]]) -> None:
    statuses = run_concurrently(
        serializable, *[lambda n=n: register(serializable, f"User{n}") and 201 for n in range(20)]
    )

    assert statuses == [201] * 20
    assert User.select().count() == Session.select().count() == 20
    assert uploads() == set(User.all_picture_files())


def test_of_serializable_registrations_of_one_name_one_wins(
    serializable: Flask, uploads: Callable[[], set[str]]
) -> None:
    def claim(number: int) -> int:
        body = {"username": "Anna", "email": f"anna{number}@example.com", "password": PASSWORD}
        return serializable.test_client().post("/user/register", json=body).status_code

    statuses = Counter(run_concurrently(serializable, *[lambda n=n: claim(n) for n in range(20)]))

    assert statuses == {201: 1, 409: 19}
    assert User.select().count() == Session.select().count() == 1
    assert uploads() == set(User.all_picture_files())
