"""Pictures in a bucket, on a real server that speaks S3: the promises are those of a folder, also while it is down."""

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
# Within this a store that is down gives its answer.
PROMISED_SECONDS = 5


@pytest.fixture
def settings(settings: dict[str, Any], bucket: Bucket) -> dict[str, Any]:
    """Settings with the bucket as the place of the pictures."""
    return {**settings, "UPLOADS_URL": bucket.url}


def run(app: Flask, *arguments: str) -> Result:
    """What a command prints, and the code it ends with."""
    return app.test_cli_runner().invoke(args=arguments)


def get_account(client: FlaskClient) -> dict[str, Any]:
    return client.get("/user/profile").json["data"]


def files_of(account: dict[str, Any]) -> set[str]:
    """The names of both files of an account's picture."""
    return {account["image"], account["image"].replace(".", "_2x.")}


def seconds_of(deed: Callable[[], Any]) -> tuple[float, Any]:
    """How long a deed takes, and what it gives."""
    started = time.monotonic()
    given = deed()
    return time.monotonic() - started, given


# --- Kept ---


def test_a_registration_with_a_photo_keeps_two_objects_that_are_served(
    app: Flask, client: FlaskClient, bucket: Bucket
) -> None:
    response = client.post("/user/register", data={**CARL, "file": photo()})

    assert response.status_code == 201
    account = get_account(client)
    assert account == response.json["data"]
    assert not account["picture"]["is_default"]
    assert bucket.names() == files_of(account)
    for name in files_of(account):
        assert app.test_client().get(f"/profile_pics/{name}").data == bucket.read(name) != b""


def test_an_object_says_what_it_is(anna: FlaskClient, bucket: Bucket) -> None:
    attributes = bucket.store.get(get_account(anna)["image"]).attributes

    assert attributes["Content-Type"] == "image/webp"
    assert attributes["Cache-Control"] == "public, max-age=31536000, immutable"


def test_a_picture_is_served_as_from_a_folder(make_app: MakeApp, tmp_path: Path) -> None:
    answers = []
    for url in (
        {},
        {"UPLOADS_URL": str(tmp_path / "uploads"), "DATABASE_URL": f"sqlite:///{tmp_path / 'other.sqlite'}"},
    ):
        app = make_app(**url)
        run(app, "db", "upgrade")
        image = get_account(register(app, "Anna"))["image"]
        answer = app.test_client().get(f"/profile_pics/{image}", headers={"X-Request-ID": "same"})
        assert answer.headers.pop("ETag") == f'"{image.removesuffix(".webp")}"'
        answers.append((answer.status_code, answer.data, dict(answer.headers)))

    assert answers[0] == answers[1]
    assert answers[0][0] == 200
    assert answers[0][2]["Cache-Control"] == "public, max-age=31536000, immutable"


def test_returns_304_to_who_has_it_and_404_for_what_is_not_there(anna: FlaskClient, bucket: Bucket) -> None:
    image = get_account(anna)["image"]
    bucket.put("secret.webp")
    etag = anna.get(f"/profile_pics/{image}").headers["ETag"]

    assert anna.get(f"/profile_pics/{image}", headers={"If-None-Match": etag}).status_code == 304
    for name in ("0" * 32 + ".webp", "secret.webp", "..%2fprefix%2f" + image, "x"):
        assert api_error(anna.get(f"/profile_pics/{name}")) == (404, "not-found")


def test_the_objects_of_a_replaced_and_of_a_deleted_picture_are_gone_when_the_answer_is_sent(
    anna: FlaskClient, bucket: Bucket
) -> None:
    for change in (
        lambda: anna.put("/user/picture", data={"file": photo()}),
        lambda: anna.put("/user/picture", data={"file": photo("chelsea.png")}),
        lambda: anna.delete("/user/picture"),
    ):
        before = bucket.names()
        assert change().status_code == 200
        assert bucket.names() == files_of(get_account(anna))
        assert bucket.names().isdisjoint(before)

    assert anna.delete("/user/profile", json={"current_password": PASSWORD}).status_code == 200
    assert bucket.names() == set()


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"username": "anna"}, 409), ({"password": "short"}, 422), ({"file": (PHOTOS / "../s3.py", "me.jpg")}, 422)],
    ids=["taken", "short", "no-picture"],
)
def test_a_refused_registration_leaves_nothing(
    anna: FlaskClient, client: FlaskClient, bucket: Bucket, fields: dict[str, Any], status: int
) -> None:
    before = bucket.names()
    if "file" in fields:
        path, name = fields["file"]
        fields = {"file": (path.open("rb"), name)}

    assert client.post("/user/register", data={**CARL, "file": photo(), **fields}).status_code == status

    assert bucket.names() == before
    assert User.select().count() == 1


