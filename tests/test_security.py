"""Browser security: CORS, CSRF protection, bearer tokens, cookie attributes, security headers and client addresses."""

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
# One request for each kind of response: a list, a login, errors, a page, an empty one.
REQUESTS: list[tuple[str, str]] = [
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
    """The application, with a route that raises."""
    return with_crash(make_app())


def with_crash(app: Flask) -> Flask:
    app.add_url_rule("/crash", view_func=crash)
    return app


def send(client: FlaskClient, method: str, path: str, **headers: str | None) -> TestResponse:
    """Send a request with these headers (`_` in their names for `-`), and return the response."""
    sent = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
    body = {"json": LOGIN} if path == "/user/login" and method == "POST" else {}
    return client.open(path, method=method, headers=sent, **body)


def cors_headers(answer: TestResponse) -> dict[str, str]:
    """Return the CORS headers of a response, without their common prefix."""
    start = "Access-Control-"
    return {name.removeprefix(start): value for name, value in answer.headers if name.startswith(start)}


# CORS


@pytest.mark.parametrize("origin", LISTED)
def test_listed_origin_gets_cors_headers_everywhere(anna: FlaskClient, origin: str) -> None:
    for method, path in REQUESTS:
        answer = send(anna, method, path, Origin=origin)

        found = cors_headers(answer)
        assert found["Allow-Origin"] == origin
        assert found["Allow-Credentials"] == "true"
        exposed = parse_set_header(found["Expose-Headers"])
        assert {"ETag", "Link", "Location", "Retry-After", "X-Request-ID"} == set(exposed)


@pytest.mark.parametrize("origin", [None, "", *FOREIGN])
def test_unlisted_origin_gets_no_cors_header(anna: FlaskClient, origin: str | None) -> None:
    for method, path in REQUESTS:
        assert cors_headers(send(anna, method, path, Origin=origin)) == {}, path


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_preflight_of_unlisted_origin_gets_no_cors_header(client: FlaskClient, origin: str, method: str) -> None:
    headers = {"Access_Control_Request_Method": method, "Access_Control_Request_Headers": "content-type"}

    assert cors_headers(send(client, "OPTIONS", "/user/profile", Origin=origin, **headers)) == {}


@pytest.mark.parametrize("origin", LISTED)
@pytest.mark.parametrize(
    "requested", ["enctype", "content-type", "authorization", "x-anything, ENCTYPE,if-match", None]
)
def test_preflight_allows_all_verbs_and_headers_and_caches(
    client: FlaskClient, origin: str, requested: str | None
) -> None:
    for resource, path in ROUTES:
        for method in resource.methods:
            url = example_path(path)
            headers = {"Access_Control_Request_Method": method, "Access_Control_Request_Headers": requested}
            answer = send(client, "OPTIONS", url, Origin=origin, **headers)

            assert answer.status_code == 200
            found = cors_headers(answer)
            assert found["Allow-Origin"] == origin
            assert found["Allow-Credentials"] == "true"
            assert method in parse_set_header(found["Allow-Methods"])
            assert int(found["Max-Age"]) > 0
            allowed = {name.lower() for name in parse_set_header(found.get("Allow-Headers", ""))}
            assert allowed == {name.strip().lower() for name in (requested or "").split(",")} - {""}


def test_preflight_needs_no_login_or_csrf_check(client: FlaskClient) -> None:
    headers = {"Access_Control_Request_Method": "DELETE", "Sec_Fetch_Site": "cross-site"}

    assert send(client, "OPTIONS", "/user/profile", Origin=LISTED[0], **headers).status_code == 200


@pytest.mark.parametrize("origin", [None, "", LISTED[0], FOREIGN[0], FOREIGN[1]])
def test_every_response_varies_by_origin(anna: FlaskClient, origin: str | None) -> None:
    picture = anna.get("/user/profile").json["data"]["image"]
    for method, path in [*REQUESTS, ("GET", f"/profile_pics/{picture}")]:
        assert "Origin" in send(anna, method, path, Origin=origin).vary, path


def test_cors_origins_setting_replaces_default(make_app: MakeApp) -> None:
    client = make_app(CORS_ORIGINS="https://app.example.com, http://[::1]:3000/").test_client()

    def allowed(origin: str) -> bool:
        assert cors_headers(send(client, "GET", "/health/live", Origin=origin)).get("Allow-Origin") in (None, origin)
        read = bool(cors_headers(send(client, "GET", "/health/live", Origin=origin)))
        write = send(client, "POST", "/user/logout", Origin=origin).status_code == 200
        assert read == write
        return read

    assert allowed("https://app.example.com")
    assert allowed("http://[::1]:3000")
    assert not allowed("https://appxexample.com")
    assert not allowed("http://::3000")
    assert not allowed("http://1:3000")
    assert not allowed(LISTED[0])


# CSRF protection


@pytest.mark.parametrize("origin", FOREIGN)
def test_cross_origin_write_returns_403(app: Flask, anna: FlaskClient, origin: str) -> None:
    for client, site in itertools.product((anna, app.test_client()), (None, "same-origin", "none", "cross-site")):
        for method, path in (("POST", "/user/login"), ("POST", "/nothing"), ("DELETE", "/user/picture")):
            answer = send(client, method, path, Origin=origin, Sec_Fetch_Site=site)

            assert api_error(answer) == (403, "cross-site")
            assert "Set-Cookie" not in answer.headers
    assert anna.get("/user/profile").json["data"]["picture"]["is_default"] is True


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"])
def test_every_unsafe_method_is_checked_for_origin(client: FlaskClient, method: str) -> None:
    assert api_error(send(client, method, "/nothing", Origin=FOREIGN[1])) == (403, "cross-site")


def test_foreign_page_cannot_log_in_or_register(app: Flask, anna: FlaskClient) -> None:
    client = app.test_client()
    body = {"username": "Carl", "email": "carl@example.com", "password": PASSWORD}
    for path, fields in (("/user/login", LOGIN), ("/user/register", body)):
        answer = client.post(path, data=fields, headers={"Origin": FOREIGN[1]})

        assert api_error(answer) == (403, "cross-site")
    assert client.get("/user/profile").status_code == 401
    assert client.post("/user/register", json=body).status_code == 201


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "anything"])
def test_cross_site_write_without_origin_returns_403(app: Flask, anna: FlaskClient, site: str) -> None:
    for client in (anna, app.test_client()):
        assert api_error(send(client, "POST", "/user/login", Sec_Fetch_Site=site)) == (403, "cross-site")


