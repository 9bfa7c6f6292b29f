"""May this browser speak: CORS, the origin of writes, bearer tokens, the flags of the cookie, headers and addresses."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.http import parse_set_header
from werkzeug.test import TestResponse

from api.routes import ROUTES

from .factories import PASSWORD, add_dog, api_error, bearer_headers, capture_log, example_path, register

MakeApp = Callable[..., Flask]
LISTED = ("http://localhost:3000", "http://localhost:5173")
FOREIGN = (
    "null",
    "https://evil.example",
    "http://localhost:80",
    "http://localhost:3001",
    "https://localhost:3000",
    "http://127.0.0.1:3000",
    "http://localhost:3000.evil.example",
    "http://localhost:30000",
    "http://evil.example/http://localhost:3000",
    "http://localhost:3000, https://evil.example",
    "file://",
)
LOGIN = {"username": "Anna", "password": PASSWORD}
# One request for each kind of answer: a list, a login, refusals, a page, an empty one.
ASKS: list[tuple[str, str]] = [
    ("GET", "/api/v1/dogs"),
    ("HEAD", "/api/v1/dogs"),
    ("POST", "/user/login"),
    ("GET", "/user/profile"),
    ("POST", "/user/logout"),
    ("GET", "/user/login"),
    ("GET", "/nothing"),
    ("GET", "/errors/conflict"),
    ("OPTIONS", "/user/login"),
    ("GET", "/health/live"),
    ("GET", "/crash"),
]


def crash() -> None:
    raise RuntimeError


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    """The application, with a path that crashes."""
    return with_crash(make_app())


def with_crash(app: Flask) -> Flask:
    app.add_url_rule("/crash", view_func=crash)
    return app


def ask(client: FlaskClient, method: str, path: str, **headers: str | None) -> TestResponse:
    """The answer to a request with these headers, `_` in their names standing for `-`."""
    sent = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
    body = {"json": LOGIN} if path == "/user/login" and method == "POST" else {}
    return client.open(path, method=method, headers=sent, **body)


def cors(answer: TestResponse) -> dict[str, str]:
    """The CORS headers of an answer, without their common start."""
    start = "Access-Control-"
    return {name.removeprefix(start): value for name, value in answer.headers if name.startswith(start)}


# CORS


@pytest.mark.parametrize("origin", LISTED)
def test_a_listed_origin_may_read_every_answer_with_credentials(anna: FlaskClient, origin: str) -> None:
    for method, path in ASKS:
        answer = ask(anna, method, path, Origin=origin)

        found = cors(answer)
        assert found["Allow-Origin"] == origin
        assert found["Allow-Credentials"] == "true"
        exposed = parse_set_header(found["Expose-Headers"])
        assert {"ETag", "Link", "Location", "Retry-After", "X-Request-ID"} == set(exposed)


@pytest.mark.parametrize("origin", [None, "", *FOREIGN])
def test_no_other_origin_gets_a_cors_header(anna: FlaskClient, origin: str | None) -> None:
    for method, path in ASKS:
        assert cors(ask(anna, method, path, Origin=origin)) == {}, path


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_the_preflight_of_another_origin_gets_no_cors_header(client: FlaskClient, origin: str, method: str) -> None:
    headers = {"Access_Control_Request_Method": method, "Access_Control_Request_Headers": "content-type"}

    assert cors(ask(client, "OPTIONS", "/user/profile", Origin=origin, **headers)) == {}


@pytest.mark.parametrize("origin", LISTED)
@pytest.mark.parametrize("asked", ["enctype", "content-type", "authorization", "x-anything, ENCTYPE,if-match", None])
def test_a_preflight_is_answered_for_every_verb_with_any_header_and_kept(
    client: FlaskClient, origin: str, asked: str | None
) -> None:
    for resource, path in ROUTES:
        for method in resource.methods:
            url = example_path(path)
            headers = {"Access_Control_Request_Method": method, "Access_Control_Request_Headers": asked}
            answer = ask(client, "OPTIONS", url, Origin=origin, **headers)

            assert answer.status_code == 200
            found = cors(answer)
            assert found["Allow-Origin"] == origin
            assert found["Allow-Credentials"] == "true"
            assert method in parse_set_header(found["Allow-Methods"])
            assert int(found["Max-Age"]) > 0
            allowed = {name.lower() for name in parse_set_header(found.get("Allow-Headers", ""))}
            assert allowed == {name.strip().lower() for name in (asked or "").split(",")} - {""}


def test_a_preflight_needs_no_login_and_counts_as_no_write(client: FlaskClient) -> None:
    headers = {"Access_Control_Request_Method": "DELETE", "Sec_Fetch_Site": "cross-site"}

    assert ask(client, "OPTIONS", "/user/profile", Origin=LISTED[0], **headers).status_code == 200


@pytest.mark.parametrize("origin", [None, "", LISTED[0], FOREIGN[0], FOREIGN[1]])
def test_every_answer_varies_by_origin(anna: FlaskClient, origin: str | None) -> None:
    picture = anna.get("/user/profile").json["data"]["image"]
    for method, path in [*ASKS, ("GET", f"/profile_pics/{picture}")]:
        assert "Origin" in ask(anna, method, path, Origin=origin).vary, path


def test_only_the_origins_of_the_setting_are_listed(make_app: MakeApp) -> None:
    client = make_app(CORS_ORIGINS="https://app.example.com, http://[::1]:3000/").test_client()

    def allowed(origin: str) -> bool:
        assert cors(ask(client, "GET", "/health/live", Origin=origin)).get("Allow-Origin") in (None, origin)
        read = bool(cors(ask(client, "GET", "/health/live", Origin=origin)))
        write = ask(client, "POST", "/user/logout", Origin=origin).status_code == 200
        assert read == write
        return read

    assert allowed("https://app.example.com")
    assert allowed("http://[::1]:3000")
    assert not allowed("https://appxexample.com")
    assert not allowed("http://::3000")
    assert not allowed("http://1:3000")
    assert not allowed(LISTED[0])


# Who may write


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_write_from_a_page_of_another_origin_is_403_with_and_without_a_cookie(
    app: Flask, anna: FlaskClient, origin: str
) -> None:
    for client, site in itertools.product((anna, app.test_client()), (None, "same-origin", "none", "cross-site")):
        for method, path in (("POST", "/user/login"), ("POST", "/nothing"), ("DELETE", "/user/picture")):
            answer = ask(client, method, path, Origin=origin, Sec_Fetch_Site=site)

            assert api_error(answer) == (403, "cross-site")
            assert "Set-Cookie" not in answer.headers
    assert anna.get("/user/profile").json["data"]["picture"]["is_default"] is True


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"])
def test_every_method_but_the_safe_ones_is_a_write(client: FlaskClient, method: str) -> None:
    assert api_error(ask(client, method, "/nothing", Origin=FOREIGN[1])) == (403, "cross-site")


def test_nobody_is_logged_in_or_registered_by_a_foreign_page(app: Flask, anna: FlaskClient) -> None:
    client = app.test_client()
    body = {"username": "Carl", "email": "carl@example.com", "password": PASSWORD}
    for path, fields in (("/user/login", LOGIN), ("/user/register", body)):
        answer = client.post(path, data=fields, headers={"Origin": FOREIGN[1]})

        assert api_error(answer) == (403, "cross-site")
    assert client.get("/user/profile").status_code == 401
    assert client.post("/user/register", json=body).status_code == 201


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "anything"])
def test_without_an_origin_a_write_of_another_site_is_403(app: Flask, anna: FlaskClient, site: str) -> None:
    for client in (anna, app.test_client()):
        assert api_error(ask(client, "POST", "/user/login", Sec_Fetch_Site=site)) == (403, "cross-site")


@pytest.mark.parametrize("site", [None, "same-origin", "none"])
def test_without_an_origin_a_write_of_this_site_or_of_no_browser_is_answered(
    app: Flask, anna: FlaskClient, site: str | None
) -> None:
    for client in (anna, app.test_client()):
        assert ask(client, "POST", "/user/login", Sec_Fetch_Site=site).status_code == 200


@pytest.mark.parametrize("origin", LISTED)
@pytest.mark.parametrize("site", [None, "same-site", "cross-site"])
def test_a_write_from_a_page_of_a_listed_origin_is_answered(anna: FlaskClient, origin: str, site: str | None) -> None:
    assert ask(anna, "POST", "/user/login", Origin=origin, Sec_Fetch_Site=site).status_code == 200


@pytest.mark.parametrize("origin", [FOREIGN[0], FOREIGN[1], LISTED[0]])
@pytest.mark.parametrize("site", [None, "cross-site"])
def test_a_read_is_answered_whoever_asks(anna: FlaskClient, origin: str, site: str | None) -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        assert ask(anna, method, "/user/profile", Origin=origin, Sec_Fetch_Site=site).status_code == 200


@pytest.mark.parametrize(("origin", "site"), [(FOREIGN[0], None), (FOREIGN[1], "cross-site"), (None, "cross-site")])
def test_a_write_with_a_bearer_token_is_answered_whoever_asks(
    app: Flask, anna: FlaskClient, origin: str | None, site: str | None
) -> None:
    headers = {**bearer_headers("Anna"), "Origin": origin, "Sec_Fetch_Site": site}

    for client in (app.test_client(), anna):
        assert ask(client, "DELETE", "/user/picture", **headers).status_code == 200


def test_another_kind_of_authorization_opens_no_way_for_a_foreign_page(anna: FlaskClient) -> None:
    for authorization in ("Basic QW5uYTpwYXNz", "Bearer", "bearerx y", "Basic Bearer x"):
        answer = ask(anna, "DELETE", "/user/picture", Origin=FOREIGN[1], Authorization=authorization)

        assert api_error(answer) == (403, "cross-site")


@pytest.mark.parametrize(
    ("public_url", "host", "origin", "is_own"),
    [
        ("https://api.example.com", "api.example.com", "https://api.example.com", True),
        ("https://api.example.com", "127.0.0.1:8000", "https://api.example.com", True),
        ("http://kennel.test:8000", "192.168.1.5:8000", "http://192.168.1.5:8000", True),
        ("http://kennel.test:8000", "kennel.test:8000", "http://kennel.test:8000", True),
        ("http://kennel.test:8000", "192.168.1.5:8000", "http://192.168.1.6:8000", False),
        ("http://kennel.test:8000", "192.168.1.5:8000", "http://192.168.1.5", False),
        # A page without TLS is not this server, even under its name: anybody on the way may have written it.
        ("https://api.example.com", "api.example.com", "http://api.example.com", False),
        ("http://kennel.test:8000", "kennel.test:8000", "https://kennel.test:8000", False),
    ],
)
def test_this_server_is_known_by_its_public_url_and_by_how_it_is_called(
    make_app: MakeApp, public_url: str, host: str, origin: str, is_own: bool
) -> None:
    client = make_app(PUBLIC_URL=public_url).test_client()

    answer = ask(client, "POST", "/user/logout", Host=host, Origin=origin)

    assert answer.status_code == (200 if is_own else 403)


def test_a_forwarded_host_makes_no_origin_our_own(make_app: MakeApp) -> None:
    client = make_app(TRUSTED_PROXIES=1).test_client()

    answer = ask(client, "POST", "/user/logout", X_Forwarded_Host="evil.example", Origin="http://evil.example")

    assert api_error(answer) == (403, "cross-site")


# Bearer tokens


def verbs() -> list[tuple[str, str, bool]]:
    """Each verb of each route, as method, path and whether it is open to strangers."""
    return [
        (method, example_path(path), method in resource.public)
        for resource, path in ROUTES
        for method in sorted(resource.methods)
    ]


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, is_public in verbs() if not is_public])
def test_a_bearer_token_is_taken_wherever_a_cookie_is(app: Flask, anna: FlaskClient, method: str, path: str) -> None:
    add_dog(anna)
    nobody = app.test_client()
    bodies: dict[str, Any] = {"POST": {"name": "Max", "breed": "Pug"}, "PUT": {"name": "Max", "breed": "Pug"}}

    by_token = nobody.open(path, method=method, json=bodies.get(method, {}), headers=bearer_headers("Anna"))
    by_nobody = nobody.open(path, method=method, json=bodies.get(method, {}))

    assert api_error(by_nobody) == (401, "unauthorized")
    assert by_token.status_code in (200, 201, 404, 422)  # not every example is there


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_of_a_bearer_token_may_be_in_any_case(app: Flask, anna: FlaskClient, scheme: str) -> None:
    header = bearer_headers("Anna")["Authorization"].replace("Bearer", scheme)

    assert ask(app.test_client(), "GET", "/user/profile", Authorization=header).status_code == 200


@pytest.mark.parametrize("token", ["Bearer wrong", "Bearer ", "Bearer", "bearer é", "Bearer a b", "ended"])
def test_a_bad_token_is_401_with_a_challenge_everywhere_and_also_beside_a_good_cookie(
    app: Flask, anna: FlaskClient, token: str
) -> None:
    if token == "ended":
        token = bearer_headers("Anna")["Authorization"]
        assert ask(app.test_client(), "POST", "/user/logout", Authorization=token).status_code == 200
    for client, (method, path, _) in itertools.product((app.test_client(), anna), verbs()):
        answer = ask(client, method, path, Authorization=token)

        assert api_error(answer) == (401, "unauthorized"), path
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert anna.get("/user/profile").status_code == 200


def test_a_token_speaks_instead_of_the_cookie_beside_it(app: Flask, anna: FlaskClient, bob: FlaskClient) -> None:
    answer = ask(bob, "GET", "/user/profile", **bearer_headers("Anna"))

    assert answer.json["data"]["username"] == "Anna"


def test_who_is_not_logged_in_gets_a_challenge(client: FlaskClient) -> None:
    assert client.get("/user/profile").headers["WWW-Authenticate"] == "Bearer"


# The cookie


@pytest.mark.parametrize(
    ("public_url", "same_site"),
    [
        ("http://localhost:8000", "Lax"),
        ("http://localhost:8000", "Strict"),
        ("https://api.example.com", "Lax"),
        ("https://api.example.com", "Strict"),
        ("https://api.example.com", "None"),
    ],
)
def test_the_cookie_has_its_flags(make_app: MakeApp, public_url: str, same_site: str) -> None:
    app = make_app(PUBLIC_URL=public_url, SESSION_COOKIE_SAMESITE=same_site)
    register(app, "Anna")

    for remember in (False, True):
        answer = app.test_client().post("/user/login", json={**LOGIN, "remember": remember})

        (cookie,) = answer.headers.getlist("Set-Cookie")
        flags = {part.split("=")[0]: part.partition("=")[2] for part in cookie.split("; ")[1:]}
        assert "HttpOnly" in flags
        assert flags["SameSite"] == same_site
        assert flags["Path"] == "/"
        assert "Domain" not in flags
        assert ("Secure" in flags) == public_url.startswith("https")


def test_the_cookie_is_lax_by_default_and_names_a_random_key_and_no_user(app: Flask, anna: FlaskClient) -> None:
    answers = [app.test_client().post("/user/login", json=LOGIN) for _ in range(2)]

    keys = set()
    for answer in answers:
        assert "SameSite=Lax" in answer.headers["Set-Cookie"]
        with app.test_request_context(headers={"Cookie": answer.headers["Set-Cookie"].split(";")[0]}) as context:
            texts = [value for value in context.session.values() if not isinstance(value, bool)]
        keys.update(texts)
    assert len(keys) == 2
    for key in keys:
        assert len(key) == 43  # 32 random bytes
        assert ask(app.test_client(), "GET", "/user/profile", Authorization=f"Bearer {key}").status_code == 200


def test_an_answer_that_logs_nobody_in_or_out_sets_no_cookie(anna: FlaskClient) -> None:
    for method, path in ASKS:
        if path not in ("/user/login", "/user/logout"):
            assert "Set-Cookie" not in ask(anna, method, path).headers


# Headers


@pytest.mark.parametrize("public_url", ["http://localhost:8000", "https://api.example.com"])
def test_every_answer_has_its_security_headers(make_app: MakeApp, public_url: str) -> None:
    app = with_crash(make_app(PUBLIC_URL=public_url))
    anna = register(app, "Anna")
    picture = anna.get("/user/profile").json["data"]["image"]
    paths = [*ASKS, ("GET", f"/profile_pics/{picture}"), ("POST", "/user/register")]
    for method, path in paths:
        for origin in (None, LISTED[0], FOREIGN[1]):
            headers = ask(anna, method, path, Origin=origin).headers

            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"]
            assert headers["X-Request-ID"]
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            hsts = headers.get("Strict-Transport-Security")
            assert hsts == ("max-age=31536000" if public_url.startswith("https") else None)


def test_who_reads_answers_with_a_sessions_data_keeps_none_of_them(app: Flask, anna: FlaskClient) -> None:
    dog = f"/api/v1/dogs/{add_dog(anna)['id']}"
    answers = [
        anna.get("/user/profile"),
        anna.head("/user/profile"),
        anna.patch("/user/profile", json={}),
        anna.get("/api/v1/dogs?mine=true"),
        anna.patch(dog, json={"name": "Max"}),
        anna.delete(dog),
        anna.get("/user/profile", headers={"If-None-Match": "*"}),
        anna.put("/user/password", json={}),
        app.test_client().post("/user/login", json=LOGIN),
        app.test_client().get("/user/profile"),
        app.test_client().get("/user/profile", headers=bearer_headers("Anna")),
        app.test_client().post("/user/logout"),
        register(app, "Bob").post("/user/logout"),
    ]

    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}


def test_what_everybody_may_read_may_be_kept(anna: FlaskClient) -> None:
    dog = add_dog(anna)
    for path in ("/api/v1/dogs", f"/api/v1/dogs/{dog['id']}", "/user/1", "/errors/conflict"):
        assert "no-store" not in anna.get(path).headers["Cache-Control"]


# No URL of ours is made from what a client says

LIES = {
    "Host": "evil.example",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Port": "666",
    "X-Forwarded-Prefix": "/evil",
    "Forwarded": "host=evil.example;proto=https",
    "X-Original-URL": "/evil",
}


@pytest.mark.parametrize("proxies", [0, 1, 2])
def test_no_url_is_made_from_the_host_or_a_forwarded_header(make_app: MakeApp, proxies: int) -> None:
    app = make_app(TRUSTED_PROXIES=proxies, PUBLIC_URL="https://api.example.com")
    add_dog(register(app, "Anna"))
    client = app.test_client()
    headers = {**LIES, **bearer_headers("Anna")}
    dog = {"name": "Max", "breed": "Pug"}

    added = client.post("/api/v1/dogs", json=dog, headers=headers)
    listed = client.get("/api/v1/dogs?limit=1", headers=headers)
    profile = client.get("/user/profile", headers=headers)
    others = [client.open(path, method=method, headers=headers) for method, path in ASKS if path != "/user/logout"]

    assert added.headers["Location"] == f"https://api.example.com/api/v1/dogs/{added.json['data']['id']}"
    assert listed.headers["Link"].startswith("<https://api.example.com/api/v1/dogs?")
    picture = profile.json["data"]["picture"]
    assert picture["url"].startswith("https://api.example.com/profile_pics/")
    assert all(part.startswith("https://api.example.com/") for part in picture["srcset"].split(", "))
    for answer in (added, listed, profile, *others):
        assert "evil" not in answer.get_data(as_text=True) + str(answer.headers)


# Whom we take for the caller: seen in the number of registrations that an address has left


@pytest.mark.parametrize(
    ("proxies", "forwarded", "others"),
    [
        # Nobody is believed: one address, whatever it says.
        (0, ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"], False),
        # The last name is the one that our own proxy wrote.
        (1, ["192.0.2.1", "198.51.100.7, 192.0.2.1", "192.0.2.9,192.0.2.1", "192.0.2.1"], False),
        (1, ["192.0.2.1", "192.0.2.2", "192.0.2.1, 192.0.2.3", "192.0.2.1, 192.0.2.4"], True),
        (2, ["192.0.2.1, 10.0.0.1", "192.0.2.9, 192.0.2.1, 10.0.0.2", "192.0.2.1,10.0.0.3", "192.0.2.1, x"], False),
    ],
)
def test_the_caller_has_the_address_that_trusted_proxies_saw(
    make_app: MakeApp, proxies: int, forwarded: list[str], others: bool
) -> None:
    client = make_app(TRUSTED_PROXIES=proxies).test_client()
    first, *rest = forwarded
    for _ in range(30):
        assert client.post("/user/register", json={}, headers={"X-Forwarded-For": first}).status_code == 422

    left = {client.post("/user/register", json={}, headers={"X-Forwarded-For": one}).status_code for one in rest}

    assert left == ({422} if others else {429})


def test_the_scheme_that_a_trusted_proxy_saw_makes_an_origin_our_own(make_app: MakeApp) -> None:
    headers = {"Host": "kennel.test", "X_Forwarded_Proto": "https", "Origin": "https://kennel.test"}
    statuses = {}
    for proxies in (0, 1):
        client = make_app(TRUSTED_PROXIES=proxies).test_client()
        statuses[proxies] = ask(client, "POST", "/user/logout", **headers).status_code

    assert statuses == {0: 403, 1: 200}


def test_a_foreign_page_is_logged_like_any_caller(client: FlaskClient) -> None:
    log = capture_log()

    ask(client, "POST", "/user/login", Origin=FOREIGN[1])

    assert "status=403" in log.getvalue()
    assert "evil" not in log.getvalue()