def test_of_two_uploads_at_once_one_stays_and_the_other_leaves_no_object(
    app: Flask, anna: FlaskClient, bucket: Bucket
) -> None:
    other = app.test_client()
    assert other.post("/user/login", json={"username": "Anna", "password": PASSWORD}).status_code == 200

    with interleave(app, lambda: other.put("/user/picture", data={"file": photo()})):
        assert anna.put("/user/picture", data={"file": photo("chelsea.png")}).status_code == 200

    assert bucket.names() == files_of(get_account(anna))


def test_prune_removes_what_no_account_names_and_nothing_else(app: Flask, anna: FlaskClient, bucket: Bucket) -> None:
    named = bucket.names()
    useless = {bucket.put("0" * 32 + ".webp"), bucket.put("1" * 32 + "_2x.webp")}
    others = {bucket.put("family.webp"), bucket.put("README.md"), bucket.put("below/" + "0" * 32 + ".webp")}

    young = run(app, "uploads", "prune")
    assert (young.exit_code, young.output) == (0, "Removed 0 files.\n")
    assert bucket.names() == named | useless | others

    # An object is of the second that it was put in, and the clock is that of the store.
    swept = run(app, "uploads", "prune", "--older-than", "-2")
    assert (swept.exit_code, swept.output) == (0, "Removed 2 files.\n")
    assert bucket.names() == named | others


def test_the_store_is_ready_where_it_takes_files_and_nothing_is_left_of_the_check(
    client: FlaskClient, bucket: Bucket
) -> None:
    assert client.get("/health/ready").json["data"]["store"] is True
    assert bucket.names() == set()