@pytest.mark.parametrize("site", [None, "same-origin", "none"])
def test_same_site_or_non_browser_write_is_allowed(app: Flask, anna: FlaskClient, site: str | None) -> None:
    for client in (anna, app.test_client()):
        assert send(client, "POST", "/user/login", Sec_Fetch_Site=site).status_code == 200


@pytest.mark.parametrize("origin", LISTED)
@pytest.mark.parametrize("site", [None, "same-site", "cross-site"])
def test_write_from_listed_origin_is_allowed(anna: FlaskClient, origin: str, site: str | None) -> None:
    assert send(anna, "POST", "/user/login", Origin=origin, Sec_Fetch_Site=site).status_code == 200


@pytest.mark.parametrize("origin", [FOREIGN[0], FOREIGN[1], LISTED[0]])
@pytest.mark.parametrize("site", [None, "cross-site"])
def test_read_from_any_origin_is_allowed(anna: FlaskClient, origin: str, site: str | None) -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        assert send(anna, method, "/user/profile", Origin=origin, Sec_Fetch_Site=site).status_code == 200


@pytest.mark.parametrize(("origin", "site"), [(FOREIGN[0], None), (FOREIGN[1], "cross-site"), (None, "cross-site")])
def test_bearer_write_from_any_origin_is_allowed(
    app: Flask, anna: FlaskClient, origin: str | None, site: str | None
) -> None:
    headers = {**bearer_headers("Anna"), "Origin": origin, "Sec_Fetch_Site": site}

    for client in (app.test_client(), anna):
        assert send(client, "DELETE", "/user/picture", **headers).status_code == 200


def test_basic_authorization_does_not_bypass_csrf(anna: FlaskClient) -> None:
    for authorization in ("Basic QW5uYTpwYXNz", "Bearer", "bearerx y", "Basic Bearer x"):
        answer = send(anna, "DELETE", "/user/picture", Origin=FOREIGN[1], Authorization=authorization)

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
        # A page without TLS is not trusted, even from this host: anybody on the network may have written it.
        ("https://api.example.com", "api.example.com", "http://api.example.com", False),
        ("http://kennel.test:8000", "kennel.test:8000", "https://kennel.test:8000", False),
    ],
)
def test_own_origin_is_public_url_or_request_host(
    make_app: MakeApp, public_url: str, host: str, origin: str, is_own: bool
) -> None:
    client = make_app(PUBLIC_URL=public_url).test_client()

    answer = send(client, "POST", "/user/logout", Host=host, Origin=origin)

    assert answer.status_code == (200 if is_own else 403)


def test_x_forwarded_host_is_not_trusted(make_app: MakeApp) -> None:
    client = make_app(TRUSTED_PROXIES=1).test_client()

    answer = send(client, "POST", "/user/logout", X_Forwarded_Host="evil.example", Origin="http://evil.example")

    assert api_error(answer) == (403, "cross-site")


