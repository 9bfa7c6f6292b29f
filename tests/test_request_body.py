"""What a request carries: every body and query gets an answer that says what is wrong with it, and never a 500."""

from __future__ import annotations

import io
import itertools
import json
import random
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from marshmallow import ValidationError, fields

from api.routes import ROUTES
from schemas.fields import StrictInteger

from .engines import BOTH_ENGINES
from .factories import PASSWORD, add_dog, api_error, example_path, multipart_form, photo, register
from .live_server import Server

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=limit"
KIB = 1024
MIB = KIB * KIB

LOGIN = {"username": "Anna", "password": PASSWORD}
ACCOUNT = {"username": "Carl", "email": "carl@example.com", "password": PASSWORD}

VERBS = [
    (method, example_path(path), getattr(resource, method.lower()).body_schema)
    for resource, path in ROUTES
    for method in sorted(resource.methods)
    if hasattr(getattr(resource, method.lower()), "body_schema")
]
EVERY_VERB = pytest.mark.parametrize(
    ("method", "path", "schema"), VERBS, ids=[f"{verb[0]} {verb[1]}" for verb in VERBS]
)


@pytest.fixture
def logged_in(make_app: Callable[..., Flask]) -> FlaskClient:
    """A client that Anna is logged in by, who has a dog and may guess passwords as often as she likes."""
    client = register(make_app(RATELIMIT_ENABLED=False), "Anna")
    add_dog(client)
    return client


# What is not JSON

