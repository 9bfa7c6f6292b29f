"""Request bodies and query strings: JSON and form parsing, size limits, and 4xx for malformed input, never a 500."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import random
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from marshmallow import Schema, ValidationError, fields

from api.routes import ROUTES
from schemas import DogQuerySchema
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
def anna_unlimited(make_app: Callable[..., Flask]) -> FlaskClient:
    """A client logged in as Anna, who has a dog, without rate limits."""
    client = register(make_app(RATELIMIT_ENABLED=False), "Anna")
    add_dog(client)
    return client


# Invalid JSON
INVALID_JSON = {
    "empty": b"",
    "whitespace": b" \t\r\n",
    "a word": b"name",
    "a NUL byte": b"\x00",
    "an unclosed object": b'{"username": "Anna"',
    "a trailing comma": b'{"username": "Anna",}',
    "single quotes": b"{'username': 'Anna'}",
    "an unclosed string": b'{"username": "Anna}',
    "two objects": b"{}{}",
    "a comment": b"{} // comment",
    "a line break in a string": b'{"username": "An\nna"}',
    "an invalid escape": rb'{"username": "\x41"}',
    "an incomplete escape": rb'{"username": "\ud8"}',
    "Latin-1": '{"username": "Jörg"}'.encode("latin-1"),
    "UTF-16": '{"username": "Anna"}'.encode("utf-16"),
    "a surrogate in UTF-8": b'{"username": "\xed\xa0\x80"}',
    "NaN": b'{"username": NaN}',
    "Infinity": b'{"username": Infinity}',
    "NaN beside an unpaired surrogate": rb'{"username": "\ud800", "email": NaN}',
    "-Infinity": b'[{"username": -Infinity}]',
    "a number with a leading zero": b'{"username": 01}',
    "unclosed brackets": b"[" * 60_000,
    "unclosed nested objects": b'{"username":' * 5_000,
}


@pytest.mark.parametrize("body", INVALID_JSON.values(), ids=INVALID_JSON)
def test_invalid_json_returns_400(client: FlaskClient, body: bytes) -> None:
    for content_type in (JSON, f"{JSON}; charset=utf-16", "application/vnd.kennel+json"):
        response = client.post("/user/login", data=body, content_type=content_type)

        assert api_error(response) == (400, "bad-request")


@BOTH_ENGINES
@pytest.mark.parametrize(
    "value", ["1e400", "-1e999", "9" * 5_000, "[" * 1_000 + "]" * 1_000, "[" * 20_000 + "]" * 20_000]
)
def test_huge_number_or_deep_nesting_is_rejected(client: FlaskClient, value: str) -> None:
    bodies = (value, f'{{"username": {value}}}', f'{{"surprise": {value}, "username": "\\ud800"}}')
    for body in bodies:
        response = client.post("/user/login", data=body, content_type=JSON)

        assert api_error(response) in {(400, "bad-request"), (422, "validation")}


# Combining characters in an order that normalization must change, which takes quadratic time in Python before 3.11.16.
COMBINING = "a" + "\u0301" * 7_000 + "\u0316" * 7_000


@pytest.fixture
def normalized_lengths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of all texts that are normalized from now on."""
    lengths: list[int] = []
    normalize = unicodedata.normalize

    def record_and_normalize(form: Any, text: str) -> str:
        lengths.append(len(text))
        return normalize(form, text)

    monkeypatch.setattr(unicodedata, "normalize", record_and_normalize)
    return lengths


@EVERY_VERB
def test_long_text_is_rejected_before_normalization(
    anna_unlimited: FlaskClient, normalized_lengths: list[int], method: str, path: str, schema: Schema
) -> None:
    for name in schema.fields:
        body = json.dumps({"current_password": PASSWORD, name: COMBINING}, ensure_ascii=False)
        response = anna_unlimited.open(path, method=method, data=body, content_type=JSON)

        assert api_error(response) == (422, "validation")
        assert name in response.json["error"]["fields"]
    assert max(normalized_lengths, default=0) <= 4 * 256


@pytest.mark.parametrize("parameter", DogQuerySchema().fields)
def test_long_parameter_is_rejected_before_normalization(
    client: FlaskClient, normalized_lengths: list[int], parameter: str
) -> None:
    response = client.get("/api/v1/dogs", query_string={parameter: COMBINING})

    assert api_error(response) == (422, "validation")
    assert normalized_lengths == []