def test_the_rights_that_the_docs_give_are_enough_and_end_at_the_prefix(
    make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (policy,) = re.findall(r"^```json\n({\n +\"Version.*?)^```", UPLOADS_PAGE.read_text(), re.MULTILINE | re.DOTALL)
    # The first four calls are free, for who sets up the store.
    with S3(tmp_path, INITIAL_NO_AUTH_ACTION_COUNT="4") as guarded:
        guarded.make_bucket("kennel-pictures")
        options = {name.lower(): value for name, value in KEYS.items() if name != "AWS_REGION"}
        users = boto3.client("iam", endpoint_url=guarded.url, region_name="us-east-1", **options)
        users.create_user(UserName="kennel")
        users.put_user_policy(UserName="kennel", PolicyName="kennel", PolicyDocument=policy)
        key = users.create_access_key(UserName="kennel")["AccessKey"]
        for name, value in {
            "AWS_ENDPOINT_URL": guarded.url,
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            # moto does not look at these rights where many objects are removed by one call.
            "AWS_DISABLE_BULK_DELETE": "true",
        }.items():
            monkeypatch.setenv(name, value)
        app = make_app(UPLOADS_URL="s3://kennel-pictures/profile")
        anna = register(app, "Anna")
        log = capture_log()
        assert anna.put("/user/picture", data={"file": photo()}).status_code == 200
        assert anna.get(f"/profile_pics/{get_account(anna)['image']}").status_code == 200
        assert anna.get(f"/profile_pics/{'0' * 32}.webp").status_code == 404
        assert run(app, "uploads", "prune", "--older-than", "-2").output == "Removed 0 files.\n"
        elsewhere = make_app(UPLOADS_URL="s3://kennel-pictures/other").test_client()

        assert api_error(elsewhere.post("/user/register", json=CARL)) == (503, "unavailable")
    assert "Failed to delete" not in log.getvalue()


# --- Redirect ---


@pytest.fixture
def redirecting(make_app: MakeApp) -> Flask:
    """The application that sends browsers to the store."""
    return make_app(UPLOADS_REDIRECT="true")


def test_a_redirect_leads_to_the_bytes_for_longer_than_it_is_kept(redirecting: Flask, bucket: Bucket) -> None:
    image = get_account(register(redirecting, "Anna"))["image"]

    answer = redirecting.test_client().get(f"/profile_pics/{image}")

    assert (answer.status_code, answer.data) == (302, b"")
    privacy, kept = answer.headers["Cache-Control"].split(", max-age=")
    (lives,) = parse_qs(urlsplit(answer.location).query)["X-Amz-Expires"]
    assert privacy == "private"
    assert 0 < int(kept) < int(lives) <= 600
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    followed = requests.get(answer.location, timeout=30)
    assert (followed.status_code, followed.content) == (200, bucket.read(image))
    assert followed.headers["Content-Type"] == "image/webp"


def test_a_head_is_sent_to_a_url_for_heads(redirecting: Flask) -> None:
    image = get_account(register(redirecting, "Anna"))["image"]

    answer = redirecting.test_client().head(f"/profile_pics/{image}")

    assert answer.status_code == 302
    assert requests.head(answer.location, timeout=30).status_code == 200


def test_a_redirect_to_nothing_is_404_in_the_envelope(redirecting: Flask, bucket: Bucket) -> None:
    bucket.put("secret.webp")
    client = redirecting.test_client()

    for name in ("0" * 32 + ".webp", "secret.webp", "x"):
        assert api_error(client.get(f"/profile_pics/{name}")) == (404, "not-found")


@pytest.mark.parametrize("redirects", [True, False])
def test_the_page_of_the_client_may_show_pictures_of_the_store_where_it_is_sent_there(
    make_app: MakeApp, s3: S3, tmp_path: Path, redirects: bool
) -> None:
    app = make_app(UPLOADS_REDIRECT=str(redirects))
    client_build.set(app, tmp_path)
    (tmp_path / "index.html").write_text("<title>Kennel</title>")

    policy = app.test_client().get("/", headers={"Accept": "text/html"}).headers["Content-Security-Policy"]

    (images,) = re.findall("img-src ([^;]+);", policy)
    assert (s3.url in images.split()) == redirects
    assert policy.count(s3.url) == int(redirects)


# --- Down ---


@pytest.fixture
def down(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Flask]:
    """Makes the application with a store that is away at this endpoint, on the database that is there."""

    def make(endpoint: str = "") -> Flask:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint or f"http://127.0.0.1:{free_port()}")
        return make_app()

    return make


@pytest.mark.parametrize("testing", [True, False], ids=["testing", "production"])
def test_a_store_that_is_down_is_503_and_leaves_no_row(
    down: Callable[..., Flask], settings: dict[str, Any], testing: bool
) -> None:
    settings |= {"TESTING": testing, "BCRYPT_LOG_ROUNDS": 10}
    client = down().test_client()
    log = capture_log()

    took, answer = seconds_of(lambda: client.post("/user/register", data={**CARL, "file": photo()}))

    assert api_error(answer) == (503, "unavailable")
    assert answer.json["status"]["message"].startswith(STORAGE_UNAVAILABLE)
    assert int(answer.headers["Retry-After"]) > 0
    assert took < PROMISED_SECONDS
    assert User.select().count() == 0
    assert "Unhandled exception (Generic S3 error: " in log.getvalue()


def test_while_the_store_is_down_only_pictures_fail(app: Flask, down: Callable[..., Flask], bucket: Bucket) -> None:
    account = get_account(register(app, "Anna"))
    before = bucket.names()
    later = down()
    anna = later.test_client()

    assert anna.post("/user/login", json={"username": "Anna", "password": PASSWORD}).status_code == 200
    assert get_account(anna) == account
    picture = anna.get(f"/profile_pics/{account['image']}")
    assert api_error(picture) == (503, "unavailable")
    assert int(picture.headers["Retry-After"]) > 0
    assert api_error(anna.put("/user/picture", data={"file": photo()})) == (503, "unavailable")
    assert api_error(anna.delete("/user/picture")) == (503, "unavailable")
    assert get_account(anna) == account
    assert anna.delete("/user/profile", json={"current_password": PASSWORD}).status_code == 200
    assert bucket.names() == before  # left to `prune`
    assert api_error(anna.get("/health/ready")) == (503, "unavailable")
    pruned = run(later, "uploads", "prune")
    assert (pruned.exit_code, len(pruned.output.splitlines())) == (1, 1)
    assert pruned.output.startswith("Error: Picture storage unavailable (Generic S3 error: ")