NOT_JSON = {
    "nothing": b"",
    "blanks": b" \t\r\n",
    "a word": b"name",
    "a NUL byte": b"\x00",
    "an open object": b'{"username": "Anna"',
    "a comma too many": b'{"username": "Anna",}',
    "single quotes": b"{'username': 'Anna'}",
    "an open text": b'{"username": "Anna}',
    "two objects": b"{}{}",
    "a comment": b"{} // nothing",
    "a line break in a text": b'{"username": "An\nna"}',
    "a bad escape": rb'{"username": "\x41"}',
    "half an escape": rb'{"username": "\ud8"}',
    "Latin-1": '{"username": "Jörg"}'.encode("latin-1"),
    "UTF-16": '{"username": "Anna"}'.encode("utf-16"),
    "a surrogate in UTF-8": b'{"username": "\xed\xa0\x80"}',
    "a BOM": b'\xef\xbb\xbf{"username": "Anna"}',
    "NaN": b'{"username": NaN}',
    "Infinity": b'{"username": Infinity}',
    "NaN beside half a surrogate pair": rb'{"username": "\ud800", "email": NaN}',
    "minus Infinity": b'[{"username": -Infinity}]',
    "a number with a leading zero": b'{"username": 01}',
    "open brackets": b"[" * 60_000,
    "open objects": b'{"username":' * 5_000,
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_a_body_that_is_not_json_is_400(client: FlaskClient, body: bytes) -> None:
    for content_type in (JSON, f"{JSON}; charset=utf-16", "application/vnd.kennel+json"):
        answer = client.post("/user/login", data=body, content_type=content_type)

        assert api_error(answer) == (400, "bad-request")


@BOTH_ENGINES
@pytest.mark.parametrize(
    "value", ["1e400", "-1e999", "9" * 5_000, "[" * 1_000 + "]" * 1_000, "[" * 20_000 + "]" * 20_000]
)
def test_a_number_or_a_nesting_past_all_bounds_is_refused(client: FlaskClient, value: str) -> None:
    bodies = (value, f'{{"username": {value}}}', f'{{"surprise": {value}, "username": "\\ud800"}}')
    for body in bodies:
        answer = client.post("/user/login", data=body, content_type=JSON)

        assert api_error(answer) in {(400, "bad-request"), (422, "validation")}


def test_a_hundred_thousand_brackets_are_too_large(client: FlaskClient) -> None:
    assert api_error(client.post("/user/login", data=b"[" * 100_000, content_type=JSON)) == (413, "too-large")


@pytest.mark.parametrize(
    "body", ["[]", "[{}]", '"text"', "1", "1.5", "true", "null", r'"\ud800"', r'[{"a": "\ud800"}]']
)
def test_json_that_is_not_an_object_is_422(client: FlaskClient, body: str) -> None:
    answer = client.post("/user/login", data=body, content_type=JSON)

    assert api_error(answer) == (422, "validation")
    assert "object" in answer.json["status"]["message"]


# Half surrogate pairs, which JSON can spell but no text can hold


@BOTH_ENGINES
@pytest.mark.parametrize("half", [r"\ud800", r"\udfff", r"Anna\ud83d", r"\ude00\ud83d", r"\uD83Dx\uDE00"])
@pytest.mark.parametrize(
    "value", ['"{}"', '["{}"]', '[1, {{"deep": ["{}"]}}]', '{{"{}": 1}}', '{{"a": {{"b": "{}"}}}}']
)
def test_half_a_surrogate_pair_is_422_and_names_the_field(client: FlaskClient, value: str, half: str) -> None:
    body = f'{{"username": {value.format(half)}, "email": "anna@example.com", "password": "{PASSWORD}"}}'

    for path in ("/user/register", "/user/login"):
        answer = client.post(path, data=body, content_type=JSON)

        assert api_error(answer) == (422, "validation")
        assert set(answer.json["error"]["fields"]) == {"username"}


def test_half_a_surrogate_pair_in_a_name_is_422_in_an_answer_that_can_be_read(client: FlaskClient) -> None:
    body = rb'{"a\ud800": 1, "username": "\udc00", "password": 1}'

    answer = client.post("/user/login", data=body, content_type=JSON)

    assert api_error(answer) == (422, "validation")
    fields = answer.json["error"]["fields"]
    assert len(fields) == 3
    assert {"username", "password"} < set(fields)


@pytest.mark.parametrize("broken", ['"username": "\\ud800"', '"username": 1', '"username": null'])
def test_who_sends_a_broken_name_is_not_told_that_an_email_is_missing(client: FlaskClient, broken: str) -> None:
    answer = client.post("/user/login", data=f'{{{broken}, "password": "{PASSWORD}"}}', content_type=JSON)

    assert api_error(answer) == (422, "validation")
    assert set(answer.json["error"]["fields"]) == {"username"}


@EVERY_VERB
def test_half_a_surrogate_pair_in_any_field_is_422(logged_in: FlaskClient, method: str, path: str, schema: Any) -> None:
    for field in schema.fields:
        body = json.dumps({field: "\ud800"})
        answer = logged_in.open(path, method=method, data=body, content_type=JSON)

        assert api_error(answer) == (422, "validation")
        assert field in answer.json["error"]["fields"]


def test_a_whole_surrogate_pair_is_a_character_and_an_escaped_backslash_none(anna: FlaskClient) -> None:
    body = rb'{"name": "\ud83d\udc36", "breed": "\\ud800", "owner": "' + "🐶".encode() + b'"}'

    answer = anna.post("/api/v1/dogs", data=body, content_type=JSON)

    assert answer.status_code == 201
    assert [answer.json["data"][name] for name in ("name", "breed", "owner")] == ["🐶", r"\ud800", "🐶"]


# Types of bodies


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "text/html", "application/xml", "image/png", "application/octet-stream", "json", "multipart/mixed"],
)
def test_a_body_of_another_type_is_415(client: FlaskClient, content_type: str) -> None:
    answer = client.post("/user/login", data=json.dumps(LOGIN), content_type=content_type)

    assert api_error(answer) == (415, "unsupported-media-type")


def test_a_body_without_a_type_is_415_and_no_body_is_400(client: FlaskClient) -> None:
    assert api_error(client.post("/user/login", data=json.dumps(LOGIN))) == (415, "unsupported-media-type")
    assert api_error(client.post("/user/login")) == (400, "bad-request")


@pytest.mark.parametrize("body", [json.dumps(LOGIN), json.dumps(LOGIN, indent=2), f"\n {json.dumps(LOGIN)}", "{broken"])
def test_json_that_is_said_to_be_a_form_is_415_and_the_answer_says_so(client: FlaskClient, body: str) -> None:
    # What curl does with --data, unless it is told the type.
    answer = client.post("/user/login", data=body, content_type=FORM)

    assert api_error(answer) == (415, "unsupported-media-type")
    assert "application/json" in answer.json["status"]["message"]


def test_a_form_is_taken_where_json_is(app: Flask, anna: FlaskClient) -> None:
    for content in ({"data": LOGIN}, multipart_form(*((name, None, text.encode()) for name, text in LOGIN.items()))):
        assert app.test_client().post("/user/login", **content).status_code == 200


