"""Pictures in an S3 bucket: storage, redirects to signed URLs, outages, settings and `uploads move`."""

from __future__ import annotations

import re
import select
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
import requests
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient

from api.frontend import client_build
from api.http.concurrency import WORKER_THREADS
from api.pictures.s3 import TIMEOUT_SECONDS
from api.pictures.store import picture_store
from models import User

from .factories import PASSWORD, PHOTOS, api_error, capture_log, interleave, make_image, photo, register
from .live_server import ROOT, Server, free_port
from .s3 import KEYS, S3, Bucket

MakeApp = Callable[..., Flask]

CARL = {"username": "Carl", "email": "carl@example.com", "password": PASSWORD}
UPLOADS_PAGE = ROOT / "docs" / "uploads.md"
STORAGE_UNAVAILABLE = "Picture storage unavailable"
# The API must respond within this time while the store is unavailable.
MAX_RESPONSE_SECONDS = 5


@pytest.fixture
def settings(settings: dict[str, Any], bucket: Bucket) -> dict[str, Any]:
    """Settings with pictures in the bucket."""
    return {**settings, "UPLOADS_URL": bucket.url}


def run_command(app: Flask, *arguments: str) -> Result:
    """Run a command and return its output and exit code."""
    return app.test_cli_runner().invoke(args=arguments)


def get_account(client: FlaskClient) -> dict[str, Any]:
    return client.get("/user/profile").json["data"]


def picture_names(account: dict[str, Any]) -> set[str]:
    """Return the names of both files of an account's picture."""
    return {account["image"], account["image"].replace(".", "_2x.")}


def measure_seconds(operation: Callable[[], Any]) -> tuple[float, Any]:
    """Run an operation; return the elapsed seconds and its result."""
    started = time.monotonic()
    result = operation()
    return time.monotonic() - started, result


# --- Storage ---


def test_registration_with_photo_stores_and_serves_two_objects(app: Flask, client: FlaskClient, bucket: Bucket) -> None:
    response = client.post("/user/register", data={**CARL, "file": photo()})

    assert response.status_code == 201
    account = get_account(client)
    assert account == response.json["data"]
    assert not account["picture"]["is_default"]
    assert bucket.names() == picture_names(account)
    for name in picture_names(account):
        assert app.test_client().get(f"/profile_pics/{name}").data == bucket.read(name) != b""


def test_object_has_content_type_and_cache_control(anna: FlaskClient, bucket: Bucket) -> None:
    attributes = bucket.store.get(get_account(anna)["image"]).attributes

    assert attributes["Content-Type"] == "image/webp"
    assert attributes["Cache-Control"] == "public, max-age=31536000, immutable"


def test_picture_response_equals_that_of_local_storage(make_app: MakeApp, tmp_path: Path) -> None:
    responses = []
    for url in (
        {},
        {"UPLOADS_URL": str(tmp_path / "uploads"), "DATABASE_URL": f"sqlite:///{tmp_path / 'other.sqlite'}"},
    ):
        app = make_app(**url)
        run_command(app, "db", "upgrade")
        image = get_account(register(app, "Anna"))["image"]
        response = app.test_client().get(f"/profile_pics/{image}", headers={"X-Request-ID": "same"})
        assert response.headers.pop("ETag") == f'"{image.removesuffix(".webp")}"'
        responses.append((response.status_code, response.data, dict(response.headers)))

    assert responses[0] == responses[1]
    assert responses[0][0] == 200
    assert responses[0][2]["Cache-Control"] == "public, max-age=31536000, immutable"


def test_known_picture_returns_304_and_unknown_404(anna: FlaskClient, bucket: Bucket) -> None:
    image = get_account(anna)["image"]
    bucket.put("secret.webp")
    etag = anna.get(f"/profile_pics/{image}").headers["ETag"]

    assert anna.get(f"/profile_pics/{image}", headers={"If-None-Match": etag}).status_code == 304
    for name in ("0" * 32 + ".webp", "secret.webp", "..%2fprefix%2f" + image, "x"):
        assert api_error(anna.get(f"/profile_pics/{name}")) == (404, "not-found")