def test_100000_brackets_return_413(client: FlaskClient) -> None:
    assert api_error(client.post("/user/login", data=b"[" * 100_000, content_type=JSON)) == (413, "too-large")


@pytest.mark.parametrize(
    "body", ["[]", "[{}]", '"text"', "1", "1.5", "true", "null", r'"\ud800"', r'[{"a": "\ud800"}]']
)
def test_json_that_is_no_object_returns_422(client: FlaskClient, body: str) -> None:
    response = client.post("/user/login", data=body, content_type=JSON)

    assert api_error(response) == (422, "validation")
    assert "object" in response.json["status"]["message"]


# Unpaired surrogates, which JSON can escape but UTF-8 cannot encode


@BOTH_ENGINES
@pytest.mark.parametrize("surrogate", [r"\ud800", r"\udfff", r"Anna\ud83d", r"\ude00\ud83d", r"\uD83Dx\uDE00"])
@pytest.mark.parametrize(
    "value", ['"{}"', '["{}"]', '[1, {{"deep": ["{}"]}}]', '{{"{}": 1}}', '{{"a": {{"b": "{}"}}}}']
)
def test_unpaired_surrogate_returns_422(client: FlaskClient, value: str, surrogate: str) -> None:
    body = f'{{"username": {value.format(surrogate)}, "email": "anna@example.com", "password": "{PASSWORD}"}}'

    for path in ("/user/register", "/user/login"):
        response = client.post(path, data=body, content_type=JSON)

        assert api_error(response) == (422, "validation")
        assert set(response.json["error"]["fields"]) == {"username"}


def test_unpaired_surrogate_in_key_returns_422_in_valid_json(client: FlaskClient) -> None:
    body = rb'{"a\ud800": 1, "username": "\udc00", "password": 1}'

    response = client.post("/user/login", data=body, content_type=JSON)

    assert api_error(response) == (422, "validation")
    fields = response.json["error"]["fields"]
    assert len(fields) == 3
    assert {"username", "password"} < set(fields)


@pytest.mark.parametrize("pair", ['"username": "\\ud800"', '"username": 1', '"username": null'])
def test_invalid_username_does_not_report_missing_email(client: FlaskClient, pair: str) -> None:
    response = client.post("/user/login", data=f'{{{pair}, "password": "{PASSWORD}"}}', content_type=JSON)

    assert api_error(response) == (422, "validation")
    assert set(response.json["error"]["fields"]) == {"username"}


@EVERY_VERB
def test_unpaired_surrogate_in_any_field_returns_422(
    anna_unlimited: FlaskClient, method: str, path: str, schema: Any
) -> None:
    for field in schema.fields:
        body = json.dumps({field: "\ud800"})
        response = anna_unlimited.open(path, method=method, data=body, content_type=JSON)

        assert api_error(response) == (422, "validation")
        assert field in response.json["error"]["fields"]


def test_surrogate_pair_is_decoded_and_escaped_backslash_kept(anna: FlaskClient) -> None:
    body = rb'{"name": "\ud83d\udc36", "breed": "\\ud800", "owner": "' + "🐶".encode() + b'"}'

    response = anna.post("/api/v1/dogs", data=body, content_type=JSON)

    assert response.status_code == 201
    assert [response.json["data"][name] for name in ("name", "breed", "owner")] == ["🐶", r"\ud800", "🐶"]


# Content types


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "text/html", "application/xml", "image/png", "application/octet-stream", "json", "multipart/mixed"],
)
def test_unsupported_content_type_returns_415(client: FlaskClient, content_type: str) -> None:
    response = client.post("/user/login", data=json.dumps(LOGIN), content_type=content_type)

    assert api_error(response) == (415, "unsupported-media-type")


def test_missing_content_type_returns_415_and_empty_body_400(client: FlaskClient) -> None:
    assert api_error(client.post("/user/login", data=json.dumps(LOGIN))) == (415, "unsupported-media-type")
    assert api_error(client.post("/user/login")) == (400, "bad-request")


@pytest.mark.parametrize("body", [json.dumps(LOGIN), json.dumps(LOGIN, indent=2), f"\n {json.dumps(LOGIN)}", "{broken"])
def test_json_with_form_content_type_returns_415_with_hint(client: FlaskClient, body: str) -> None:
    # The default of curl --data.
    response = client.post("/user/login", data=body, content_type=FORM)

    assert api_error(response) == (415, "unsupported-media-type")
    assert "application/json" in response.json["status"]["message"]