# How large a body may be. To the byte, with its length told and, through the real server, in chunks

EDGES = [(64 * KIB, False), (64 * KIB + 1, True)]


def filled(content_type: str, size: int) -> bytes:
    """A body of this type and of exactly this many bytes."""
    if content_type == JSON:
        start = json.dumps({"username": "Nobody", "password": "wrong"}).encode()
        return start + b" " * (size - len(start))
    if content_type == FORM:
        return b"surprise=" + b"x" * (size - len(b"surprise="))
    empty = len(multipart_form(("surprise", None, b""))["data"])
    return multipart_form(("surprise", None, b"x" * (size - empty)))["data"]


def with_file(file: int, size: int) -> bytes:
    """A multipart form of exactly `size` bytes, with a file of `file` bytes that is no picture."""
    parts = [("username", None, b"Carl"), ("file", "photo.jpg", b"\n" * file)]
    empty = len(multipart_form(*parts, ("surprise", None, b""))["data"])
    return multipart_form(*parts, ("surprise", None, b"x" * (size - empty)))["data"]


@pytest.fixture(scope="module")
def running(system: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The real server, for all of these tests: they store nothing."""
    with Server(tmp_path_factory.mktemp("body") / "server", RATELIMIT_ENABLED="false") as server:
        yield server


def chunks(body: bytes) -> Iterator[bytes]:
    """The body in pieces, which makes `requests` send it in chunks and without its length."""
    yield from (body[start : start + 50_000] for start in range(0, len(body), 50_000))


@pytest.mark.parametrize(("size", "is_refused"), EDGES)
@pytest.mark.parametrize("content_type", [JSON, FORM, MULTIPART])
def test_a_body_may_have_64_kib_and_not_a_byte_more(
    running: Server, client: FlaskClient, content_type: str, size: int, is_refused: bool
) -> None:
    body = filled(content_type, size)
    assert len(body) == size
    headers = {"Content-Type": content_type}

    answers = [
        client.post("/user/login", data=body, headers=headers),
        client.post(
            "/user/login",
            input_stream=io.BytesIO(body),
            headers={**headers, "Transfer-Encoding": "chunked"},
            environ_overrides={"wsgi.input_terminated": True},
        ),
        requests.post(f"{running.url}/user/login", data=body, headers=headers, timeout=60),
        requests.post(f"{running.url}/user/login", data=chunks(body), headers=headers, timeout=60),
    ]

    taken = (401, "unauthorized") if content_type == JSON else (422, "validation")
    expected = (413, "too-large") if is_refused else taken
    assert [api_error(answer) for answer in answers] == [expected] * 4


@pytest.mark.parametrize(
    ("file", "size", "is_refused"),
    [
        (10 * MIB, 10 * MIB + KIB, False),
        (10 * MIB, 10 * MIB + 64 * KIB, False),
        (10 * MIB, 10 * MIB + 64 * KIB + 1, True),
        (10 * MIB + 1, 10 * MIB + KIB, True),
    ],
)
def test_a_form_with_a_file_may_have_10_mib_and_64_kib_and_the_file_10_mib(
    running: Server, client: FlaskClient, file: int, size: int, is_refused: bool
) -> None:
    body = with_file(file, size)
    assert len(body) == size
    url, headers = f"{running.url}/user/register", {"Content-Type": MULTIPART}

    answers = [
        client.post("/user/register", data=body, headers=headers),
        requests.post(url, data=body, headers=headers, timeout=60),
        requests.post(url, data=chunks(body), headers=headers, timeout=60),
    ]

    expected = (413, "too-large") if is_refused else (422, "validation")
    assert [api_error(answer) for answer in answers] == [expected] * 3


@pytest.mark.parametrize("content", [b"\n", b"\r\n--lim", b"\xff\xd8\r\n\r\n", random.Random(0).randbytes(997)])
@pytest.mark.parametrize("size", [64 * KIB - 1, 64 * KIB, 70_000, MIB])
def test_a_file_is_read_whole_whatever_is_in_it(client: FlaskClient, size: int, content: bytes) -> None:
    file = (content * (size // len(content) + 1))[:size]

    answer = client.post("/user/register", **multipart_form(("file", "photo.jpg", file)))

    assert api_error(answer) == (422, "validation")
    assert set(answer.json["error"]["fields"]) == {"username", "email", "password", "file"}


def test_only_a_form_for_a_file_may_be_large(anna: FlaskClient) -> None:
    large = multipart_form(("file", "photo.jpg", b"\n" * (64 * KIB)))

    assert api_error(anna.post("/api/v1/dogs", **large)) == (413, "too-large")
    assert api_error(anna.put("/user/picture", data=b"x" * 65537, content_type=FORM)) == (413, "too-large")
    assert api_error(anna.put("/user/picture", data=b" " * 65537, content_type=JSON)) == (413, "too-large")


def test_a_form_that_could_have_a_file_and_has_none_may_not_be_large(client: FlaskClient) -> None:
    texts = [(name, None, b"x" * 40_000) for name in ("username", "surprise")]
    for content in (
        multipart_form(*texts),
        multipart_form(*texts, ("file", "", b"")),
        {"data": filled(MULTIPART, 64 * KIB + 1), "content_type": MULTIPART},
    ):
        assert api_error(client.post("/user/register", **content)) == (413, "too-large")


def test_a_form_that_is_refused_half_way_leaves_no_file_open(client: FlaskClient) -> None:
    parts = [(f"surprise{number}", None, b"") for number in range(2000)]

    answer = client.post("/user/register", **multipart_form(("file", "photo.jpg", b"x" * MIB), *parts))

    # A file left open would be a warning, which is an error here.
    assert api_error(answer) == (413, "too-large")


@pytest.mark.parametrize("length", ["", "many", "-1", "1e3", "5", "65536", "9" * 30])
def test_a_body_whose_length_is_a_lie_is_refused(client: FlaskClient, length: str) -> None:
    answer = client.post(
        "/user/login",
        input_stream=io.BytesIO(json.dumps(LOGIN).encode()),
        content_type=JSON,
        environ_overrides={"CONTENT_LENGTH": length},
    )

    assert api_error(answer) in {(400, "bad-request"), (413, "too-large")}


# Once is enough


@pytest.mark.parametrize("content_type", [FORM, MULTIPART])
def test_a_form_field_that_comes_twice_is_422_and_named(client: FlaskClient, content_type: str) -> None:
    pairs = [("username", "Anna"), ("username", "Anna"), ("email", "anna@example.com"), ("password", PASSWORD)]
    multipart = multipart_form(*((name, None, text.encode()) for name, text in pairs))["data"]

    answer = client.post(
        "/user/login", data=urlencode(pairs) if content_type == FORM else multipart, content_type=content_type
    )

    assert api_error(answer) == (422, "validation")
    assert set(answer.json["error"]["fields"]) == {"username"}


def test_a_file_and_a_text_of_one_name_are_422(client: FlaskClient) -> None:
    answer = client.post("/user/register", **multipart_form(("file", None, b"text"), ("file", "a.png", b"file")))

    assert api_error(answer) == (422, "validation")
    assert "file" in answer.json["error"]["fields"]


def test_a_query_parameter_that_comes_twice_is_422_and_named(client: FlaskClient) -> None:
    answer = client.get("/api/v1/dogs?limit=1&q=a&limit=1")

    assert api_error(answer) == (422, "validation")
    assert set(answer.json["error"]["fields"]) == {"limit"}


# NUL bytes


@BOTH_ENGINES
@EVERY_VERB
def test_a_nul_byte_in_a_text_is_422_and_named(logged_in: FlaskClient, method: str, path: str, schema: Any) -> None:
    texts = [name for name in schema.fields if "password" not in name]
    for field in texts:
        content: dict[str, Any]
        for content in ({"json": {field: "An\x00na"}}, {"data": {field: "An\x00na"}}):
            answer = logged_in.open(path, method=method, **content)

            assert api_error(answer) == (422, "validation")
            assert field in answer.json["error"]["fields"]


@BOTH_ENGINES
def test_a_nul_byte_in_a_password_counts_like_any_character(app: Flask) -> None:
    register(app, "Carl", password="swordfish\x00one")

    def login(password: str) -> int:
        return app.test_client().post("/user/login", json={"username": "Carl", "password": password}).status_code

    assert login("swordfish\x00one") == 200
    assert login("swordfish\x00two") == 401
    assert login("swordfish") == 401


@BOTH_ENGINES
@pytest.mark.parametrize("name", ["name", "owner", "breed", "q", "cursor", "sort", "limit", "mine", "user_id"])
@pytest.mark.parametrize("value", ["\x00", "a\x00b", "1\x00"])
def test_a_nul_byte_in_a_query_is_422_and_named(client: FlaskClient, name: str, value: str) -> None:
    answer = client.get("/api/v1/dogs", query_string={name: value})

    assert api_error(answer) == (422, "validation")
    assert set(answer.json["error"]["fields"]) == {name}


@BOTH_ENGINES
@pytest.mark.parametrize(
    "path", ["/profile_pics/%00", "/errors/%00", "/user/%00", "/api/v1/dogs/1%00", "/user/login%00"]
)
def test_a_nul_byte_in_a_path_is_404(anna: FlaskClient, path: str) -> None:
    add_dog(anna)

    assert api_error(anna.get(path)) == (404, "not-found")


# Wrong types

NO_TEXTS = [None, True, False, 0, -1, 2**64, 10**40, 1.5, [], ["Anna"], {}, {"text": "Anna"}, [[[[]]]]]


@EVERY_VERB
def test_what_is_not_a_text_is_422_and_named(logged_in: FlaskClient, method: str, path: str, schema: Any) -> None:
    others = (fields.Boolean, fields.Integer)
    texts = [name for name, field in schema.fields.items() if not isinstance(field, others)]
    for field, value in itertools.product(texts, NO_TEXTS):
        answer = logged_in.open(path, method=method, json={field: value})

        assert api_error(answer) == (422, "validation"), value
        assert field in answer.json["error"]["fields"]


@pytest.mark.parametrize("value", [None, [], {}, True, 30.5, 30.0, "30.7", "3e1", " 30", "٣"])
def test_what_is_no_whole_number_is_refused_and_never_rounded(value: Any) -> None:
    with pytest.raises(ValidationError):
        StrictInteger().deserialize(value)


@pytest.mark.parametrize("value", [None, [], {}, [True], 2, 1e308, "", "maybe", "\x00"])
def test_remember_that_is_not_a_boolean_is_422_and_named(client: FlaskClient, value: Any) -> None:
    answer = client.post("/user/login", json={**LOGIN, "remember": value})

    assert api_error(answer) == (422, "validation")
    assert set(answer.json["error"]["fields"]) == {"remember"}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("limit", ["", "0", "101", "-1", "1.5", "one", "1e1", "٣", "9" * 30, "9" * 5000, " 1", "0x1", "true"]),
        ("user_id", ["", "one", "1.5", "1e1", "٣", " 1", "true", "9" * 5000]),
        ("sort", ["", "ID", "password_hash", "id;", "--id", "id,name", "9"]),
        ("cursor", ["", "x", "WzEsMV0", "a.b", "a.b.c", "é", "x" * 5000]),
        ("mine", ["", "maybe", "2", "null"]),
        ("name", ["x" * 81, "a\nb", "a\u2028b"]),
        ("q", ["x" * 81, "a\nb", "\x7f"]),
    ],
)
def test_a_query_parameter_that_is_wrong_is_422_and_named(anna: FlaskClient, name: str, values: list[str]) -> None:
    for value in values:
        answer = anna.get("/api/v1/dogs", query_string={name: value})

        assert api_error(answer) == (422, "validation"), value
        assert set(answer.json["error"]["fields"]) == {name}


# Anything at all

ODD_TEXTS = [
    *(
        "",
        " ",
        "\x00",
        "\u202eanna",
        "\u2028",
        "é" * 90,
        "x" * 300,
        "🐶",
        "a\u0300",
        "ﬁ",
        "İ",
        "ß",
        "\ufeff",
        "\ufdfa" * 39,
    ),
    *("a@b", "a@b.c", "@", "anna@exämple.com", f"{'a' * 300}@example.com", "anna@[127.0.0.1]", '"a b"@example.com'),
    *("' OR 1=1 --", "%s %(x)s {0}", "../../etc/passwd", "<b>", "null", "NaN", "-1", "1e400", "long enough"),
]


def anything(chance: random.Random, depth: int = 0) -> Any:
    """Any value that JSON can hold."""
    kind = chance.randrange(8)
    if kind < 2 and depth < 4:
        return [anything(chance, depth + 1) for _ in range(chance.randrange(4))]
    if kind < 4 and depth < 4:
        return {chance.choice(ODD_TEXTS): anything(chance, depth + 1) for _ in range(chance.randrange(4))}
    if kind == 4:
        return chance.choice([None, True, False, 0, -1, 2**31, 2**63, 2**64, 10**40, 0.1, -1e308])
    return chance.choice(ODD_TEXTS)


@BOTH_ENGINES
@EVERY_VERB
def test_any_json_object_gets_an_answer(logged_in: FlaskClient, method: str, path: str, schema: Any) -> None:
    chance = random.Random(f"{method} {path}")
    names = [*schema.fields, *schema.fields, *ODD_TEXTS[:20], "id", "__class__"]
    for _ in range(100):
        body = {name: anything(chance) for name in chance.sample(names, 4)}
        answer = logged_in.open(path, method=method, json=body)

        assert answer.status_code < 500, body
        assert answer.status_code < 300 or api_error(answer)[0] in {401, 403, 404, 409, 422}, body


@BOTH_ENGINES
@EVERY_VERB
def test_any_form_gets_an_answer(logged_in: FlaskClient, method: str, path: str, schema: Any) -> None:
    chance = random.Random(f"{method} {path}")
    for _ in range(30):
        fields = {name: chance.choice(ODD_TEXTS) for name in chance.choices([*schema.fields, *ODD_TEXTS[5:9]], k=3)}
        parts = [
            (name.replace("\x00", ""), chance.choice([None, "", "a.png", "🐶", "../x"]), text.encode())
            for name, text in fields.items()
        ]
        for content in ({"data": fields}, multipart_form(*parts)):
            answer = logged_in.open(path, method=method, **content)

            assert answer.status_code < 500, content
            assert answer.status_code < 300 or api_error(answer)[0] in {401, 403, 404, 409, 422}, content


@BOTH_ENGINES
def test_any_query_gets_an_answer(logged_in: FlaskClient) -> None:
    chance = random.Random(0)
    names = ["limit", "cursor", "sort", "name", "owner", "breed", "q", "mine", "user_id"]
    cursor = logged_in.get("/api/v1/dogs?limit=1").json["page"]["next"] or "x"
    for _ in range(300):
        query = {name: chance.choice([*ODD_TEXTS, cursor, "1", "true", "-id"]) for name in chance.sample(names, 2)}
        answer = logged_in.get("/api/v1/dogs", query_string=query)

        assert answer.status_code == 200 or api_error(answer) == (422, "validation"), query


@BOTH_ENGINES
@pytest.mark.parametrize(
    "query", ["%ff=%fe", "q=%ff", "%00", "&&=&", "q=%", "limit=%zz", "q=%ed%a0%80", "=1", "q" * 5000]
)
def test_a_query_that_is_encoded_oddly_gets_an_answer(client: FlaskClient, query: str) -> None:
    answer = client.get(f"/api/v1/dogs?{query}")

    assert answer.status_code == 200 or api_error(answer) == (422, "validation")


# Multipart forms that are odd

PART = b'--limit\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
WHOLE = b"".join(PART % (name.encode(), text.encode()) for name, text in ACCOUNT.items())

UNREADABLE = {
    "no boundary": ("multipart/form-data", WHOLE + b"--limit--\r\n"),
    "an empty boundary": ("multipart/form-data; boundary=", WHOLE + b"--limit--\r\n"),
    "a boundary that is no ASCII": ("multipart/form-data; boundary=grüße", WHOLE + b"--limit--\r\n"),
    "another boundary": ("multipart/form-data; boundary=other", WHOLE + b"--limit--\r\n"),
    "no end": (MULTIPART, WHOLE),
    "half an end": (MULTIPART, WHOLE + b"--lim"),
    "cut within a part": (MULTIPART, WHOLE[:-6]),
    "cut within a header": (MULTIPART, WHOLE + b"--limit\r\nContent-Disp"),
    "nothing": (MULTIPART, b""),
    "JSON": (MULTIPART, json.dumps(ACCOUNT).encode()),
    "a part without a header": (MULTIPART, WHOLE + b"--limit\r\n\r\ntext\r\n--limit--\r\n"),
}


@pytest.mark.parametrize(("content_type", "body"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_multipart_form_that_cannot_be_read_is_400_and_nothing_is_stored(
    client: FlaskClient, content_type: str, body: bytes
) -> None:
    # As a stream: of no data at all, the test client would make a form.
    headers = {"Content-Type": content_type, "Content-Length": str(len(body))}
    answer = client.post("/user/register", input_stream=io.BytesIO(body), headers=headers)

    assert api_error(answer) == (400, "bad-request")
    assert client.get("/user/1").status_code == 404


ODD_PARTS = {
    "no name": b"Content-Disposition: form-data",
    "an empty name": b'Content-Disposition: form-data; name=""',
    "a file without a name": b'Content-Disposition: form-data; filename="x"',
    "no disposition we know": b'Content-Disposition: attachment; name="surprise"',
    "a name that is not UTF-8": b'Content-Disposition: form-data; name="\xff\xfe"',
    "a file name that is not UTF-8": b"Content-Disposition: form-data; name=file; filename*=utf-9''%ff",
    "an unknown charset": b'Content-Disposition: form-data; name="surprise"\r\nContent-Type: text/plain; charset=nope',
    "a part in base64": b'Content-Disposition: form-data; name="surprise"\r\nContent-Transfer-Encoding: base64',
    "a long header": b'Content-Disposition: form-data; name="surprise"\r\nX-Long: ' + b"x" * 60_000,
    "a header with a NUL byte": b'Content-Disposition: form-data; name="surprise"\r\n\x00: \x00',
}


@pytest.mark.parametrize("header", ODD_PARTS.values(), ids=ODD_PARTS)
def test_a_part_that_is_odd_is_refused_and_nothing_is_stored(client: FlaskClient, header: bytes) -> None:
    body = WHOLE + b"--limit\r\n" + header + b"\r\n\r\ntext\r\n--limit--\r\n"

    answer = client.post("/user/register", data=body, content_type=MULTIPART)

    assert api_error(answer) in {(400, "bad-request"), (422, "validation")}
    assert client.get("/user/1").status_code == 404


@pytest.mark.parametrize("same_name", [True, False])
def test_two_thousand_parts_are_refused(client: FlaskClient, same_name: bool) -> None:
    parts = b"".join(PART % (b"x" if same_name else b"%d" % number, b"") for number in range(2000))

    answer = client.post("/user/register", data=parts + b"--limit--\r\n", content_type=MULTIPART)

    assert api_error(answer) == (413, "too-large")


def test_ten_thousand_form_fields_are_refused(client: FlaskClient) -> None:
    body = "&".join(f"{number}=" for number in range(10_000))

    assert api_error(client.post("/user/register", data=body, content_type=FORM)) == (422, "validation")


def test_a_boundary_in_quotes_and_text_around_the_parts_are_fine(client: FlaskClient) -> None:
    answer = client.post(
        "/user/register",
        data=b"preamble\r\n" + WHOLE + b"--limit--\r\nepilogue",
        content_type='multipart/form-data; boundary="limit"',
    )

    assert answer.status_code == 201


def test_a_real_photograph_and_texts_in_any_order_are_fine(client: FlaskClient) -> None:
    picture = photo()[0].read()
    texts = [(name, None, text.encode()) for name, text in ACCOUNT.items()]

    answer = client.post("/user/register", **multipart_form(texts[0], ("file", "🐶 me.JPG", picture), *texts[1:]))

    assert answer.status_code == 201
    assert answer.json["data"]["picture"]["is_default"] is False


def test_a_query_that_is_not_utf_8_is_400(client: FlaskClient) -> None:
    answer = client.get("/api/v1/dogs", environ_overrides={"QUERY_STRING": "q=\xe9"})

    assert api_error(answer) == (400, "bad-request")


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/user/logout"), ("DELETE", "/user/picture"), ("DELETE", "/api/v1/dogs/1")]
)
def test_a_large_body_is_413_also_where_none_is_read(logged_in: FlaskClient, method: str, path: str) -> None:
    assert api_error(logged_in.open(path, method=method, data=b"x" * (64 * KIB + 1))) == (413, "too-large")
    assert logged_in.open(path, method=method, data=b"x" * 64 * KIB).status_code == 200


@pytest.mark.parametrize("size", [7 * KIB, 700 * KIB])
def test_a_picture_that_is_no_form_is_415_whatever_its_size(logged_in: FlaskClient, size: int) -> None:
    answer = logged_in.put("/user/picture", data=b"x" * size, content_type="image/jpeg")

    assert api_error(answer) == (415, "unsupported-media-type")