# Bearer tokens


def verbs() -> list[tuple[str, str, bool]]:
    """Return each verb of each route: method, path and whether it is public."""
    return [
        (method, example_path(path), method in resource.public)
        for resource, path in ROUTES
        for method in sorted(resource.methods)
    ]


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, is_public in verbs() if not is_public])
def test_bearer_token_works_on_every_verb(app: Flask, anna: FlaskClient, method: str, path: str) -> None:
    add_dog(anna)
    anonymous = app.test_client()
    bodies: dict[str, Any] = {"POST": {"name": "Max", "breed": "Pug"}, "PUT": {"name": "Max", "breed": "Pug"}}

    by_token = anonymous.open(path, method=method, json=bodies.get(method, {}), headers=bearer_headers("Anna"))
    anonymous_response = anonymous.open(path, method=method, json=bodies.get(method, {}))

    assert api_error(anonymous_response) == (401, "unauthorized")
    assert by_token.status_code in (200, 201, 404, 422)  # not every example exists


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_bearer_scheme_is_case_insensitive(app: Flask, anna: FlaskClient, scheme: str) -> None:
    header = bearer_headers("Anna")["Authorization"].replace("Bearer", scheme)

    assert send(app.test_client(), "GET", "/user/profile", Authorization=header).status_code == 200


@pytest.mark.parametrize("token", ["Bearer wrong", "Bearer ", "Bearer", "bearer é", "Bearer a b", "ended"])
def test_invalid_token_returns_401_beside_valid_cookie(app: Flask, anna: FlaskClient, token: str) -> None:
    if token == "ended":
        token = bearer_headers("Anna")["Authorization"]
        assert send(app.test_client(), "POST", "/user/logout", Authorization=token).status_code == 200
    for client, (method, path, _) in itertools.product((app.test_client(), anna), verbs()):
        answer = send(client, method, path, Authorization=token)

        assert api_error(answer) == (401, "unauthorized"), path
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert anna.get("/user/profile").status_code == 200


def test_bearer_token_overrides_cookie(app: Flask, anna: FlaskClient, bob: FlaskClient) -> None:
    answer = send(bob, "GET", "/user/profile", **bearer_headers("Anna"))

    assert answer.json["data"]["username"] == "Anna"


def test_anonymous_401_has_challenge(client: FlaskClient) -> None:
    assert client.get("/user/profile").headers["WWW-Authenticate"] == "Bearer"


# Cookie


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
def test_cookie_attributes_follow_settings(make_app: MakeApp, public_url: str, same_site: str) -> None:
    app = make_app(PUBLIC_URL=public_url, SESSION_COOKIE_SAMESITE=same_site)
    register(app, "Anna")

    for remember in (False, True):
        answer = app.test_client().post("/user/login", json={**LOGIN, "remember": remember})

        device, session = answer.headers.getlist("Set-Cookie")
        for cookie, path in ((device, "/user/login"), (session, "/")):
            flags = {part.split("=")[0]: part.partition("=")[2] for part in cookie.split("; ")[1:]}
            assert "HttpOnly" in flags
            assert flags["SameSite"] == same_site
            assert flags["Path"] == path
            assert "Domain" not in flags
            assert ("Secure" in flags) == public_url.startswith("https")


def test_default_cookie_is_lax_with_random_key(app: Flask, anna: FlaskClient) -> None:
    answers = [app.test_client().post("/user/login", json=LOGIN) for _ in range(2)]

    keys = set()
    for answer in answers:
        cookie = answer.headers.getlist("Set-Cookie")[-1]
        assert "SameSite=Lax" in cookie
        with app.test_request_context(headers={"Cookie": cookie.split(";")[0]}) as context:
            texts = [value for value in context.session.values() if not isinstance(value, bool)]
        keys.update(texts)
    assert len(keys) == 2
    for key in keys:
        assert len(key) == 43  # 32 random bytes
        assert send(app.test_client(), "GET", "/user/profile", Authorization=f"Bearer {key}").status_code == 200


def test_only_login_and_logout_set_cookies(anna: FlaskClient) -> None:
    for method, path in REQUESTS:
        if path not in ("/user/login", "/user/logout"):
            assert "Set-Cookie" not in send(anna, method, path).headers


# Headers