def test_forms_are_accepted_like_json(app: Flask, anna: FlaskClient) -> None:
    for content in ({"data": LOGIN}, multipart_form(*((name, None, text.encode()) for name, text in LOGIN.items()))):
        assert app.test_client().post("/user/login", **content).status_code == 200


# Size limits, to the byte, with Content-Length and, through the real server, with chunked encoding

SIZE_LIMITS = [(64 * KIB, False), (64 * KIB + 1, True)]


def padded_body(content_type: str, size: int) -> bytes:
    """Return a body of this content type and exactly this many bytes."""
    if content_type == JSON:
        start = json.dumps({"username": "Unknown", "password": "wrong"}).encode()
        return start + b" " * (size - len(start))
    if content_type == FORM:
        return b"surprise=" + b"x" * (size - len(b"surprise="))
    empty = len(multipart_form(("surprise", None, b""))["data"])
    return multipart_form(("surprise", None, b"x" * (size - empty)))["data"]


def form_with_file(file: int, size: int) -> bytes:
    """Return a multipart form of exactly `size` bytes, with a file of `file` bytes that is not a picture."""
    parts = [("username", None, b"Carl"), ("file", "photo.jpg", b"\n" * file)]
    empty = len(multipart_form(*parts, ("surprise", None, b""))["data"])
    return multipart_form(*parts, ("surprise", None, b"x" * (size - empty)))["data"]