def test_a_store_that_hangs_is_503_in_time_and_leaves_no_half_picture(
    make_app: MakeApp, own_s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = own_s3.make_bucket()
    monkeypatch.setenv("AWS_ENDPOINT_URL", own_s3.url)
    app = make_app(UPLOADS_URL=bucket.url)
    client = register(app, "Anna")
    before = bucket.names()
    body = {**CARL, "file": photo()}
    own_s3.suspend()

    took, answer = seconds_of(lambda: app.test_client().post("/user/register", data=body))
    read_took, picture = seconds_of(lambda: client.get(f"/profile_pics/{get_account(client)['image']}"))
    own_s3.resume()

    assert api_error(answer) == api_error(picture) == (503, "unavailable")
    assert took < PROMISED_SECONDS
    assert read_took < PROMISED_SECONDS
    assert User.select().count() == 1
    assert before <= bucket.names()
    assert client.put("/user/picture", data={"file": photo()}).status_code == 200


def test_a_store_that_comes_back_is_used_again(make_app: MakeApp, own_s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = own_s3.make_bucket()
    monkeypatch.setenv("AWS_ENDPOINT_URL", own_s3.url)
    client = make_app(UPLOADS_URL=bucket.url).test_client()
    own_s3.process.kill()
    own_s3.process.wait()
    refused = client.post("/user/register", json=CARL)

    with own_s3:
        own_s3.make_bucket(bucket.name)
        taken = client.post("/user/register", json=CARL)

    assert (refused.status_code, taken.status_code) == (503, 201)


def test_a_bucket_that_is_missing_is_503_and_not_404(make_app: MakeApp, anna: FlaskClient) -> None:
    image = get_account(anna)["image"]
    client = make_app(UPLOADS_URL="s3://no-such-bucket").test_client()
    log = capture_log()

    assert api_error(client.post("/user/register", json=CARL)) == (503, "unavailable")
    assert api_error(client.get(f"/profile_pics/{image}")) == (503, "unavailable")
    assert "The bucket does not exist" in log.getvalue()


def test_readers_of_pictures_on_a_store_that_hangs_stop_nobody_else(tmp_path: Path, own_s3: S3) -> None:
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

        took = []
        while len(select.select(readers, [], [], 0)[0]) < len(readers):
            took.append(
                seconds_of(lambda: requests.get(f"{server.url}/user/{account['id']}", timeout=30).raise_for_status())[0]
            )

        assert max(took) < TIMEOUT_SECONDS / 2  # who finds no thread waits for those that wait for the store
        assert {reader.recv(12) for reader in readers} == {b"HTTP/1.1 503"}


# --- Settings ---


def test_an_endpoint_that_is_no_url_stops_the_start_with_one_line(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost:9000")

    with pytest.raises(ValueError, match=r"^AWS_ENDPOINT_URL: it must be a URL\. For example: https://\S+$"):
        make_app()


def test_the_way_to_the_store_may_stand_in_the_file(
    make_app: MakeApp, s3: S3, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in s3.environment:
        monkeypatch.delenv(name)
    (tmp_path / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in s3.environment.items()))
    monkeypatch.setattr("api.config.ROOT", tmp_path)

    register(make_app(), "Anna")

    assert len(bucket.names()) == 2


def test_making_the_application_opens_no_connection_to_the_store(down: Callable[..., Flask]) -> None:
    app = down()

    assert "store" not in vars(picture_store.get(app).files)
    assert app.test_client().get("/health/live").status_code == 200


# --- Moved ---


def move(app: Flask, to: str) -> tuple[int, list[str]]:
    """How `uploads move` ends, and the lines it prints."""
    result = run(app, "uploads", "move", "--to", to)
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result.exit_code, result.output.splitlines()


def test_pictures_move_from_a_folder_to_a_bucket_and_back(make_app: MakeApp, bucket: Bucket, tmp_path: Path) -> None:
    folder, other = tmp_path / "uploads", tmp_path / "other"
    app = make_app(UPLOADS_URL=str(folder))
    account = get_account(register(app, "Anna"))
    bob = register(app, "Bob")
    assert bob.put("/user/picture", data={"file": photo()}).status_code == 200
    (folder / ("0" * 32 + ".webp")).write_bytes(b"no account names this")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    named = files_of(account) | files_of(get_account(bob))

    code, lines = move(app, bucket.url)

    assert code == 0
    assert lines[-2:] == [
        "4 copied, 0 skipped, 0 missing.",
        f"To use them, set UPLOADS_URL={bucket.url} and restart the server.",
    ]
    assert bucket.names() == named
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    moved = make_app(UPLOADS_URL=bucket.url)
    answer = moved.test_client().get(f"/profile_pics/{account['image']}")
    assert (answer.status_code, answer.data) == (200, files[account["image"]])

    assert move(moved, str(other))[0] == 0
    assert {path.name: path.read_bytes() for path in other.iterdir()} == {name: files[name] for name in named}


def test_a_move_that_was_interrupted_goes_on_and_mends_what_is_wrong(
    make_app: MakeApp, bucket: Bucket, tmp_path: Path
) -> None:
    app = make_app(UPLOADS_URL=str(tmp_path / "uploads"))
    names = sorted(files_of(get_account(register(app, "Anna"))) | files_of(get_account(register(app, "Bob"))))
    assert move(app, bucket.url)[0] == 0
    bucket.store.delete(names[0])
    bucket.put(names[1], b"half")

    code, lines = move(app, bucket.url)

    assert (code, lines[-2]) == (0, "2 copied, 2 skipped, 0 missing.")
    assert {name: bucket.read(name) for name in names} == {
        path.name: path.read_bytes() for path in (tmp_path / "uploads").iterdir()
    }


def test_a_picture_that_is_missing_is_named_and_the_others_are_copied(
    app: Flask, anna: FlaskClient, bob: FlaskClient, bucket: Bucket, tmp_path: Path
) -> None:
    gone = get_account(anna)["image"]
    bucket.store.delete(gone)

    code, lines = move(app, str(tmp_path / "other"))

    assert code == 1
    assert [line for line in lines if gone in line] == [f"{gone} is missing in {bucket.url}."]
    assert "3 copied, 0 skipped, 1 missing." in lines
    assert {path.name for path in (tmp_path / "other").iterdir()} == bucket.names()


def test_a_move_to_a_store_that_is_down_is_told_in_one_line(
    app: Flask, anna: FlaskClient, make_app: MakeApp, down: Callable[..., Flask], bucket: Bucket, tmp_path: Path
) -> None:
    assert move(app, str(tmp_path / "other"))[0] == 0
    down()
    app = make_app(UPLOADS_URL=str(tmp_path / "other"))

    code, lines = move(app, bucket.url)

    assert code == 1
    assert lines[-1].startswith("Error: Picture storage unavailable (Generic S3 error: ")
    assert len(lines) == 1


@pytest.mark.parametrize("place", ["s3://", "ftp://host", "https://bucket", "{same}"])
def test_a_move_to_no_other_place_is_refused_in_one_line(app: Flask, bucket: Bucket, place: str) -> None:
    code, lines = move(app, place.format(same=bucket.url))

    assert code == 1
    (line,) = lines
    assert line.startswith("Error: --to: ")


# --- The real server ---


def test_two_worker_processes_keep_serve_and_remove_pictures(tmp_path: Path, bucket: Bucket, s3: S3) -> None:
    with Server(tmp_path / "server", UPLOADS_URL=bucket.url, **s3.environment) as server:
        for number in range(8):
            body = {"username": f"User {number}", "email": f"u{number}@example.com", "password": PASSWORD}
            files = {"file": ("me.png", make_image((300, 400)))}
            with requests.Session() as session:
                made = session.post(f"{server.url}/user/register", data=body, files=files, timeout=30)
                assert made.status_code == 201
                image = made.json()["data"]["image"]
                # A connection of its own each time, so that both workers answer.
                served = [requests.get(f"{server.url}/profile_pics/{image}", timeout=30) for _ in range(4)]
                assert {answer.content for answer in served} == {bucket.read(image)}
                if number % 2:
                    assert session.delete(
                        f"{server.url}/user/profile", json={"current_password": PASSWORD}, timeout=30
                    ).ok
        assert server.stop() == 0

    assert len(bucket.names()) == 8