@pytest.mark.parametrize("public_url", ["http://localhost:8000", "https://api.example.com"])
def test_every_response_has_security_headers(make_app: MakeApp, public_url: str) -> None:
    app = with_crash(make_app(PUBLIC_URL=public_url))
    anna = register(app, "Anna")
    picture = anna.get("/user/profile").json["data"]["image"]
    paths = [*REQUESTS, ("GET", f"/profile_pics/{picture}"), ("POST", "/user/register")]
    for method, path in paths:
        for origin in (None, LISTED[0], FOREIGN[1]):
            headers = send(anna, method, path, Origin=origin).headers

            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"]
            assert headers["X-Request-ID"]
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            hsts = headers.get("Strict-Transport-Security")
            assert hsts == ("max-age=31536000" if public_url.startswith("https") else None)


def test_authenticated_responses_are_no_store(app: Flask, anna: FlaskClient) -> None:
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


def test_public_responses_may_be_cached(anna: FlaskClient) -> None:
    dog = add_dog(anna)
    for path in ("/api/v1/dogs", f"/api/v1/dogs/{dog['id']}", "/user/1", "/errors/conflict"):
        assert "no-store" not in anna.get(path).headers["Cache-Control"]


# Host and X-Forwarded-* headers

FORGED_HEADERS = {
    "Host": "evil.example",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Port": "666",
    "X-Forwarded-Prefix": "/evil",
    "Forwarded": "host=evil.example;proto=https",
    "X-Original-URL": "/evil",
}


@pytest.mark.parametrize("proxies", [0, 1, 2])
def test_urls_ignore_host_and_forwarded_headers(make_app: MakeApp, proxies: int) -> None:
    app = make_app(TRUSTED_PROXIES=proxies, PUBLIC_URL="https://api.example.com")
    add_dog(register(app, "Anna"))
    client = app.test_client()
    headers = {**FORGED_HEADERS, **bearer_headers("Anna")}
    dog = {"name": "Max", "breed": "Pug"}

    added = client.post("/api/v1/dogs", json=dog, headers=headers)
    listed = client.get("/api/v1/dogs?limit=1", headers=headers)
    profile = client.get("/user/profile", headers=headers)
    others = [client.open(path, method=method, headers=headers) for method, path in REQUESTS if path != "/user/logout"]

    assert added.headers["Location"] == f"https://api.example.com/api/v1/dogs/{added.json['data']['id']}"
    assert listed.headers["Link"].startswith("<https://api.example.com/api/v1/dogs?")
    picture = profile.json["data"]["picture"]
    assert picture["url"].startswith("https://api.example.com/profile_pics/")
    assert all(part.startswith("https://api.example.com/") for part in picture["srcset"].split(", "))
    for answer in (added, listed, profile, *others):
        assert "evil" not in answer.get_data(as_text=True) + str(answer.headers)


# Client address, observed by the registration limit


@pytest.mark.parametrize(
    ("proxies", "forwarded", "others"),
    [
        # No proxy is trusted: the header is ignored.
        (0, ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"], False),
        # The last address is the one that our own proxy added.
        (1, ["192.0.2.1", "198.51.100.7, 192.0.2.1", "192.0.2.9,192.0.2.1", "192.0.2.1"], False),
        (1, ["192.0.2.1", "192.0.2.2", "192.0.2.1, 192.0.2.3", "192.0.2.1, 192.0.2.4"], True),
        (2, ["192.0.2.1, 10.0.0.1", "192.0.2.9, 192.0.2.1, 10.0.0.2", "192.0.2.1,10.0.0.3", "192.0.2.1, x"], False),
    ],
)
def test_client_address_is_that_of_trusted_proxies(
    make_app: MakeApp, proxies: int, forwarded: list[str], others: bool
) -> None:
    client = make_app(TRUSTED_PROXIES=proxies).test_client()
    first, *rest = forwarded
    for _ in range(30):
        assert client.post("/user/register", json={}, headers={"X-Forwarded-For": first}).status_code == 422

    left = {client.post("/user/register", json={}, headers={"X-Forwarded-For": one}).status_code for one in rest}

    assert left == ({422} if others else {429})


def test_x_forwarded_proto_of_trusted_proxy_is_used(make_app: MakeApp) -> None:
    headers = {"Host": "kennel.test", "X_Forwarded_Proto": "https", "Origin": "https://kennel.test"}
    statuses = {}
    for proxies in (0, 1):
        client = make_app(TRUSTED_PROXIES=proxies).test_client()
        statuses[proxies] = send(client, "POST", "/user/logout", **headers).status_code

    assert statuses == {0: 403, 1: 200}


def test_cross_origin_refusal_is_logged(client: FlaskClient) -> None:
    log = capture_log()

    send(client, "POST", "/user/login", Origin=FOREIGN[1])

    assert "status=403" in log.getvalue()
    assert f"origin={FOREIGN[1]}" in log.getvalue()