def test_replaced_and_deleted_pictures_are_removed_at_once(anna: FlaskClient, bucket: Bucket) -> None:
    for change in (
        lambda: anna.put("/user/picture", data={"file": photo()}),
        lambda: anna.put("/user/picture", data={"file": photo("chelsea.png")}),
        lambda: anna.delete("/user/picture"),
    ):
        before = bucket.names()
        assert change().status_code == 200
        assert bucket.names() == picture_names(get_account(anna))
        assert bucket.names().isdisjoint(before)

    assert anna.delete("/user/profile", json={"current_password": PASSWORD}).status_code == 200
    assert bucket.names() == set()


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"username": "anna"}, 409), ({"password": "short"}, 422), ({"file": (PHOTOS / "../s3.py", "me.jpg")}, 422)],
    ids=["taken", "short", "no-picture"],
)
def test_rejected_registration_stores_nothing(
    anna: FlaskClient, client: FlaskClient, bucket: Bucket, fields: dict[str, Any], status: int
) -> None:
    before = bucket.names()
    if "file" in fields:
        path, name = fields["file"]
        fields = {"file": (path.open("rb"), name)}

    assert client.post("/user/register", data={**CARL, "file": photo(), **fields}).status_code == status

    assert bucket.names() == before
    assert User.select().count() == 1


def test_concurrent_uploads_leave_objects_of_one(app: Flask, anna: FlaskClient, bucket: Bucket) -> None:
    other = app.test_client()
    assert other.post("/user/login", json={"username": "Anna", "password": PASSWORD}).status_code == 200

    with interleave(app, lambda: other.put("/user/picture", data={"file": photo()})):
        assert anna.put("/user/picture", data={"file": photo("chelsea.png")}).status_code == 200

    assert bucket.names() == picture_names(get_account(anna))


def test_prune_removes_only_orphaned_objects(app: Flask, anna: FlaskClient, bucket: Bucket) -> None:
    referenced = bucket.names()
    orphaned = {bucket.put("0" * 32 + ".webp"), bucket.put("1" * 32 + "_2x.webp")}
    unrelated = {bucket.put("family.webp"), bucket.put("README.md"), bucket.put("below/" + "0" * 32 + ".webp")}

    first = run_command(app, "uploads", "prune")
    assert (first.exit_code, first.output) == (0, "Removed 0 files.\n")
    assert bucket.names() == referenced | orphaned | unrelated

    # Objects are dated in full seconds, by the store's clock.
    second = run_command(app, "uploads", "prune", "--older-than", "-2")
    assert (second.exit_code, second.output) == (0, "Removed 2 files.\n")
    assert bucket.names() == referenced | unrelated


def test_ready_checks_bucket_without_leaving_objects(client: FlaskClient, bucket: Bucket) -> None:
    assert client.get("/health/ready").json["data"]["store"] is True
    assert bucket.names() == set()


