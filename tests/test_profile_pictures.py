"""Profile pictures over HTTP: their names, files and headers, what is refused, and that no file is ever left over."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from models import User

from .engines import BOTH_ENGINES
from .factories import (
    PASSWORD,
    PHOTOS,
    api_error,
    interleave,
    make_image,
    multipart_form,
    photo,
    register,
    trace_sql,
)

Uploads = Callable[[], set[str]]

CARL = {"username": "Carl", "email": "carl@example.com", "password": PASSWORD}
MIB = 1024 * 1024
NAME = re.compile(r"[0-9a-f]{32}\.webp")


def upload(content: bytes, name: str = "photo.png", kind: str | None = None) -> tuple[Any, ...]:
    """A file, as the test client uploads it."""
    file = (io.BytesIO(content), name)
    return file if kind is None else (*file, kind)


def profile(client: FlaskClient) -> dict[str, Any]:
    """The account that a client is logged in by."""
    return client.get("/user/profile").json["data"]


def put(client: FlaskClient, content: bytes) -> dict[str, Any]:
    """The account, once it has this picture."""
    response = client.put("/user/picture", data={"file": upload(content)})
    assert response.status_code == 200, response.json
    return response.json["data"]


def double_of(image: str) -> str:
    """The name of the file of twice the size."""
    return image.replace(".", "_2x.")


def served(client: FlaskClient, image: str) -> Image.Image:
    """The picture that is served under this name."""
    response = client.get(f"/profile_pics/{image}")
    assert response.status_code == 200
    return Image.open(io.BytesIO(response.data))


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file (PNG, third edition, section 5.3)."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def padded(size: int) -> bytes:
    """A good picture of exactly so many bytes."""
    picture = make_image()
    end = picture[-12:]
    return picture[:-12] + chunk(b"teSt", bytes(size - len(picture) - 12)) + end


def zipped() -> bytes:
    """A zip file with a picture in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("photo.png", make_image())
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG of a few hundred bytes that announces 2.5 gigapixels, and holds none of them."""
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


# The default picture


@pytest.mark.parametrize("username", ["Anna", "x" * 40, "🐶", "אנה", "--"])
def test_an_account_without_a_picture_has_a_default_one(
    app: Flask, client: FlaskClient, uploads: Uploads, username: str
) -> None:
    account = profile(register(app, username, email="anna@example.com"))

    image = account["image"]
    assert NAME.fullmatch(image)
    assert uploads() == {image, double_of(image)}
    sizes = [served(client, name).size for name in (image, double_of(image))]
    assert sizes == [(125, 175), (250, 350)]
    assert {name: account["picture"][name] for name in ("width", "height", "is_default")} == {
        "width": 125,
        "height": 175,
        "is_default": True,
    }


def test_the_same_name_gives_the_same_drawing_under_another_url(app: Flask, client: FlaskClient) -> None:
    accounts = []
    for _ in range(2):
        anna = register(app, "Anna")
        account = profile(anna)
        accounts.append((account["image"], client.get(f"/profile_pics/{account['image']}").data))
        anna.delete("/user/profile", json={"current_password": PASSWORD})
    bob = profile(register(app, "Bob"))["image"]

    (first, drawing), (second, again) = accounts
    assert drawing == again != client.get(f"/profile_pics/{bob}").data
    assert first != second


def test_a_new_name_redraws_the_default_picture(
    app: Flask, client: FlaskClient, anna: FlaskClient, uploads: Uploads
) -> None:
    before = profile(anna)

    after = anna.patch("/user/profile", json={"username": "Zoe"}).json["data"]

    drawing = client.get(f"/profile_pics/{after['image']}").data
    assert after["image"] != before["image"]
    assert after["picture"]["is_default"]
    assert uploads() == {after["image"], double_of(after["image"])}
    anna.delete("/user/profile", json={"current_password": PASSWORD})
    zoe = profile(register(app, "Zoe"))["image"]
    assert drawing == client.get(f"/profile_pics/{zoe}").data


def test_a_new_name_leaves_an_own_picture_alone(anna: FlaskClient, uploads: Uploads) -> None:
    before = put(anna, make_image())

    after = anna.patch("/user/profile", json={"username": "Zoe"}).json["data"]

    assert (after["image"], after["picture"]) == (before["image"], before["picture"])
    assert uploads() == {before["image"], double_of(before["image"])}


def test_a_new_email_leaves_the_default_picture_alone(anna: FlaskClient) -> None:
    before = profile(anna)

    after = anna.patch("/user/profile", json={"email": "zoe@example.com", "current_password": PASSWORD}).json["data"]

    assert after["image"] == before["image"]


# What the account says of it


@pytest.mark.parametrize(
    ("size", "normal", "double"),
    [
        pytest.param((1000, 1400), (125, 175), (250, 350), id="of-the-shape"),
        pytest.param((1000, 500), (125, 62), (250, 125), id="wide"),
        pytest.param((350, 1400), (44, 175), (88, 350), id="tall"),
        pytest.param((200, 210), (125, 131), (200, 210), id="between-the-sizes"),
        pytest.param((125, 175), (125, 175), None, id="of-normal-size"),
        pytest.param((3, 2), (3, 2), None, id="tiny"),
    ],
)
def test_the_picture_is_ready_for_an_img(
    anna: FlaskClient,
    uploads: Uploads,
    size: tuple[int, int],
    normal: tuple[int, int],
    double: tuple[int, int] | None,
) -> None:
    account = put(anna, make_image(size))

    image, folder = account["image"], "http://localhost:8000/profile_pics"
    sources = [f"{folder}/{image} 1x", *([f"{folder}/{double_of(image)} 2x"] if double else [])]
    assert account["picture"] == {
        "url": f"{folder}/{image}",
        "srcset": ", ".join(sources),
        "width": normal[0],
        "height": normal[1],
        "is_default": False,
    }
    assert {name: served(anna, name).size for name in uploads()} == {
        image: normal,
        **({double_of(image): double} if double else {}),
    }


@pytest.mark.parametrize("headers", [
    {"Host": "evil.example"},
    {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "ftp", "X-Forwarded-Port": "81"},
    {"Forwarded": "host=evil.example"},
])  # fmt: skip
@pytest.mark.parametrize("public_url", ["https://kennel.example", "http://kennel.example:8080"])
def test_urls_are_made_from_public_url_and_from_no_header(
    make_app: Callable[..., Flask], public_url: str, headers: dict[str, str]
) -> None:
    app = make_app(PUBLIC_URL=public_url, TRUSTED_PROXIES=1)
    image = profile(register(app, "Anna"))["image"]

    picture = app.test_client().get("/user/1", headers=headers).json["data"]["picture"]

    url = f"{public_url}/profile_pics/{image}"
    assert picture["url"] == url
    assert picture["srcset"] == f"{url} 1x, {public_url}/profile_pics/{double_of(image)} 2x"


# Uploads


@pytest.mark.parametrize("way", ["register", "patch", "put"])
def test_an_upload_becomes_the_picture_and_nothing_of_it_is_left(
    app: Flask, client: FlaskClient, uploads: Uploads, way: str
) -> None:
    name = "../../evil.html"
    buffer = io.BytesIO()
    Image.new("RGB", (300, 400), "red").save(buffer, "JPEG", comment=b"a secret comment")
    file = {"file": upload(buffer.getvalue(), name, "text/html")}

    if way == "register":
        response = client.post("/user/register", data={**CARL, **file})
    else:
        client = register(app, "Carl")
        verb, path = {"patch": ("PATCH", "/user/profile"), "put": ("PUT", "/user/picture")}[way]
        response = client.open(path, method=verb, data=file)

    account = response.json["data"]
    assert response.status_code == (201 if way == "register" else 200)
    assert profile(client) == account
    assert not account["picture"]["is_default"]
    assert uploads() == {account["image"], double_of(account["image"])}
    for stored in uploads():
        picture = served(client, stored)
        assert (picture.format, "secret" in repr(picture.info)) == ("WEBP", False)
        red, green, blue = picture.convert("RGB").getpixel((60, 80))
        assert red > 240 > 20 > max(green, blue)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "AVIF"])
@pytest.mark.parametrize(("name", "declared"), [("photo.svg", "image/svg+xml"), ("x", "text/plain"), (".", "")])
def test_takes_a_picture_by_its_content_whatever_it_is_called(
    anna: FlaskClient, kind: str, name: str, declared: str
) -> None:
    response = anna.put("/user/picture", data={"file": upload(make_image((30, 40), kind), name, declared)})

    assert response.status_code == 200
    assert response.json["data"]["picture"]["is_default"] is False


def test_takes_a_photograph_with_name_and_email_in_one_patch(anna: FlaskClient) -> None:
    change = {"username": "Anne", "email": "anne@example.com", "current_password": PASSWORD, "file": photo()}

    account = anna.patch("/user/profile", data=change).json["data"]

    assert (account["username"], account["email"]) == ("Anne", "anne@example.com")
    assert not account["picture"]["is_default"]


BAD_FILES: dict[str, bytes] = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "html": b"<!doctype html><script>alert(1)</script>",
    "pdf": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
    "zip": zipped(),
    "text": b"a photograph of me",
    "zero-bytes": b"",
    "truncated-jpeg": (PHOTOS / "grace_hopper.jpg").read_bytes()[:-2000],
    "truncated-png": make_image()[:-20],
    "magic-alone": b"\x89PNG\r\n\x1a\n",
    "bomb": bomb(),
    "bmp": make_image(kind="BMP"),
    "tiff": make_image(kind="TIFF"),
}


@pytest.mark.parametrize("content", BAD_FILES.values(), ids=BAD_FILES)
def test_returns_422_naming_the_file_and_leaves_no_file_when_it_is_no_picture(
    client: FlaskClient, uploads: Uploads, content: bytes
) -> None:
    response = client.post("/user/register", data={**CARL, "file": upload(content, "photo.jpg", "image/jpeg")})

    assert (response.status_code, set(response.json["error"]["fields"])) == (422, {"file"})
    assert (User.select().count(), uploads()) == (0, set())


BAD_PARTS = {
    "text": multipart_form(("file", None, b"photo.jpg")),
    "picture-as-text": multipart_form(("file", None, b"GIF89a")),
    "empty-text": multipart_form(("file", None, b"")),
    "two-files": multipart_form(("file", "a.png", make_image()), ("file", "b.png", make_image())),
    "file-and-text": multipart_form(("file", "a.png", make_image()), ("file", None, b"b.png")),
    "form": {"data": {"file": "photo.jpg"}},
    "json-text": {"json": {"file": "photo.jpg"}},
    "json-null": {"json": {"file": None}},
    "json-data-url": {"json": {"file": "data:image/gif;base64,R0lGODdh"}},
    "json-object": {"json": {"file": {"stream": "x"}}},
    "json-list": {"json": {"file": [{}]}},
    "nothing-as-json": {"json": {}},
    "nothing-as-form": multipart_form(),
    "empty-file-input": multipart_form(("file", "", b"")),
}


@pytest.mark.parametrize("content", BAD_PARTS.values(), ids=BAD_PARTS)
def test_put_picture_returns_422_naming_the_file_when_it_is_not_one_file(
    anna: FlaskClient, uploads: Uploads, content: dict[str, Any]
) -> None:
    before, files = profile(anna), uploads()

    response = anna.put("/user/picture", **content)

    assert (response.status_code, set(response.json["error"]["fields"])) == (422, {"file"})
    assert (profile(anna), uploads()) == (before, files)


def test_register_names_the_fields_beside_two_files(client: FlaskClient, uploads: Uploads) -> None:
    form = multipart_form(("file", "a.png", make_image()), ("file", "b.png", make_image()), ("email", None, b"none"))

    response = client.post("/user/register", **form)

    assert response.status_code == 422
    assert set(response.json["error"]["fields"]) == {"file", "username", "email", "password"}


@pytest.mark.parametrize("kind", ["multipart", "json"])
def test_register_as_json_takes_no_file(client: FlaskClient, kind: str) -> None:
    content = {"json": {**CARL, "file": "photo.jpg"}} if kind == "json" else {"data": {**CARL, "file": "photo.jpg"}}

    response = client.post("/user/register", **content)

    assert (response.status_code, set(response.json["error"]["fields"])) == (422, {"file"})


@pytest.mark.parametrize(
    ("field", "content"),
    [
        pytest.param("picture", make_image(), id="under-another-name"),
        pytest.param("username", b"Anna", id="as-username"),
        pytest.param("password", b"correct horse", id="as-password"),
    ],
)
def test_returns_422_naming_a_file_where_none_belongs(
    client: FlaskClient, uploads: Uploads, field: str, content: bytes
) -> None:
    response = client.post("/user/register", data={**CARL, field: upload(content)})

    assert (response.status_code, set(response.json["error"]["fields"])) == (422, {field})
    assert (User.select().count(), uploads()) == (0, set())


TEXTS = [(name, None, value.encode()) for name, value in CARL.items()]


@pytest.mark.parametrize(
    ("files", "is_default"),
    [
        pytest.param([("file", "", b"")], True, id="one-that-is-empty"),
        pytest.param([("file", "", b""), ("file", "", b"")], True, id="two-that-are-empty"),
        pytest.param([("file", "", b""), ("file", "a.png", make_image())], False, id="one-empty-one-not"),
        pytest.param([("file", "", make_image())], False, id="a-picture-without-a-name"),
        pytest.param([("banner", "", b"")], True, id="an-empty-one-of-another-name"),
    ],
)
def test_an_empty_file_input_counts_as_no_file(client: FlaskClient, files: Any, is_default: bool) -> None:
    response = client.post("/user/register", **multipart_form(*TEXTS, *files))

    assert response.status_code == 201
    assert response.json["data"]["picture"]["is_default"] is is_default


@pytest.mark.parametrize("way", ["register", "patch", "put"])
@pytest.mark.parametrize(
    ("size", "refused"),
    [
        pytest.param(10 * MIB, False, id="10-MiB"),
        pytest.param(10 * MIB + 1, True, id="one-byte-more"),
        pytest.param(10 * MIB + 64 * 1024, True, id="over-the-limit-of-the-body"),
    ],
)
def test_returns_413_for_a_file_over_10_mib(
    app: Flask, client: FlaskClient, uploads: Uploads, way: str, size: int, refused: bool
) -> None:
    verb, path = {"register": ("POST", "/user/register"), "patch": ("PATCH", "/user/profile")}.get(
        way, ("PUT", "/user/picture")
    )
    client = client if way == "register" else register(app, "Carl")
    users, files = User.select().count(), uploads()
    form = multipart_form(*(TEXTS if way == "register" else []), ("file", "photo.png", padded(size)))

    response = client.open(path, method=verb, **form)

    assert response.status_code == (413 if refused else 201 if way == "register" else 200)
    if refused:
        assert response.json["error"]["type"] == "/errors/too-large"
        assert (User.select().count(), uploads()) == (users, files)


def test_two_files_that_are_too_large_together_are_413(anna: FlaskClient) -> None:
    form = multipart_form(("file", "a.png", padded(6 * MIB)), ("file", "b.png", padded(6 * MIB)))

    assert anna.put("/user/picture", **form).status_code == 413


@pytest.mark.parametrize("path", ["/user/login", "/user/password"])
def test_a_file_is_too_large_where_none_is_taken(anna: FlaskClient, path: str) -> None:
    verb = "PUT" if path == "/user/password" else "POST"

    assert anna.open(path, method=verb, data={"file": upload(padded(100_000))}).status_code == 413


# Another picture


@pytest.mark.parametrize("way", ["put", "patch", "delete"])
def test_a_replaced_picture_has_a_new_url_and_its_files_are_gone(
    anna: FlaskClient, client: FlaskClient, uploads: Uploads, way: str
) -> None:
    old = put(anna, make_image())

    if way == "delete":
        response = anna.delete("/user/picture")
    else:
        path = "/user/picture" if way == "put" else "/user/profile"
        response = anna.open(path, method=way.upper(), data={"file": upload(make_image())})

    new = response.json["data"]
    assert response.status_code == 200
    assert new == profile(anna)
    assert new["picture"]["is_default"] is (way == "delete")
    assert uploads() == {new["image"], double_of(new["image"])}
    assert not uploads() & {old["image"], double_of(old["image"])}
    gone = [client.get(f"/profile_pics/{name}").status_code for name in (old["image"], double_of(old["image"]))]
    assert gone == [404, 404]


def test_a_picture_without_a_double_takes_the_old_ones_double_with_it(anna: FlaskClient, uploads: Uploads) -> None:
    put(anna, make_image((250, 350)))

    account = put(anna, make_image((20, 30)))

    assert uploads() == {account["image"]}


def test_deleting_the_default_picture_gives_the_default_picture(anna: FlaskClient, uploads: Uploads) -> None:
    response = anna.delete("/user/picture")

    account = response.json["data"]
    assert (response.status_code, account["picture"]["is_default"]) == (200, True)
    assert uploads() == {account["image"], double_of(account["image"])}


@BOTH_ENGINES
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param({"username": "BOB"}, 409, id="name-taken"),
        pytest.param({"email": "bob@example.com", "current_password": PASSWORD}, 409, id="email-taken"),
        pytest.param({"email": "new@example.com", "current_password": "correct house"}, 403, id="wrong-password"),
        pytest.param({"email": "new@example.com"}, 422, id="no-password"),
        pytest.param({"username": ""}, 422, id="bad-name"),
        pytest.param({"image": "x.webp"}, 422, id="unknown-field"),
    ],
)
@pytest.mark.parametrize("with_file", [True, False], ids=["with-a-file", "without-a-file"])
def test_a_refused_patch_leaves_the_old_picture_and_no_other_file(
    anna: FlaskClient, bob: FlaskClient, uploads: Uploads, fields: dict[str, str], status: int, with_file: bool
) -> None:
    before, files = profile(anna), uploads()
    file = {"file": upload(make_image())} if with_file else {}

    response = anna.patch("/user/profile", data={**fields, **file})

    assert response.status_code == status
    assert (profile(anna), uploads()) == (before, files)


# How it is served


@pytest.mark.parametrize("which", ["normal", "double"])
@pytest.mark.parametrize("is_default", [True, False], ids=["default", "own"])
def test_a_picture_is_served_to_be_kept_for_good_and_shown_anywhere(
    client: FlaskClient, anna: FlaskClient, which: str, is_default: bool
) -> None:
    image = (profile(anna) if is_default else put(anna, make_image()))["image"]

    response = client.get(f"/profile_pics/{image if which == 'normal' else double_of(image)}")

    assert response.status_code == 200
    assert response.data[:4] + response.data[8:12] == b"RIFFWEBP"
    expected = {
        "Content-Type": "image/webp",
        "Content-Length": str(len(response.data)),
        "Cache-Control": "public, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    assert {name: response.headers.get(name) for name in expected} == expected
    assert re.fullmatch(r'"[!#-~]+"', response.headers["ETag"])  # strong (RFC 9110, section 8.8.3)


def test_normal_and_double_have_two_etags(client: FlaskClient, anna: FlaskClient) -> None:
    image = profile(anna)["image"]

    etags = {client.get(f"/profile_pics/{name}").headers["ETag"] for name in (image, double_of(image))}

    assert len(etags) == 2


def test_a_shared_cache_may_keep_what_it_served_to_who_is_logged_in(anna: FlaskClient) -> None:
    response = anna.get(f"/profile_pics/{profile(anna)['image']}")

    assert "Set-Cookie" not in response.headers
    assert "Cookie" not in response.headers["Vary"]
    assert response.headers["Cache-Control"].startswith("public")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("{etag}", 304),
        ("W/{etag}", 304),
        ('"other", {etag}', 304),
        ("*", 304),
        ('"other"', 200),
        ("{etag}x", 200),
        ('""', 200),
        ("", 200),
    ],
)
@pytest.mark.parametrize("verb", ["GET", "HEAD"])
def test_returns_304_to_who_has_it(client: FlaskClient, anna: FlaskClient, verb: str, sent: str, status: int) -> None:
    path = f"/profile_pics/{profile(anna)['image']}"
    first = client.get(path)

    response = client.open(path, method=verb, headers={"If-None-Match": sent.format(etag=first.headers["ETag"])})

    assert response.status_code == status
    assert response.data == (first.data if (status, verb) == (200, "GET") else b"")
    # RFC 9110, section 15.4.5: what a 200 would have said of how to keep it.
    for name in ("ETag", "Cache-Control", "Vary", "Cross-Origin-Resource-Policy", "Content-Security-Policy"):
        assert response.headers[name] == first.headers[name]


def test_a_picture_that_is_gone_is_404_also_to_who_has_it(client: FlaskClient, anna: FlaskClient) -> None:
    path = f"/profile_pics/{profile(anna)['image']}"
    etag = client.get(path).headers["ETag"]
    anna.delete("/user/picture")

    response = client.get(path, headers={"If-None-Match": etag})

    assert (response.status_code, response.json["error"]["type"]) == (404, "/errors/not-found")
    assert "immutable" not in response.headers["Cache-Control"]


@pytest.mark.parametrize("name", [
    "secret", "secret.webp", "../secret", "..%2fsecret", "%2e%2e/secret", "..%5csecret", "%2fetc%2fpasswd",
    "{image}%00", "{image}%0a", "{upper}", ".{image}", "{image}.bak", "{stem}", "{stem}_3x.webp", "{image}/x", "%", ".",
])  # fmt: skip
def test_serves_nothing_but_pictures(
    settings: dict[str, Any], client: FlaskClient, anna: FlaskClient, name: str
) -> None:
    image = profile(anna)["image"]
    folder = Path(settings["UPLOADS_URL"])
    for path in ("secret", "secret.webp", "../secret", f".{image}", f"{image}.bak", image.removesuffix(".webp")):
        (folder / path).write_bytes(b"a secret")

    wanted = name.format(image=image, upper=image.upper(), stem=image.removesuffix(".webp"))
    response = client.get(f"/profile_pics/{wanted}")

    assert response.status_code == 404
    assert b"a secret" not in response.data


# Files and rows


@BOTH_ENGINES
def test_the_files_are_flushed_then_renamed_then_named_by_a_row(
    app: Flask, anna: FlaskClient, uploads: Uploads, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(settings["UPLOADS_URL"])
    events: list[str] = []
    there: list[set[str]] = []
    flushed: set[int] = set()
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        fsync(descriptor)
        flushed.add(os.fstat(descriptor).st_ino)
        if os.fstat(descriptor).st_ino == folder.stat().st_ino:
            events.append("folder flushed")

    def noted_replace(source: Any, target: Any) -> None:
        whole = os.stat(source).st_ino in flushed and not os.path.exists(target)
        events.append("renamed when whole" if whole else "renamed too early")
        replace(source, target)

    def note_row(statement: str) -> None:
        if statement.startswith('UPDATE "users"'):
            there.append(uploads())
            events.append("row")

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    with trace_sql(app, note_row):
        image = put(anna, make_image())["image"]

    assert events == ["renamed when whole", "renamed when whole", "folder flushed", "row"]
    assert {image, double_of(image)} <= there[0]


@BOTH_ENGINES
def test_the_files_of_a_new_account_are_there_before_its_row(app: Flask, uploads: Uploads) -> None:
    there: list[set[str]] = []

    def note_row(statement: str) -> None:
        if statement.startswith('INSERT INTO "users"'):
            there.append(uploads())

    app.extensions["database"].connect()
    with trace_sql(app, note_row):
        image = profile(register(app, "Anna"))["image"]

    assert there == [{image, double_of(image)}]


@pytest.mark.parametrize("last_good", [0, 1, 2])
@pytest.mark.parametrize("way", ["register", "put", "rename"])
def test_a_disk_that_is_full_leaves_no_new_file_and_changes_no_row(
    app: Flask, client: FlaskClient, uploads: Uploads, monkeypatch: pytest.MonkeyPatch, way: str, last_good: int
) -> None:
    client = client if way == "register" else register(app, "Anna")
    rows, files = list(User.select().dicts()), uploads()
    fsync, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > last_good:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    verb, path, fields = {
        "register": ("POST", "/user/register", {**CARL, "file": upload(make_image())}),
        "put": ("PUT", "/user/picture", {"file": upload(make_image())}),
        "rename": ("PATCH", "/user/profile", {"username": "Zoe"}),
    }[way]
    response = client.open(path, method=verb, data=fields)

    assert api_error(response) == (507, "insufficient-storage")
    assert "No space" not in response.get_data(as_text=True)
    assert (list(User.select().dicts()), uploads()) == (rows, files)


def test_prune_sweeps_what_a_crash_left_and_nothing_else(
    app: Flask, anna: FlaskClient, uploads: Uploads, settings: dict[str, Any]
) -> None:
    put(anna, make_image())
    folder, kept = Path(settings["UPLOADS_URL"]), uploads()
    stem = hashlib.md5(b"x", usedforsecurity=False).hexdigest()
    left = {f"{stem}.webp", f"{stem}_2x.webp", f".{stem}.webp"}
    foreign = {".gitkeep", "notes.txt", "holiday.webp"}
    young = {f"{stem[::-1]}.webp", f".{stem[::-1]}_2x.webp"}
    for name in left | foreign | young:
        (folder / name).write_bytes(b"x")
    for name in left | foreign | kept:
        os.utime(folder / name, (0, 0))

    first = app.test_cli_runner().invoke(args=["uploads", "prune"])
    again = app.test_cli_runner().invoke(args=["uploads", "prune"])

    assert (first.exit_code, again.exit_code) == (0, 0)
    assert ("3" in first.output, "0" in again.output) == (True, True)
    assert uploads() == kept | foreign | young
    assert served(anna, profile(anna)["image"]).size == (125, 167)


# Two things at one moment


def again(app: Flask) -> FlaskClient:
    """One more client that Anna logs in by."""
    client = app.test_client()
    assert client.post("/user/login", json={"username": "Anna", "password": PASSWORD}).status_code == 200
    return client


def consistent(client: FlaskClient, uploads: Uploads) -> TestResponse:
    """The profile, where its files are the only ones."""
    response = client.get("/user/profile")
    assert uploads() == set(User.get().picture.files)
    return response


@BOTH_ENGINES
def test_an_upload_beside_a_new_name_is_not_lost(app: Flask, anna: FlaskClient, uploads: Uploads) -> None:
    other = again(app)

    with interleave(app, lambda: put(other, make_image())):
        response = anna.patch("/user/profile", json={"username": "Zoe"})

    account = consistent(anna, uploads).json["data"]
    assert (response.status_code, account["username"]) == (200, "Zoe")
    assert not account["picture"]["is_default"]


@BOTH_ENGINES
@pytest.mark.parametrize("first", ["name", "picture"])
def test_a_default_picture_beside_a_new_name_is_of_the_new_name(
    app: Flask, anna: FlaskClient, uploads: Uploads, first: str
) -> None:
    other = again(app)
    put(anna, make_image())
    deeds = {
        "name": lambda client: client.patch("/user/profile", json={"username": "Zoe"}),
        "picture": lambda client: client.delete("/user/picture"),
    }
    second = "picture" if first == "name" else "name"

    with interleave(app, lambda: deeds[first](other)):
        response = deeds[second](anna)

    account = consistent(anna, uploads).json["data"]
    drawing = anna.get(f"/profile_pics/{account['image']}").data
    assert (response.status_code, response.json["data"]) == (200, account)
    anna.delete("/user/profile", json={"current_password": PASSWORD})
    zoe = register(app, "Zoe")
    assert drawing == zoe.get(f"/profile_pics/{profile(zoe)['image']}").data


@BOTH_ENGINES
def test_an_upload_is_not_lost_while_the_default_picture_follows_a_new_name(
    app: Flask, anna: FlaskClient, uploads: Uploads
) -> None:
    other = again(app)
    put(anna, make_image())

    with interleave(
        app, lambda: other.patch("/user/profile", json={"username": "Zoe"}), lambda: put(other, make_image((20, 30)))
    ) as done:
        response = anna.delete("/user/picture")

    account = consistent(anna, uploads).json["data"]
    assert (response.status_code, account) == (200, done[1])


@BOTH_ENGINES
def test_of_two_uploads_at_once_one_stays_and_the_other_leaves_no_file(
    app: Flask, anna: FlaskClient, uploads: Uploads
) -> None:
    other = again(app)

    with interleave(app, lambda: put(other, make_image())):
        account = put(anna, make_image())

    assert consistent(anna, uploads).json["data"] == account


@BOTH_ENGINES
def test_an_upload_beside_the_end_of_the_account_leaves_no_file(
    app: Flask, anna: FlaskClient, uploads: Uploads
) -> None:
    other = again(app)

    with interleave(app, lambda: other.delete("/user/profile", json={"current_password": PASSWORD})):
        response = anna.put("/user/picture", data={"file": upload(make_image())})

    assert response.status_code == 401
    assert (User.select().count(), uploads()) == (0, set())


@BOTH_ENGINES
def test_the_end_of_the_account_beside_an_upload_leaves_no_file(
    app: Flask, anna: FlaskClient, uploads: Uploads
) -> None:
    other = again(app)

    with interleave(app, lambda: put(other, make_image())):
        response = anna.delete("/user/profile", json={"current_password": PASSWORD})

    assert response.status_code == 200
    assert (User.select().count(), uploads()) == (0, set())


# As production runs


def test_keeps_its_promises_with_testing_off(make_app: Callable[..., Flask], uploads: Uploads) -> None:
    app = make_app(TESTING=False, BCRYPT_LOG_ROUNDS=10)
    anna = register(app, "Anna")
    old = profile(anna)["image"]

    refused = anna.put("/user/picture", data={"file": upload(b"<svg/>")})
    large = anna.put("/user/picture", **multipart_form(("file", "photo.png", padded(10 * MIB + 1))))
    account = put(anna, (PHOTOS / "grace_hopper.jpg").read_bytes())
    picture = anna.get(f"/profile_pics/{account['image']}")
    known = anna.get(f"/profile_pics/{account['image']}", headers={"If-None-Match": picture.headers["ETag"]})

    answers = [refused, large, picture, known, anna.get(f"/profile_pics/{old}")]
    assert [answer.status_code for answer in answers] == [422, 413, 200, 304, 404]
    assert set(refused.json["error"]["fields"]) == {"file"}
    assert uploads() == {account["image"], double_of(account["image"])}


def test_a_file_that_can_not_be_removed_does_not_undo_what_was_stored(
    anna: FlaskClient, settings: dict[str, Any], app: Flask
) -> None:
    image = anna.get("/user/profile").json["data"]["image"]
    path = Path(settings["UPLOADS_URL"]) / image
    path.unlink()
    path.mkdir()  # what can't be unlinked, by root neither

    answer = anna.put("/user/picture", data={"file": photo()})

    assert answer.status_code == 200
    assert answer.json["data"] == anna.get("/user/profile").json["data"]
    assert app.test_cli_runner().invoke(args=["uploads", "prune", "--older-than", "0"]).exit_code == 0