@pytest.fixture(scope="module")
def running_server(system: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server shared by these tests, which store nothing."""
    with Server(tmp_path_factory.mktemp("body") / "server", RATELIMIT_ENABLED="false") as server:
        yield server


def iter_chunks(body: bytes) -> Iterator[bytes]:
    """Yield the body in pieces: for an iterator, `requests` uses chunked encoding without Content-Length."""
    yield from (body[start : start + 50_000] for start in range(0, len(body), 50_000))


@pytest.mark.parametrize(("size", "is_too_large"), SIZE_LIMITS)
@pytest.mark.parametrize("content_type", [JSON, FORM, MULTIPART])
def test_body_over_64_kib_returns_413(
    running_server: Server, client: FlaskClient, content_type: str, size: int, is_too_large: bool
) -> None:
    body = padded_body(content_type, size)
    assert len(body) == size
    headers = {"Content-Type": content_type}

    responses = [
        client.post("/user/login", data=body, headers=headers),
        client.post(
            "/user/login",
            input_stream=io.BytesIO(body),
            headers={**headers, "Transfer-Encoding": "chunked"},
            environ_overrides={"wsgi.input_terminated": True},
        ),
        requests.post(f"{running_server.url}/user/login", data=body, headers=headers, timeout=60),
        requests.post(f"{running_server.url}/user/login", data=iter_chunks(body), headers=headers, timeout=60),
    ]

    accepted = (401, "unauthorized") if content_type == JSON else (422, "validation")
    expected = (413, "too-large") if is_too_large else accepted
    assert [api_error(response) for response in responses] == [expected] * 4


@pytest.mark.parametrize(
    ("file", "size", "is_too_large"),
    [
        (10 * MIB, 10 * MIB + KIB, False),
        (10 * MIB, 10 * MIB + 64 * KIB, False),
        (10 * MIB, 10 * MIB + 64 * KIB + 1, True),
        (10 * MIB + 1, 10 * MIB + KIB, True),
    ],
)
def test_upload_over_10_mib_or_form_overhead_returns_413(
    running_server: Server, client: FlaskClient, file: int, size: int, is_too_large: bool
) -> None:
    body = form_with_file(file, size)
    assert len(body) == size
    url, headers = f"{running_server.url}/user/register", {"Content-Type": MULTIPART}

    responses = [
        client.post("/user/register", data=body, headers=headers),
        requests.post(url, data=body, headers=headers, timeout=60),
        requests.post(url, data=iter_chunks(body), headers=headers, timeout=60),
    ]

    expected = (413, "too-large") if is_too_large else (422, "validation")
    assert [api_error(response) for response in responses] == [expected] * 3


@pytest.mark.parametrize("content", [b"\n", b"\r\n--lim", b"\xff\xd8\r\n\r\n", random.Random(0).randbytes(997)])
@pytest.mark.parametrize("size", [64 * KIB - 1, 64 * KIB, 70_000, MIB])
def test_file_content_does_not_break_multipart_parsing(client: FlaskClient, size: int, content: bytes) -> None:
    file = (content * (size // len(content) + 1))[:size]

    response = client.post("/user/register", **multipart_form(("file", "photo.jpg", file)))

    assert api_error(response) == (422, "validation")
    assert set(response.json["error"]["fields"]) == {"username", "email", "password", "file"}


def test_large_body_without_upload_route_or_form_returns_413(anna: FlaskClient) -> None:
    large = multipart_form(("file", "photo.jpg", b"\n" * (64 * KIB)))

    assert api_error(anna.post("/api/v1/dogs", **large)) == (413, "too-large")
    assert api_error(anna.put("/user/picture", data=b"x" * 65537, content_type=FORM)) == (413, "too-large")
    assert api_error(anna.put("/user/picture", data=b" " * 65537, content_type=JSON)) == (413, "too-large")


def test_large_form_without_file_returns_413(client: FlaskClient) -> None:
    texts = [(name, None, b"x" * 40_000) for name in ("username", "surprise")]
    for content in (
        multipart_form(*texts),
        multipart_form(*texts, ("file", "", b"")),
        {"data": padded_body(MULTIPART, 64 * KIB + 1), "content_type": MULTIPART},
    ):
        assert api_error(client.post("/user/register", **content)) == (413, "too-large")


def test_texts_beside_file_over_64_kib_return_413(client: FlaskClient) -> None:
    texts = [(name, None, b"x" * 33_000) for name in ("username", "surprise")]
    form = multipart_form(("file", "photo.jpg", photo()[0].read()), *texts)

    assert api_error(client.post("/user/register", **form)) == (413, "too-large")


def test_rejected_form_closes_temporary_files(client: FlaskClient) -> None:
    parts = [(f"surprise{number}", None, b"") for number in range(2000)]

    response = client.post("/user/register", **multipart_form(("file", "photo.jpg", b"x" * MIB), *parts))

    # An open file would cause a ResourceWarning, which is an error in tests.
    assert api_error(response) == (413, "too-large")


@pytest.mark.parametrize("length", ["", "many", "-1", "1e3", "5", "65536", "9" * 30])
def test_wrong_content_length_is_rejected(client: FlaskClient, length: str) -> None:
    response = client.post(
        "/user/login",
        input_stream=io.BytesIO(json.dumps(LOGIN).encode()),
        content_type=JSON,
        environ_overrides={"CONTENT_LENGTH": length},
    )

    assert api_error(response) in {(400, "bad-request"), (413, "too-large")}


# Duplicates


@pytest.mark.parametrize("content_type", [FORM, MULTIPART])
def test_duplicate_form_field_returns_422(client: FlaskClient, content_type: str) -> None:
    pairs = [("username", "Anna"), ("username", "Anna"), ("email", "anna@example.com"), ("password", PASSWORD)]
    multipart = multipart_form(*((name, None, text.encode()) for name, text in pairs))["data"]

    response = client.post(
        "/user/login", data=urlencode(pairs) if content_type == FORM else multipart, content_type=content_type
    )

    assert api_error(response) == (422, "validation")
    assert set(response.json["error"]["fields"]) == {"username"}


def test_file_and_text_of_same_name_return_422(client: FlaskClient) -> None:
    response = client.post("/user/register", **multipart_form(("file", None, b"text"), ("file", "a.png", b"file")))

    assert api_error(response) == (422, "validation")
    assert "file" in response.json["error"]["fields"]


def test_duplicate_query_parameter_returns_422(client: FlaskClient) -> None:
    response = client.get("/api/v1/dogs?limit=1&q=a&limit=1")

    assert api_error(response) == (422, "validation")
    assert set(response.json["error"]["fields"]) == {"limit"}


# NUL bytes


@BOTH_ENGINES
@EVERY_VERB
def test_nul_byte_in_text_returns_422(anna_unlimited: FlaskClient, method: str, path: str, schema: Any) -> None:
    texts = [name for name in schema.fields if "password" not in name]
    for field in texts:
        content: dict[str, Any]
        for content in ({"json": {field: "An\x00na"}}, {"data": {field: "An\x00na"}}):
            response = anna_unlimited.open(path, method=method, **content)

            assert api_error(response) == (422, "validation")
            assert field in response.json["error"]["fields"]


@BOTH_ENGINES
def test_nul_byte_in_password_is_significant(app: Flask) -> None:
    register(app, "Carl", password="swordfish\x00one")

    def login(password: str) -> int:
        return app.test_client().post("/user/login", json={"username": "Carl", "password": password}).status_code

    assert login("swordfish\x00one") == 200
    assert login("swordfish\x00two") == 401
    assert login("swordfish") == 401


@BOTH_ENGINES
@pytest.mark.parametrize("name", ["name", "owner", "breed", "q", "cursor", "sort", "limit", "mine", "user_id"])
@pytest.mark.parametrize("value", ["\x00", "a\x00b", "1\x00"])
def test_nul_byte_in_query_returns_422(client: FlaskClient, name: str, value: str) -> None:
    response = client.get("/api/v1/dogs", query_string={name: value})

    assert api_error(response) == (422, "validation")
    assert set(response.json["error"]["fields"]) == {name}


@BOTH_ENGINES
@pytest.mark.parametrize(
    "path", ["/profile_pics/%00", "/errors/%00", "/user/%00", "/api/v1/dogs/1%00", "/user/login%00"]
)
def test_nul_byte_in_path_returns_404(anna: FlaskClient, path: str) -> None:
    add_dog(anna)

    assert api_error(anna.get(path)) == (404, "not-found")


# Wrong types

NOT_STRINGS = [None, True, False, 0, -1, 2**64, 10**40, 1.5, [], ["Anna"], {}, {"text": "Anna"}, [[[[]]]]]


@EVERY_VERB
def test_non_string_value_returns_422(anna_unlimited: FlaskClient, method: str, path: str, schema: Any) -> None:
    not_text = (fields.Boolean, fields.Integer)
    texts = [name for name, field in schema.fields.items() if not isinstance(field, not_text)]
    for field, value in itertools.product(texts, NOT_STRINGS):
        response = anna_unlimited.open(path, method=method, json={field: value})

        assert api_error(response) == (422, "validation"), value
        assert field in response.json["error"]["fields"]


@pytest.mark.parametrize("value", [None, [], {}, True, 30.5, 30.0, "30.7", "3e1", " 30", "٣"])
def test_non_integer_value_is_rejected_not_rounded(value: Any) -> None:
    with pytest.raises(ValidationError):
        StrictInteger().deserialize(value)


@pytest.mark.parametrize("value", [None, [], {}, [True], 2, 1e308, "", "maybe", "\x00"])
def test_non_boolean_remember_returns_422(client: FlaskClient, value: Any) -> None:
    response = client.post("/user/login", json={**LOGIN, "remember": value})

    assert api_error(response) == (422, "validation")
    assert set(response.json["error"]["fields"]) == {"remember"}


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
def test_invalid_query_parameter_returns_422(anna: FlaskClient, name: str, values: list[str]) -> None:
    for value in values:
        response = anna.get("/api/v1/dogs", query_string={name: value})

        assert api_error(response) == (422, "validation"), value
        assert set(response.json["error"]["fields"]) == {name}


# Fuzzing
UNUSUAL_TEXTS = [
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


def random_json(rng: random.Random, depth: int = 0) -> Any:
    """Return a random JSON value."""
    kind = rng.randrange(8)
    if kind < 2 and depth < 4:
        return [random_json(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind < 4 and depth < 4:
        return {rng.choice(UNUSUAL_TEXTS): random_json(rng, depth + 1) for _ in range(rng.randrange(4))}
    if kind == 4:
        return rng.choice([None, True, False, 0, -1, 2**31, 2**63, 2**64, 10**40, 0.1, -1e308])
    return rng.choice(UNUSUAL_TEXTS)


@BOTH_ENGINES
@EVERY_VERB
def test_random_json_never_returns_5xx(anna_unlimited: FlaskClient, method: str, path: str, schema: Any) -> None:
    rng = random.Random(f"{method} {path}")
    names = [*schema.fields, *schema.fields, *UNUSUAL_TEXTS[:20], "id", "__class__"]
    for _ in range(100):
        body = {name: random_json(rng) for name in rng.sample(names, 4)}
        response = anna_unlimited.open(path, method=method, json=body)

        assert response.status_code < 500, body
        assert response.status_code < 300 or api_error(response)[0] in {401, 403, 404, 409, 422}, body


@BOTH_ENGINES
@EVERY_VERB
def test_random_form_never_returns_5xx(anna_unlimited: FlaskClient, method: str, path: str, schema: Any) -> None:
    rng = random.Random(f"{method} {path}")
    for _ in range(30):
        fields = {name: rng.choice(UNUSUAL_TEXTS) for name in rng.choices([*schema.fields, *UNUSUAL_TEXTS[5:9]], k=3)}
        parts = [
            (name.replace("\x00", ""), rng.choice([None, "", "a.png", "🐶", "../x"]), text.encode())
            for name, text in fields.items()
        ]
        for content in ({"data": fields}, multipart_form(*parts)):
            response = anna_unlimited.open(path, method=method, **content)

            assert response.status_code < 500, content
            assert response.status_code < 300 or api_error(response)[0] in {401, 403, 404, 409, 422}, content


@BOTH_ENGINES
def test_random_query_never_returns_5xx(anna_unlimited: FlaskClient) -> None:
    rng = random.Random(0)
    names = ["limit", "cursor", "sort", "name", "owner", "breed", "q", "mine", "user_id"]
    cursor = anna_unlimited.get("/api/v1/dogs?limit=1").json["page"]["next"] or "x"
    for _ in range(300):
        query = {name: rng.choice([*UNUSUAL_TEXTS, cursor, "1", "true", "-id"]) for name in rng.sample(names, 2)}
        response = anna_unlimited.get("/api/v1/dogs", query_string=query)

        assert response.status_code == 200 or api_error(response) == (422, "validation"), query


@BOTH_ENGINES
@pytest.mark.parametrize(
    "query", ["%ff=%fe", "q=%ff", "%00", "&&=&", "q=%", "limit=%zz", "q=%ed%a0%80", "=1", "q" * 5000]
)
def test_malformed_query_encoding_never_returns_5xx(client: FlaskClient, query: str) -> None:
    response = client.get(f"/api/v1/dogs?{query}")

    assert response.status_code == 200 or api_error(response) in [(422, "validation"), (400, "bad-request")]


# Malformed multipart forms

PART = b'--limit\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
COMPLETE_PARTS = b"".join(PART % (name.encode(), text.encode()) for name, text in ACCOUNT.items())

MALFORMED_FORMS = {
    "no boundary": ("multipart/form-data", COMPLETE_PARTS + b"--limit--\r\n"),
    "an empty boundary": ("multipart/form-data; boundary=", COMPLETE_PARTS + b"--limit--\r\n"),
    "a non-ASCII boundary": ("multipart/form-data; boundary=grüße", COMPLETE_PARTS + b"--limit--\r\n"),
    "another boundary": ("multipart/form-data; boundary=other", COMPLETE_PARTS + b"--limit--\r\n"),
    "no closing boundary": (MULTIPART, COMPLETE_PARTS),
    "an incomplete closing boundary": (MULTIPART, COMPLETE_PARTS + b"--lim"),
    "truncated within a part": (MULTIPART, COMPLETE_PARTS[:-6]),
    "truncated within a header": (MULTIPART, COMPLETE_PARTS + b"--limit\r\nContent-Disp"),
    "empty": (MULTIPART, b""),
    "JSON": (MULTIPART, json.dumps(ACCOUNT).encode()),
    "a part without a header": (MULTIPART, COMPLETE_PARTS + b"--limit\r\n\r\ntext\r\n--limit--\r\n"),
}


@pytest.mark.parametrize(("content_type", "body"), MALFORMED_FORMS.values(), ids=MALFORMED_FORMS)
def test_malformed_multipart_form_returns_400(client: FlaskClient, content_type: str, body: bytes) -> None:
    # As a stream, because the test client builds a form from empty data.
    headers = {"Content-Type": content_type, "Content-Length": str(len(body))}
    response = client.post("/user/register", input_stream=io.BytesIO(body), headers=headers)

    assert api_error(response) == (400, "bad-request")
    assert client.get("/user/1").status_code == 404


MALFORMED_PARTS = {
    "no name": b"Content-Disposition: form-data",
    "an empty name": b'Content-Disposition: form-data; name=""',
    "a file without a name": b'Content-Disposition: form-data; filename="x"',
    "an unknown disposition": b'Content-Disposition: attachment; name="surprise"',
    "a name that is not UTF-8": b'Content-Disposition: form-data; name="\xff\xfe"',
    "a file name that is not UTF-8": b"Content-Disposition: form-data; name=file; filename*=utf-9''%ff",
    "an unknown charset": b'Content-Disposition: form-data; name="surprise"\r\nContent-Type: text/plain; charset=nope',
    "a part in base64": b'Content-Disposition: form-data; name="surprise"\r\nContent-Transfer-Encoding: base64',
    "a long header": b'Content-Disposition: form-data; name="surprise"\r\nX-Long: ' + b"x" * 60_000,
    "a header with a NUL byte": b'Content-Disposition: form-data; name="surprise"\r\n\x00: \x00',
}


@pytest.mark.parametrize("header", MALFORMED_PARTS.values(), ids=MALFORMED_PARTS)
def test_malformed_part_is_rejected_and_nothing_stored(client: FlaskClient, header: bytes) -> None:
    body = COMPLETE_PARTS + b"--limit\r\n" + header + b"\r\n\r\ntext\r\n--limit--\r\n"

    response = client.post("/user/register", data=body, content_type=MULTIPART)

    assert api_error(response) in {(400, "bad-request"), (422, "validation")}
    assert client.get("/user/1").status_code == 404


@pytest.mark.parametrize("same_name", [True, False])
def test_2000_parts_return_413(client: FlaskClient, same_name: bool) -> None:
    parts = b"".join(PART % (b"x" if same_name else b"%d" % number, b"") for number in range(2000))

    response = client.post("/user/register", data=parts + b"--limit--\r\n", content_type=MULTIPART)

    assert api_error(response) == (413, "too-large")


def test_10000_form_fields_return_422(client: FlaskClient) -> None:
    body = "&".join(f"{number}=" for number in range(10_000))

    assert api_error(client.post("/user/register", data=body, content_type=FORM)) == (422, "validation")


def test_quoted_boundary_preamble_and_epilogue_are_accepted(client: FlaskClient) -> None:
    response = client.post(
        "/user/register",
        data=b"preamble\r\n" + COMPLETE_PARTS + b"--limit--\r\nepilogue",
        content_type='multipart/form-data; boundary="limit"',
    )

    assert response.status_code == 201


def test_file_between_text_fields_is_accepted(client: FlaskClient) -> None:
    picture = photo()[0].read()
    texts = [(name, None, text.encode()) for name, text in ACCOUNT.items()]

    response = client.post("/user/register", **multipart_form(texts[0], ("file", "🐶 me.JPG", picture), *texts[1:]))

    assert response.status_code == 201
    assert response.json["data"]["picture"]["is_default"] is False


def test_query_that_is_not_utf8_returns_400(client: FlaskClient) -> None:
    response = client.get("/api/v1/dogs", environ_overrides={"QUERY_STRING": "q=\xe9"})

    assert api_error(response) == (400, "bad-request")


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/user/logout"), ("DELETE", "/user/picture"), ("DELETE", "/api/v1/dogs/1")]
)
def test_large_body_on_route_without_body_returns_413(anna_unlimited: FlaskClient, method: str, path: str) -> None:
    assert api_error(anna_unlimited.open(path, method=method, data=b"x" * (64 * KIB + 1))) == (413, "too-large")
    assert anna_unlimited.open(path, method=method, data=b"x" * 64 * KIB).status_code == 200


@pytest.mark.parametrize("size", [7 * KIB, 700 * KIB])
def test_raw_picture_body_returns_415_at_any_size(anna_unlimited: FlaskClient, size: int) -> None:
    response = anna_unlimited.put("/user/picture", data=b"x" * size, content_type="image/jpeg")

    assert api_error(response) == (415, "unsupported-media-type")


# --- Texts that are not UTF-8, and bodies of another kind than their label ---

LATIN_1 = "Jörg".encode("latin-1")


@EVERY_VERB
def test_texts_that_are_not_utf_8_return_400(anna: FlaskClient, method: str, path: str, schema: Schema) -> None:
    for name in schema.fields:
        bodies = {
            FORM: name.encode() + b"=J%F6rg",
            f"{FORM}; raw": name.encode() + b"=" + LATIN_1,
            JSON: b'{"' + name.encode() + b'": "' + LATIN_1 + b'"}',
            MULTIPART: multipart_form((name, None, LATIN_1))["data"],
        }
        for content_type, body in bodies.items():
            response = anna.open(path, method=method, data=body, content_type=content_type)

            assert api_error(response) == (400, "bad-request")
            assert "not valid UTF-8" in response.json["status"]["message"]


def test_query_that_is_not_utf_8_returns_400(client: FlaskClient) -> None:
    response = client.get("/api/v1/dogs?name=J%F6rg")

    assert api_error(response) == (400, "bad-request")
    assert response.json["status"]["message"] == "Query string is not valid UTF-8"


def test_password_of_other_bytes_does_not_log_in(client: FlaskClient) -> None:
    register(client.application, "Carl", password="pass\ufffdword")

    body = b"username=Carl&password=pass%FFword"

    assert api_error(client.post("/user/login", data=body, content_type=FORM)) == (400, "bad-request")


def test_byte_order_mark_before_json_is_skipped(client: FlaskClient) -> None:
    body = b"\xef\xbb\xbf" + json.dumps(ACCOUNT).encode()

    assert client.post("/user/register", data=body, content_type=JSON).status_code == 201


def test_compressed_body_returns_415(client: FlaskClient) -> None:
    response = client.post(
        "/user/login", data=gzip.compress(json.dumps(LOGIN).encode()), content_type=JSON,
        headers={"Content-Encoding": "gzip"},
    )  # fmt: skip

    assert api_error(response) == (415, "unsupported-media-type")
    assert "Content-Encoding" in response.json["status"]["message"]


@pytest.mark.parametrize(
    "body", [b"username=Anna&password=correct%20horse", multipart_form(("username", None, b"Anna"))["data"]]
)
def test_form_labelled_json_says_so(client: FlaskClient, body: bytes) -> None:
    response = client.post("/user/login", data=body, content_type=JSON)

    assert api_error(response) == (400, "bad-request")
    assert "looks like a form" in response.json["status"]["message"]


def test_picture_as_body_says_to_send_a_form(anna: FlaskClient) -> None:
    response = anna.put("/user/picture", data=photo()[0].read(), content_type="image/jpeg")

    assert api_error(response) == (415, "unsupported-media-type")
    assert "multipart form" in response.json["status"]["message"]


@pytest.mark.parametrize("content", [photo()[0].read(), b"plain text"], ids=["photo", "text"])
def test_part_without_file_name_says_so(anna: FlaskClient, content: bytes) -> None:
    response = anna.put("/user/picture", **multipart_form(("file", None, content)))

    assert response.status_code in (400, 422)
    assert "filename" in response.text


def test_file_name_of_any_bytes_is_accepted(anna: FlaskClient) -> None:
    body = multipart_form(("file", "Jorg.jpg", photo()[0].read()))
    body["data"] = body["data"].replace(b"Jorg", LATIN_1)

    assert anna.put("/user/picture", **body).status_code == 200


# --- Query parameters ---


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/profile_pics/{image}"])
def test_query_of_pictures_and_health_is_ignored(anna: FlaskClient, path: str) -> None:
    image = anna.get("/user/profile").json["data"]["image"]

    assert anna.get(path.format(image=image), query_string={"t": "1"}).status_code == 200


def test_unknown_parameter_with_brackets_is_named(client: FlaskClient) -> None:
    response = client.get("/api/v1/dogs?limit[]=10")

    assert response.json["error"]["fields"] == {"limit[]": ["Unknown field."]}


def test_blank_parameter_is_no_filter(anna: FlaskClient) -> None:
    add_dog(anna)
    everything = anna.get("/api/v1/dogs").json["data"]

    for name in ("name", "owner", "breed", "q"):
        for value in ("", "%20"):
            assert anna.get(f"/api/v1/dogs?{name}={value}").json["data"] == everything


@pytest.mark.parametrize("value", ["true", "True", "TRUE", "1", "on"])
def test_truth_values_are_accepted_in_any_spelling(anna: FlaskClient, value: str) -> None:
    add_dog(anna)
    bob = register(anna.application, "Bob")
    opposite = {"1": "0", "on": "off"}.get(value, "False")

    assert bob.get("/api/v1/dogs", query_string={"mine": value}).json["data"] == []
    assert len(bob.get("/api/v1/dogs", query_string={"mine": opposite}).json["data"]) == 1
    assert bob.post("/user/login", data={**LOGIN, "remember": value}).status_code == 200