def test_documented_iam_policy_suffices_and_is_minimal(
    make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (policy,) = re.findall(r"^```json\n({\n +\"Version.*?)^```", UPLOADS_PAGE.read_text(), re.MULTILINE | re.DOTALL)
    # moto authorizes everything in the first four calls, which set up the store.
    with S3(tmp_path, INITIAL_NO_AUTH_ACTION_COUNT="4") as restricted:
        restricted.make_bucket("kennel-pictures")
        options = {name.lower(): value for name, value in KEYS.items() if name != "AWS_REGION"}
        users = boto3.client("iam", endpoint_url=restricted.url, region_name="us-east-1", **options)
        users.create_user(UserName="kennel")
        users.put_user_policy(UserName="kennel", PolicyName="kennel", PolicyDocument=policy)
        key = users.create_access_key(UserName="kennel")["AccessKey"]
        for name, value in {
            "AWS_ENDPOINT_URL": restricted.url,
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            # moto does not check permissions for bulk deletion.
            "AWS_DISABLE_BULK_DELETE": "true",
        }.items():
            monkeypatch.setenv(name, value)
        app = make_app(UPLOADS_URL="s3://kennel-pictures/profile")
        anna = register(app, "Anna")
        log = capture_log()
        assert anna.put("/user/picture", data={"file": photo()}).status_code == 200
        assert anna.get(f"/profile_pics/{get_account(anna)['image']}").status_code == 200
        assert anna.get(f"/profile_pics/{'0' * 32}.webp").status_code == 404
        assert run_command(app, "uploads", "prune", "--older-than", "-2").output == "Removed 0 files.\n"
        elsewhere = make_app(UPLOADS_URL="s3://kennel-pictures/other").test_client()

        assert api_error(elsewhere.post("/user/register", json=CARL)) == (503, "unavailable")
    assert "Failed to delete" not in log.getvalue()


# --- Redirect ---


@pytest.fixture
def redirecting_app(make_app: MakeApp) -> Flask:
    """An application that redirects browsers to the store."""
    return make_app(UPLOADS_REDIRECT="true")


def test_redirect_outlives_its_cache_lifetime(redirecting_app: Flask, bucket: Bucket) -> None:
    image = get_account(register(redirecting_app, "Anna"))["image"]

    response = redirecting_app.test_client().get(f"/profile_pics/{image}")

    assert (response.status_code, response.data) == (302, b"")
    privacy, cache_seconds = response.headers["Cache-Control"].split(", max-age=")
    (signature_seconds,) = parse_qs(urlsplit(response.location).query)["X-Amz-Expires"]
    assert privacy == "private"
    assert 0 < int(cache_seconds) < int(signature_seconds) <= 600
    assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    target = requests.get(response.location, timeout=30)
    assert (target.status_code, target.content) == (200, bucket.read(image))
    assert target.headers["Content-Type"] == "image/webp"


def test_head_redirects_to_url_signed_for_head(redirecting_app: Flask) -> None:
    image = get_account(register(redirecting_app, "Anna"))["image"]

    response = redirecting_app.test_client().head(f"/profile_pics/{image}")

    assert response.status_code == 302
    assert requests.head(response.location, timeout=30).status_code == 200


def test_redirect_of_unknown_picture_returns_404(redirecting_app: Flask, bucket: Bucket) -> None:
    bucket.put("secret.webp")
    client = redirecting_app.test_client()

    for name in ("0" * 32 + ".webp", "secret.webp", "x"):
        assert api_error(client.get(f"/profile_pics/{name}")) == (404, "not-found")


@pytest.mark.parametrize("is_redirecting", [True, False])
def test_csp_allows_images_of_store_only_with_redirect(
    make_app: MakeApp, s3: S3, tmp_path: Path, is_redirecting: bool
) -> None:
    app = make_app(UPLOADS_REDIRECT=str(is_redirecting))
    client_build.set(app, tmp_path)
    (tmp_path / "index.html").write_text("<title>Kennel</title>")

    policy = app.test_client().get("/", headers={"Accept": "text/html"}).headers["Content-Security-Policy"]

    (images,) = re.findall("img-src ([^;]+);", policy)
    assert (s3.url in images.split()) == is_redirecting
    assert policy.count(s3.url) == int(is_redirecting)


# --- Outages ---


@pytest.fixture
def make_app_without_storage(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Flask]:
    """Creates an application on the same database whose store is unreachable."""

    def make(endpoint: str = "") -> Flask:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint or f"http://127.0.0.1:{free_port()}")
        return make_app()

    return make


@pytest.mark.parametrize("testing", [True, False], ids=["testing", "production"])
def test_unavailable_store_returns_503_and_creates_no_account(
    make_app_without_storage: Callable[..., Flask], settings: dict[str, Any], testing: bool
) -> None:
    settings |= {"TESTING": testing, "BCRYPT_LOG_ROUNDS": 10}
    client = make_app_without_storage().test_client()
    log = capture_log()

    elapsed, response = measure_seconds(lambda: client.post("/user/register", data={**CARL, "file": photo()}))

    assert api_error(response) == (503, "unavailable")
    assert response.json["status"]["message"].startswith(STORAGE_UNAVAILABLE)
    assert int(response.headers["Retry-After"]) > 0
    assert elapsed < MAX_RESPONSE_SECONDS
    assert User.select().count() == 0
    assert "Unhandled exception (Generic S3 error: " in log.getvalue()


def test_unavailable_store_affects_only_pictures(
    app: Flask, make_app_without_storage: Callable[..., Flask], bucket: Bucket
) -> None:
    account = get_account(register(app, "Anna"))
    before = bucket.names()
    app_without_storage = make_app_without_storage()
    anna = app_without_storage.test_client()

    assert anna.post("/user/login", json={"username": "Anna", "password": PASSWORD}).status_code == 200
    assert get_account(anna) == account
    picture = anna.get(f"/profile_pics/{account['image']}")
    assert api_error(picture) == (503, "unavailable")
    assert int(picture.headers["Retry-After"]) > 0
    assert api_error(anna.put("/user/picture", data={"file": photo()})) == (503, "unavailable")
    assert api_error(anna.delete("/user/picture")) == (503, "unavailable")
    assert get_account(anna) == account
    assert anna.delete("/user/profile", json={"current_password": PASSWORD}).status_code == 200
    assert bucket.names() == before  # removed by `prune`
    assert api_error(anna.get("/health/ready")) == (503, "unavailable")
    pruned = run_command(app_without_storage, "uploads", "prune")
    assert (pruned.exit_code, len(pruned.output.splitlines())) == (1, 1)
    assert pruned.output.startswith("Error: Picture storage unavailable (Generic S3 error: ")


