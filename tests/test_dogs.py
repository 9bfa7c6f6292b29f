"""Dogs: CRUD, validation, ownership, conditional requests (ETag, If-Match), filters and search."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from .engines import BOTH_ENGINES
from .factories import PASSWORD, add_dog, api_error, bearer_headers, register, run_concurrently

pytestmark = BOTH_ENGINES

DOGS = "/api/v1/dogs"
DOG = {"name": "Max", "breed": "Beagle"}
WRITES = ("PUT", "PATCH", "DELETE")


def url_of(dog: dict[str, Any]) -> str:
    return f"{DOGS}/{dog['id']}"


def etag_of(client: FlaskClient, dog: dict[str, Any]) -> str:
    return client.get(url_of(dog)).headers["ETag"]


def write(client: FlaskClient, verb: str, path: str, **options: Any) -> TestResponse:
    """Send a valid write request. A DELETE has no body."""
    body = {} if verb == "DELETE" else {"json": DOG}
    return client.open(path, method=verb, **body, **options)


def find_names(client: FlaskClient, **query: Any) -> list[str]:
    """Return the names of the matching dogs."""
    response = client.get(DOGS, query_string=query)
    assert response.status_code == 200, response.json
    return [dog["name"] for dog in response.json["data"]]


# --- CRUD and validation ---


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"json": DOG}, id="json"),
        pytest.param({"data": DOG}, id="form"),
        pytest.param({"data": DOG, "content_type": "multipart/form-data"}, id="multipart"),
    ],
)
def test_post_returns_201_with_dog_and_location(anna: FlaskClient, content: dict[str, Any]) -> None:
    me = anna.get("/user/profile").json["data"]

    response = anna.post(DOGS, **content)

    dog = response.json["data"]
    assert response.json == {"data": dog, "status": {"code": 201, "message": "Success"}}
    assert dog == {
        "id": dog["id"],
        "name": "Max",
        "owner": "Anna",
        "breed": "Beagle",
        "created_at": dog["created_at"],
        "user_id": me["id"],
    }
    assert type(dog["id"]) is int
    assert anna.get(response.headers["Location"]).json["data"] == dog
    assert response.headers["ETag"] == etag_of(anna, dog)


def test_created_at_is_utc_and_survives_updates(anna: FlaskClient) -> None:
    before = datetime.now(UTC)
    dog = add_dog(anna)
    after = datetime.now(UTC)

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", dog["created_at"])
    assert before <= datetime.fromisoformat(dog["created_at"]) <= after
    assert anna.put(url_of(dog), json=DOG).json["data"]["created_at"] == dog["created_at"]


@pytest.mark.parametrize("encoding", ["json", "data"])
@pytest.mark.parametrize(
    ("verb", "fields", "expected"),
    [
        ("PUT", DOG, {"name": "Max", "breed": "Beagle", "owner": "Anna"}),
        ("PUT", {**DOG, "owner": "Carl"}, {"name": "Max", "breed": "Beagle", "owner": "Carl"}),
        ("PATCH", {"name": "Max"}, {"name": "Max", "breed": "Poodle", "owner": "Olga"}),
        ("PATCH", {"breed": "Beagle"}, {"name": "Rex", "breed": "Beagle", "owner": "Olga"}),
        ("PATCH", {"owner": "Carl"}, {"name": "Rex", "breed": "Poodle", "owner": "Carl"}),
    ],
)
def test_put_replaces_and_patch_merges_fields(
    anna: FlaskClient, encoding: str, verb: str, fields: dict[str, str], expected: dict[str, str]
) -> None:
    dog = add_dog(anna, owner="Olga")

    response = anna.open(url_of(dog), method=verb, **{encoding: fields})

    assert response.status_code == 200
    assert response.json["data"] == {**dog, **expected}
    assert anna.get(url_of(dog)).json["data"] == {**dog, **expected}
    assert response.headers["ETag"] == etag_of(anna, dog)


def test_empty_patch_returns_200_and_changes_nothing(anna: FlaskClient) -> None:
    dog = add_dog(anna)

    response = anna.patch(url_of(dog), json={})

    assert (response.status_code, response.json["data"]) == (200, dog)


def test_owner_defaults_to_current_username(anna: FlaskClient) -> None:
    dog = add_dog(anna)
    anna.patch("/user/profile", json={"username": "Änne"})

    assert add_dog(anna)["owner"] == "Änne"
    assert anna.get(url_of(dog)).json["data"]["owner"] == "Anna"
    assert anna.put(url_of(dog), json=DOG).json["data"]["owner"] == "Änne"


def test_delete_returns_the_dog_then_404(anna: FlaskClient) -> None:
    dog, other = add_dog(anna), add_dog(anna, name="Max")

    response = anna.delete(url_of(dog))

    assert response.json == {"data": dog, "status": {"code": 200, "message": "Success"}}
    assert api_error(anna.get(url_of(dog))) == (404, "not-found")
    assert api_error(anna.delete(url_of(dog))) == (404, "not-found")
    assert anna.get(DOGS).json["data"] == [other]


def test_bearer_token_writes_as_its_user(app: Flask, client: FlaskClient, anna: FlaskClient) -> None:
    dog = client.post(DOGS, json=DOG, headers=bearer_headers("Anna")).json["data"]

    assert dog["owner"] == "Anna"
    assert write(client, "DELETE", url_of(dog), headers=bearer_headers("Anna")).status_code == 200


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("R", "R"),
        ("x" * 80, "x" * 80),
        ("\U0001f415" * 80, "\U0001f415" * 80),
        (" \t" + "x" * 80 + "\u3000\n", "x" * 80),
        ("Rex  von  der Au", "Rex  von  der Au"),
        ("كلب صغير", "كلب صغير"),
        ("👨‍👩‍👧", "👨‍👩‍👧"),
        ("Ｒｅｘ ﬁn", "Ｒｅｘ ﬁn"),
        ("<b>Rex</b> & 'Co' -- \\ %00", "<b>Rex</b> & 'Co' -- \\ %00"),
    ],
    ids=ascii,
)
def test_text_of_1_to_80_characters_is_trimmed_and_stored(anna: FlaskClient, text: str, stored: str) -> None:
    texts = dict.fromkeys(("name", "owner", "breed"), text)

    for dog in (add_dog(anna, **texts), anna.patch(url_of(add_dog(anna)), json=texts).json["data"]):
        assert anna.get(url_of(dog)).json["data"] == {**dog, **dict.fromkeys(texts, stored)}


CONTROLS = "\n\r\t\x00\x1b\x7f\x85\u2028\u2029"
NOT_STRINGS = [None, 5, True, ["Rex"], {"Rex": 1}]


@pytest.mark.parametrize(
    "bad", ["", " \t\n", "x" * 81, *(f"a{control}b" for control in CONTROLS), *NOT_STRINGS], ids=ascii
)
def test_invalid_text_returns_422_for_every_field(anna: FlaskClient, bad: Any) -> None:
    dog = add_dog(anna)
    texts = dict.fromkeys(("name", "owner", "breed"), bad)

    for response in (
        anna.post(DOGS, json=texts),
        anna.put(url_of(dog), json=texts),
        anna.patch(url_of(dog), json=texts),
    ):
        assert api_error(response) == (422, "validation")
        assert set(response.json["error"]["fields"]) == {"name", "owner", "breed"}
    assert anna.get(DOGS).json["data"] == [dog]


@pytest.mark.parametrize(("verb", "missing"), [("POST", {"name", "breed"}), ("PUT", {"name", "breed"})])
def test_missing_required_field_returns_422(anna: FlaskClient, verb: str, missing: set[str]) -> None:
    path = DOGS if verb == "POST" else url_of(add_dog(anna))

    response = anna.open(path, method=verb, json={"owner": "Olga"})

    assert api_error(response) == (422, "validation")
    assert set(response.json["error"]["fields"]) == missing


@pytest.mark.parametrize("unknown", ["id", "user_id", "user", "created_at", "version", "name_key", "Name"])
def test_read_only_or_unknown_field_returns_422(anna: FlaskClient, unknown: str) -> None:
    dog = add_dog(anna)

    for response in (
        anna.post(DOGS, json={**DOG, unknown: 7}),
        anna.put(url_of(dog), json={**DOG, unknown: 7}),
        anna.patch(url_of(dog), data={unknown: "7"}),
    ):
        assert api_error(response) == (422, "validation")
        assert set(response.json["error"]["fields"]) == {unknown}
    assert anna.get(DOGS).json["data"] == [dog]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"data": "", "content_type": "application/json"}, 400),
        ({"data": '{"name": ', "content_type": "application/json"}, 400),
        ({"data": "[1]", "content_type": "application/json"}, 422),
        ({"data": '{"name": "Max", "breed": "Beagle"}', "content_type": "text/plain"}, 415),
        ({"data": {"name": ["Max", "Rex"], "breed": "Beagle"}}, 422),
    ],
    ids=["empty", "broken", "array", "text", "repeated"],
)
def test_unsupported_body_returns_4xx(anna: FlaskClient, content: dict[str, Any], status: int) -> None:
    dog = add_dog(anna)

    for response in (
        anna.post(DOGS, **content),
        anna.put(url_of(dog), **content),
        anna.patch(url_of(dog), **content),
    ):
        assert api_error(response)[0] == status
    assert anna.get(DOGS).json["data"] == [dog]


# --- Ownership and conditional requests ---


@pytest.mark.parametrize("verb", WRITES)
def test_write_by_other_user_returns_403_before_412(anna: FlaskClient, bob: FlaskClient, verb: str) -> None:
    dog = add_dog(anna, owner="Bob")

    for headers in ({}, {"If-Match": "*"}, {"If-Match": '"stale"'}, {"If-Match": etag_of(bob, dog)}):
        assert api_error(write(bob, verb, url_of(dog), headers=headers)) == (403, "forbidden")
    assert anna.get(url_of(dog)).json["data"] == dog


@pytest.mark.parametrize(
    "header", ["{new}", "*", '"other", {new}', '{new},"other"', "W/{new}, {new}", ' ,, "x" , {new}']
)
def test_matching_if_match_allows_write(anna: FlaskClient, header: str) -> None:
    dog = add_dog(anna)

    for verb in WRITES:
        response = write(anna, verb, url_of(dog), headers={"If-Match": header.format(new=etag_of(anna, dog))})
        assert response.status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "{old}",
        'W/{old}, "other"',
        '"other"',
        '"*"',  # an entity tag that is a star, not the wildcard
        '"other", *',
        "",
        '"',
        '""',
        ",",
        "'{new}'",
    ],
)
def test_stale_if_match_returns_412(anna: FlaskClient, header: str) -> None:
    dog = add_dog(anna)
    old = etag_of(anna, dog)
    dog = anna.patch(url_of(dog), json={"name": "Rexi"}).json["data"]
    new = etag_of(anna, dog)

    for verb in WRITES:
        response = write(anna, verb, url_of(dog), headers={"If-Match": header.format(old=old, new=new)})
        assert api_error(response) == (412, "precondition-failed")
    assert anna.get(url_of(dog)).json["data"] == dog
    assert etag_of(anna, dog) == new


@pytest.mark.parametrize("header", ["W/{new}", 'W/{new}, "other", {old}', '"other", {new}', "*"])
def test_if_match_accepts_weak_tags_and_lists(anna: FlaskClient, header: str) -> None:
    # A proxy that compresses responses makes a weak tag of a strong one.
    dog = add_dog(anna)
    headers = {"If-Match": header.format(old='"old"', new=etag_of(anna, dog))}

    assert anna.patch(url_of(dog), json={"name": "Rexi"}, headers=headers).status_code == 200


@pytest.mark.parametrize("header", ["*", "{new}", "W/{new}"])
def test_if_none_match_of_what_is_there_returns_412_on_writes(anna: FlaskClient, header: str) -> None:
    dog = add_dog(anna)
    headers = {"If-None-Match": header.format(new=etag_of(anna, dog))}

    for verb in WRITES:
        assert api_error(write(anna, verb, url_of(dog), headers=headers)) == (412, "precondition-failed")
    assert anna.get(url_of(dog)).json["data"] == dog


def test_every_change_produces_new_etag(anna: FlaskClient) -> None:
    dog = add_dog(anna)
    etags = [etag_of(anna, dog)]

    for verb in ("PUT", "PATCH", "PUT"):
        etags.append(write(anna, verb, url_of(dog)).headers["ETag"])

    assert len(set(etags)) == len(etags)
    assert all(re.fullmatch(r'"[!#-~]+"', etag) for etag in etags)


@pytest.mark.parametrize("header", ["{etag}", "W/{etag}", "*", '"other", {etag}', 'W/"other",W/{etag}'])
def test_matching_if_none_match_returns_304(anna: FlaskClient, client: FlaskClient, header: str) -> None:
    dog = add_dog(anna)
    etag = etag_of(anna, dog)

    for send in (client.get, client.head):
        response = send(url_of(dog), headers={"If-None-Match": header.format(etag=etag)})
        assert (response.status_code, response.data) == (304, b"")
        assert response.headers["ETag"] == etag


@pytest.mark.parametrize("header", ["{old}", "W/{old}", '"*"', '"other"', "", '"', "W/*"])
def test_stale_if_none_match_returns_200(anna: FlaskClient, header: str) -> None:
    dog = add_dog(anna)
    old = etag_of(anna, dog)
    changed = anna.patch(url_of(dog), json={"name": "Rexi"})

    response = anna.get(url_of(dog), headers={"If-None-Match": header.format(old=old)})

    assert (response.status_code, response.json["data"]) == (200, changed.json["data"])
    assert response.headers["ETag"] == changed.headers["ETag"]


def test_head_returns_headers_of_get_without_body(anna: FlaskClient, client: FlaskClient) -> None:
    path = url_of(add_dog(anna))
    headers = ("Content-Type", "Content-Length", "ETag", "Vary")

    get, head = client.get(path), client.head(path)

    assert (head.status_code, head.data) == (200, b"")
    assert [head.headers[name] for name in headers] == [get.headers[name] for name in headers]


def test_concurrent_conditional_patches_let_one_succeed(app: Flask, anna: FlaskClient) -> None:
    headers = bearer_headers("Anna")
    for _ in range(5):
        dog = add_dog(anna)
        conditional = {**headers, "If-Match": etag_of(anna, dog)}
        names = [f"Rex {number}" for number in range(6)]
        patches = [
            partial(app.test_client().patch, url_of(dog), json={"name": name}, headers=conditional) for name in names
        ]

        responses = run_concurrently(app, *patches)

        assert sorted(response.status_code for response in responses) == [200, *[412] * 5]
        winner = next(response for response in responses if response.status_code == 200)
        assert anna.get(url_of(dog)).json["data"] == winner.json["data"]


def test_concurrent_patches_lose_no_update(app: Flask, anna: FlaskClient) -> None:
    headers, dog = bearer_headers("Anna"), add_dog(anna)
    changes = [{"name": "Max"}, {"owner": "Carl"}, {"breed": "Beagle"}, {}]

    responses = run_concurrently(
        app, *(partial(app.test_client().patch, url_of(dog), json=change, headers=headers) for change in changes)
    )

    assert [response.status_code for response in responses] == [200] * 4
    # An empty change creates no new version.
    assert len({response.headers["ETag"] for response in responses[:3]}) == 3
    assert anna.get(url_of(dog)).json["data"] == {**dog, **DOG, "owner": "Carl"}


def test_concurrent_deletes_let_one_succeed(app: Flask, anna: FlaskClient) -> None:
    headers, dog = bearer_headers("Anna"), add_dog(anna)

    responses = run_concurrently(app, *[partial(app.test_client().delete, url_of(dog), headers=headers)] * 5)

    assert sorted(response.status_code for response in responses) == [200, *[404] * 4]


# --- URLs and ids ---


# Anna's only dog has the id 1, which several of these would match under lenient integer parsing.
MALFORMED_IDS = ["0", "2", "-1", "+1", "1.0", "1e0", "0x1", "1_0", "1 ", " 1", "1;", "one", "１", "١", "1²", "%001"]
LARGE_IDS = [str(2**63 - 1), str(2**63), str(2**64 + 1), "1" * 40, "0" * 5000 + "2"]


@pytest.mark.parametrize("dog_id", [*MALFORMED_IDS, *LARGE_IDS], ids=lambda text: ascii(text)[:30])
def test_unknown_or_malformed_id_returns_404(anna: FlaskClient, dog_id: str) -> None:
    dog = add_dog(anna)
    assert dog["id"] == 1
    path = f"{DOGS}/{dog_id}"

    responses = {verb: write(anna, verb, path, headers={"If-Match": "*"}) for verb in WRITES}
    responses["GET"] = anna.get(path)

    assert {verb: api_error(response) for verb, response in responses.items()} == dict.fromkeys(
        responses, (404, "not-found")
    )
    assert anna.head(path).status_code == 404
    assert anna.get(DOGS).json["data"] == [dog]


@pytest.mark.parametrize("slash", ["", "/"], ids=["bare", "slash"])
def test_trailing_slash_is_optional_for_every_verb(anna: FlaskClient, slash: str) -> None:
    posted = anna.post(DOGS + slash, json=DOG)
    path = url_of(posted.json["data"]) + slash

    assert posted.status_code == 201
    assert posted.headers["Location"] == f"http://localhost:8000{url_of(posted.json['data'])}"
    for response in (
        *(anna.open(DOGS + slash, method=verb) for verb in ("GET", "HEAD", "OPTIONS")),
        *(anna.open(path, method=verb) for verb in ("GET", "HEAD", "OPTIONS")),
        *(write(anna, verb, path) for verb in WRITES),
    ):
        assert response.status_code == 200
        assert "Location" not in response.headers


def test_id_of_deleted_dog_is_not_reused(anna: FlaskClient) -> None:
    dog = add_dog(anna)
    old = etag_of(anna, dog)
    anna.delete(url_of(dog))

    new = add_dog(anna)

    assert new["id"] > dog["id"]
    assert api_error(anna.delete(url_of(dog), headers={"If-Match": old})) == (404, "not-found")
    assert api_error(anna.delete(url_of(new), headers={"If-Match": old})) == (412, "precondition-failed")


def test_ids_of_deleted_accounts_dogs_are_not_reused(anna: FlaskClient, bob: FlaskClient) -> None:
    dog = add_dog(anna)
    assert anna.delete("/user/profile", json={"current_password": PASSWORD}).status_code == 200

    assert api_error(bob.get(url_of(dog))) == (404, "not-found")
    assert add_dog(bob)["id"] > dog["id"]


# --- Filters and search ---


# Pairs that differ only in case.
SPELLINGS = [
    ("Rex", "rEX"),
    ("Müller", "MÜLLER"),
    ("Straße", "STRASSE"),
    ("Ёлка", "ёЛКА"),
    ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
    ("Ջուլիա", "ՋՈՒԼԻԱ"),
    ("Ꭰ", "ꭰ"),
    ("\U00010400", "\U00010428"),
    ("ǆ", "ǅ"),
    ("ﬁdo", "FIDO"),
    ("İnci", "i̇nci"),
    ("Ⅷ", "ⅷ"),
    ("ΐ", "Ϊ́"),
    ("ᾳ", "ΑΙ"),
    ("ᾷ", "ᾼ͂"),
]


@pytest.mark.parametrize(("stored", "query"), SPELLINGS, ids=ascii)
def test_filters_ignore_case_in_every_script(anna: FlaskClient, stored: str, query: str) -> None:
    fields = {"name": stored, "owner": stored, "breed": stored}
    add_dog(anna, **fields)
    add_dog(anna, name="other")

    for value in (stored, query, unicodedata.normalize("NFD", query), f"  {query} "):
        for field in fields:
            assert find_names(anna, **{field: value}) == [stored], (field, ascii(value))
        assert find_names(anna, q=value) == [stored], ascii(value)


@pytest.mark.parametrize("value", ["Re", "ex", "Rexx", "Réx", "R_x", "%", "Rex' OR 1=1 --"])
def test_filter_matches_only_equal_text(anna: FlaskClient, value: str) -> None:
    add_dog(anna, name="Rex", owner="Rex", breed="Rex")

    assert [find_names(anna, **{field: value}) for field in ("name", "owner", "breed")] == [[], [], []]


def test_filters_combine_with_and(anna: FlaskClient) -> None:
    add_dog(anna, name="Rex", breed="Poodle", owner="Olga")
    add_dog(anna, name="Rex", breed="Beagle", owner="Olga")
    add_dog(anna, name="Max", breed="Beagle", owner="Olga")

    assert find_names(anna, name="rex", breed="beagle") == ["Rex"]
    assert find_names(anna, name="max", breed="poodle") == []
    assert find_names(anna, q="olg", breed="beagle") == ["Rex", "Max"]


@pytest.mark.parametrize("part", ["Ülpinar", "ÜLP", "lpi", "NAR"])
def test_q_matches_substring_of_any_field_ignoring_case(anna: FlaskClient, part: str) -> None:
    expected = [add_dog(anna, **{field: "Ülpinar"}) for field in ("name", "owner", "breed")]
    add_dog(anna, name="Ulf", owner="Pia", breed="Dackel")

    assert anna.get(DOGS, query_string={"q": part}).json["data"] == expected


@pytest.mark.parametrize(
    ("q", "names"),
    [
        ("%", ["100%", "50%_off"]),
        ("_", ["a_b", "50%_off"]),
        ("\\", ["a\\b"]),
        ("%_", ["50%_off"]),
        ("a%b", []),
        ("\\%", []),
        ("\\\\", []),
        ("'", ["O'Hara"]),
        ("*", ["a*b"]),
        ("a?b", []),
        ("[ab]", []),
        ("%" * 80, []),
    ],
)
def test_q_escapes_like_wildcards(anna: FlaskClient, q: str, names: list[str]) -> None:
    for name in ("100%", "a_b", "a\\b", "acb", "50%_off", "O'Hara", "a*b"):
        add_dog(anna, name=name)

    assert find_names(anna, q=q) == names


def test_mine_returns_dogs_of_current_user(anna: FlaskClient, bob: FlaskClient) -> None:
    add_dog(anna, name="Annas")
    add_dog(bob, name="Bobs", owner="Anna")

    assert find_names(anna, mine="true") == ["Annas"]
    assert find_names(bob, mine="true") == ["Bobs"]
    assert find_names(bob, mine="false") == ["Annas", "Bobs"]
    assert find_names(bob, mine="true", name="Annas") == []


def test_anonymous_mine_returns_401(client: FlaskClient) -> None:
    assert api_error(client.get(DOGS, query_string={"mine": "true"})) == (401, "unauthorized")


def test_user_id_returns_dogs_created_by_account(anna: FlaskClient, bob: FlaskClient) -> None:
    annas, bobs = add_dog(anna, name="Annas"), add_dog(bob, name="Bobs")

    assert find_names(bob, user_id=annas["user_id"]) == ["Annas"]
    assert find_names(anna, user_id=bobs["user_id"]) == ["Bobs"]
    assert find_names(anna, user_id=bobs["user_id"], mine="true") == []


def test_unknown_user_id_returns_empty_list(anna: FlaskClient) -> None:
    add_dog(anna)

    for user_id in (0, 7, -1, -(2**63) - 1, 2**63 - 1, 2**63, 2**64 + 1, 10**40, "0" * 100 + "7"):
        assert find_names(anna, user_id=user_id) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("user_id", value) for value in ("", "one", "1.5", "1e3", "１", "1 2", "0x1")],
        *[("mine", value) for value in ("", "maybe", "2")],
        *[(name, "x" * 81) for name in ("name", "owner", "breed", "q")],
    ],
)
def test_invalid_query_parameter_returns_422(client: FlaskClient, name: str, value: str) -> None:
    response = client.get(DOGS, query_string={name: value})

    assert api_error(response) == (422, "validation")
    assert set(response.json["error"]["fields"]) == {name}


@pytest.mark.parametrize(
    ("verb", "is_item"), [("GET", False), ("POST", False), ("GET", True), *((verb, True) for verb in WRITES)]
)
def test_unknown_query_parameters_return_422(anna: FlaskClient, verb: str, is_item: bool) -> None:
    dog = add_dog(anna)
    body = {} if verb in ("GET", "DELETE") else {"json": DOG}

    response = anna.open(f"{url_of(dog) if is_item else DOGS}?page=2&Name=x", method=verb, **body)

    assert api_error(response) == (422, "validation")
    assert set(response.json["error"]["fields"]) == {"page", "Name"}
    assert anna.get(DOGS).json["data"] == [dog]


def test_errors_are_the_same_without_testing_mode(make_app: Callable[..., Flask]) -> None:
    app = make_app(TESTING=False, BCRYPT_LOG_ROUNDS=10)
    anna, bob = register(app, "Anna"), register(app, "Bob")
    dog = add_dog(anna)

    assert api_error(write(bob, "PUT", url_of(dog), headers={"If-Match": '"x"'})) == (403, "forbidden")
    assert api_error(write(anna, "PUT", url_of(dog), headers={"If-Match": '"x"'})) == (412, "precondition-failed")
    assert api_error(anna.put(url_of(dog), json={})) == (422, "validation")
    assert api_error(anna.get(f"{DOGS}/{2**63}")) == (404, "not-found")
    assert anna.delete(url_of(dog)).json["data"] == dog


def test_empty_patch_keeps_etag(anna: FlaskClient) -> None:
    path = url_of(add_dog(anna))
    before = anna.get(path)

    response = anna.patch(path, json={}, headers={"If-Match": before.headers["ETag"]})

    assert (response.status_code, response.json["data"]) == (200, before.json["data"])
    assert response.headers["ETag"] == anna.get(path).headers["ETag"] == before.headers["ETag"]