def test_hung_store_returns_503_within_deadline(make_app: MakeApp, own_s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = own_s3.make_bucket()
    monkeypatch.setenv("AWS_ENDPOINT_URL", own_s3.url)
    app = make_app(UPLOADS_URL=bucket.url)
    client = register(app, "Anna")
    before = bucket.names()
    body = {**CARL, "file": photo()}
    own_s3.suspend()

    elapsed, response = measure_seconds(lambda: app.test_client().post("/user/register", data=body))
    read_elapsed, picture = measure_seconds(lambda: client.get(f"/profile_pics/{get_account(client)['image']}"))
    own_s3.resume()

    assert api_error(response) == api_error(picture) == (503, "unavailable")
    assert elapsed < MAX_RESPONSE_SECONDS
    assert read_elapsed < MAX_RESPONSE_SECONDS
    assert User.select().count() == 1
    assert before <= bucket.names()
    assert client.put("/user/picture", data={"file": photo()}).status_code == 200


def test_restarted_store_is_used_again(make_app: MakeApp, own_s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = own_s3.make_bucket()
    monkeypatch.setenv("AWS_ENDPOINT_URL", own_s3.url)
    client = make_app(UPLOADS_URL=bucket.url).test_client()
    own_s3.process.kill()
    own_s3.process.wait()
    rejected = client.post("/user/register", json=CARL)

    with own_s3:
        own_s3.make_bucket(bucket.name)
        accepted = client.post("/user/register", json=CARL)

    assert (rejected.status_code, accepted.status_code) == (503, 201)


def test_missing_bucket_returns_503_not_404(make_app: MakeApp, anna: FlaskClient) -> None:
    image = get_account(anna)["image"]
    client = make_app(UPLOADS_URL="s3://no-such-bucket").test_client()
    log = capture_log()

    assert api_error(client.post("/user/register", json=CARL)) == (503, "unavailable")
    assert api_error(client.get(f"/profile_pics/{image}")) == (503, "unavailable")
    assert "The bucket does not exist" in log.getvalue()


def test_hung_store_does_not_block_other_requests(tmp_path: Path, own_s3: S3) -> None:
    bucket = own_s3.make_bucket()
    settings = {"UPLOADS_URL": bucket.url, "WEB_CONCURRENCY": "1", **own_s3.environment}
    with Server(tmp_path / "server", **settings) as server, ExitStack() as stack:
        account = requests.post(f"{server.url}/user/register", json=CARL, timeout=30).json()["data"]
        own_s3.suspend()
        stack.callback(own_s3.resume)
        request = f"GET /profile_pics/{account['image']} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        readers = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            for _ in range(WORKER_THREADS + 20)
        ]
        for reader in readers:
            reader.sendall(request)

        elapsed = []
        while len(select.select(readers, [], [], 0)[0]) < len(readers):
            elapsed.append(
                measure_seconds(
                    lambda: requests.get(f"{server.url}/user/{account['id']}", timeout=30).raise_for_status()
                )[0]
            )

        # Without a free thread, a request would wait for one that waits for the store.
        assert max(elapsed) < TIMEOUT_SECONDS / 2
        assert {reader.recv(12) for reader in readers} == {b"HTTP/1.1 503"}


# --- Settings ---


def test_invalid_endpoint_fails_startup(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost:9000")

    with pytest.raises(ValueError, match=r"^AWS_ENDPOINT_URL: it must be a URL\. For example: https://\S+$"):
        make_app()


def test_credentials_are_read_from_env_file(
    make_app: MakeApp, s3: S3, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in s3.environment:
        monkeypatch.delenv(name)
    monkeypatch.delenv("FLASK_SKIP_DOTENV")
    (tmp_path / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in s3.environment.items()))
    monkeypatch.setattr("api.config.ROOT", tmp_path)

    register(make_app(), "Anna")

    assert len(bucket.names()) == 2


def test_create_app_does_not_connect_to_store(make_app_without_storage: Callable[..., Flask]) -> None:
    app = make_app_without_storage()

    assert "store" not in vars(picture_store.get(app).files)
    assert app.test_client().get("/health/live").status_code == 200


# --- uploads move ---


def move_pictures(app: Flask, to: str) -> tuple[int, list[str]]:
    """Run `uploads move`; return its exit code and output lines."""
    result = run_command(app, "uploads", "move", "--to", to)
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result.exit_code, result.output.splitlines()


def test_pictures_move_from_folder_to_bucket_and_back(make_app: MakeApp, bucket: Bucket, tmp_path: Path) -> None:
    folder, other = tmp_path / "uploads", tmp_path / "other"
    app = make_app(UPLOADS_URL=str(folder))
    account = get_account(register(app, "Anna"))
    bob = register(app, "Bob")
    assert bob.put("/user/picture", data={"file": photo()}).status_code == 200
    (folder / ("0" * 32 + ".webp")).write_bytes(b"orphaned")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    referenced = picture_names(account) | picture_names(get_account(bob))

    code, lines = move_pictures(app, bucket.url)

    assert code == 0
    assert lines[-2:] == [
        "4 copied, 0 skipped, 0 missing.",
        f"To use them, set UPLOADS_URL={bucket.url} and restart the server.",
    ]
    assert bucket.names() == referenced
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    moved_app = make_app(UPLOADS_URL=bucket.url)
    response = moved_app.test_client().get(f"/profile_pics/{account['image']}")
    assert (response.status_code, response.data) == (200, files[account["image"]])

    assert move_pictures(moved_app, str(other))[0] == 0
    assert {path.name: path.read_bytes() for path in other.iterdir()} == {name: files[name] for name in referenced}


def test_interrupted_move_resumes_and_repairs(make_app: MakeApp, bucket: Bucket, tmp_path: Path) -> None:
    app = make_app(UPLOADS_URL=str(tmp_path / "uploads"))
    names = sorted(picture_names(get_account(register(app, "Anna"))) | picture_names(get_account(register(app, "Bob"))))
    assert move_pictures(app, bucket.url)[0] == 0
    bucket.store.delete(names[0])
    bucket.put(names[1], b"incomplete")

    code, lines = move_pictures(app, bucket.url)

    assert (code, lines[-2]) == (0, "2 copied, 2 skipped, 0 missing.")
    assert {name: bucket.read(name) for name in names} == {
        path.name: path.read_bytes() for path in (tmp_path / "uploads").iterdir()
    }


def test_move_reports_missing_picture_and_copies_others(
    app: Flask, anna: FlaskClient, bob: FlaskClient, bucket: Bucket, tmp_path: Path
) -> None:
    missing = get_account(anna)["image"]
    bucket.store.delete(missing)

    code, lines = move_pictures(app, str(tmp_path / "other"))

    assert code == 1
    assert [line for line in lines if missing in line] == [f"{missing} is missing in {bucket.url}."]
    assert "3 copied, 0 skipped, 1 missing." in lines
    assert {path.name for path in (tmp_path / "other").iterdir()} == bucket.names()


def test_move_to_unavailable_store_prints_one_line_error(
    app: Flask,
    anna: FlaskClient,
    make_app: MakeApp,
    make_app_without_storage: Callable[..., Flask],
    bucket: Bucket,
    tmp_path: Path,
) -> None:
    assert move_pictures(app, str(tmp_path / "other"))[0] == 0
    make_app_without_storage()
    app = make_app(UPLOADS_URL=str(tmp_path / "other"))

    code, lines = move_pictures(app, bucket.url)

    assert code == 1
    assert lines[-1].startswith("Error: Picture storage unavailable (Generic S3 error: ")
    assert len(lines) == 1


@pytest.mark.parametrize("target", ["s3://", "ftp://host", "https://bucket", "{same}"])
def test_move_to_invalid_target_prints_one_line_error(app: Flask, bucket: Bucket, target: str) -> None:
    code, lines = move_pictures(app, target.format(same=bucket.url))

    assert code == 1
    (line,) = lines
    assert line.startswith("Error: --to: ")


# --- Real server ---


def test_two_workers_store_serve_and_delete_pictures(tmp_path: Path, bucket: Bucket, s3: S3) -> None:
    with Server(tmp_path / "server", UPLOADS_URL=bucket.url, **s3.environment) as server:
        for number in range(8):
            body = {"username": f"User {number}", "email": f"u{number}@example.com", "password": PASSWORD}
            files = {"file": ("me.png", make_image((300, 400)))}
            with requests.Session() as session:
                registration = session.post(f"{server.url}/user/register", data=body, files=files, timeout=30)
                assert registration.status_code == 201
                image = registration.json()["data"]["image"]
                # A new connection each time, so that both workers respond.
                responses = [requests.get(f"{server.url}/profile_pics/{image}", timeout=30) for _ in range(4)]
                assert {response.content for response in responses} == {bucket.read(image)}
                if number % 2:
                    assert session.delete(
                        f"{server.url}/user/profile", json={"current_password": PASSWORD}, timeout=30
                    ).ok
        assert server.stop() == 0

    assert len(bucket.names()) == 8
