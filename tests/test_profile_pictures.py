"""Profile pictures over HTTP: uploads, default pictures, validation, caching, and consistency of files and rows."""

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


def uploaded_file(content: bytes, name: str = "photo.png", kind: str | None = None) -> tuple[Any, ...]:
    """Return a file as the test client uploads it."""
    file = (io.BytesIO(content), name)
    return file if kind is None else (*file, kind)


def get_profile(client: FlaskClient) -> dict[str, Any]:
    """Return the account that the client is logged in as."""
    return client.get("/user/profile").json["data"]


def put_picture(client: FlaskClient, content: bytes) -> dict[str, Any]:
    """Upload a picture and return the account."""
    response = client.put("/user/picture", data={"file": uploaded_file(content)})
    assert response.status_code == 200, response.json
    return response.json["data"]


def double_name(image: str) -> str:
    """Return the name of the file of twice the size."""
    return image.replace(".", "_2x.")


def fetch_picture(client: FlaskClient, image: str) -> Image.Image:
    """Fetch and decode the picture of this name."""
    response = client.get(f"/profile_pics/{image}")
    assert response.status_code == 200
    return Image.open(io.BytesIO(response.data))


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG file (PNG, third edition, section 5.3)."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def make_padded_png(size: int) -> bytes:
    """Return a valid PNG of exactly this many bytes."""
    picture = make_image()
    end = picture[-12:]
    return picture[:-12] + png_chunk(b"teSt", bytes(size - len(picture) - 12)) + end


def make_zip() -> bytes:
    """Return a zip file that contains a picture."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("photo.png", make_image())
    return buffer.getvalue()


def make_decompression_bomb() -> bytes:
    """Return a PNG of a few hundred bytes that declares 2.5 gigapixels and contains none."""
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


# The default picture


@pytest.mark.parametrize("username", ["Anna", "x" * 40, "🐶", "אנה", "--"])
def test_new_account_has_default_picture(app: Flask, client: FlaskClient, uploads: Uploads, username: str) -> None:
    account = get_profile(register(app, username, email="anna@example.com"))

    image = account["image"]
    assert NAME.fullmatch(image)
    assert uploads() == {image, double_name(image)}
    sizes = [fetch_picture(client, name).size for name in (image, double_name(image))]
    assert sizes == [(125, 175), (250, 350)]
    assert {name: account["picture"][name] for name in ("width", "height", "is_default")} == {
        "width": 125,
        "height": 175,
        "is_default": True,
    }


def test_same_name_gives_same_default_picture_at_new_url(app: Flask, client: FlaskClient) -> None:
    accounts = []
    for _ in range(2):
        anna = register(app, "Anna")
        account = get_profile(anna)
        accounts.append((account["image"], client.get(f"/profile_pics/{account['image']}").data))
        anna.delete("/user/profile", json={"current_password": PASSWORD})
    bob = get_profile(register(app, "Bob"))["image"]

    (first, drawing), (second, redrawn) = accounts
    assert drawing == redrawn != client.get(f"/profile_pics/{bob}").data
    assert first != second


def test_rename_redraws_default_picture(app: Flask, client: FlaskClient, anna: FlaskClient, uploads: Uploads) -> None:
    before = get_profile(anna)

    after = anna.patch("/user/profile", json={"username": "Zoe"}).json["data"]

    drawing = client.get(f"/profile_pics/{after['image']}").data
    assert after["image"] != before["image"]
    assert after["picture"]["is_default"]
    assert uploads() == {after["image"], double_name(after["image"])}
    anna.delete("/user/profile", json={"current_password": PASSWORD})
    zoe = get_profile(register(app, "Zoe"))["image"]
    assert drawing == client.get(f"/profile_pics/{zoe}").data


def test_rename_keeps_uploaded_picture(anna: FlaskClient, uploads: Uploads) -> None:
    before = put_picture(anna, make_image())

    after = anna.patch("/user/profile", json={"username": "Zoe"}).json["data"]

    assert (after["image"], after["picture"]) == (before["image"], before["picture"])
    assert uploads() == {before["image"], double_name(before["image"])}


def test_email_change_keeps_default_picture(anna: FlaskClient) -> None:
    before = get_profile(anna)

    after = anna.patch("/user/profile", json={"email": "zoe@example.com", "current_password": PASSWORD}).json["data"]

    assert after["image"] == before["image"]


# URLs and sizes


@pytest.mark.parametrize(
    ("size", "normal", "double"),
    [
        pytest.param((1000, 1400), (125, 175), (250, 350), id="same-aspect-ratio"),
        pytest.param((1000, 500), (125, 62), (250, 125), id="wide"),
        pytest.param((350, 1400), (44, 175), (88, 350), id="tall"),
        pytest.param((200, 210), (125, 131), (200, 210), id="between-the-sizes"),
        pytest.param((125, 175), (125, 175), None, id="normal-size"),
        pytest.param((3, 2), (3, 2), None, id="tiny"),
    ],
)
def test_picture_has_url_srcset_and_size_for_img(
    anna: FlaskClient,
    uploads: Uploads,
    size: tuple[int, int],
    normal: tuple[int, int],
    double: tuple[int, int] | None,
) -> None:
    account = put_picture(anna, make_image(size))

    image, folder = account["image"], "http://localhost:8000/profile_pics"
    sources = [f"{folder}/{image} 1x", *([f"{folder}/{double_name(image)} 2x"] if double else [])]
    assert account["picture"] == {
        "url": f"{folder}/{image}",
        "srcset": ", ".join(sources),
        "width": normal[0],
        "height": normal[1],
        "is_default": False,
    }
    assert {name: fetch_picture(anna, name).size for name in uploads()} == {
        image: normal,
        **({double_name(image): double} if double else {}),
    }


@pytest.mark.parametrize("headers", [
    {"Host": "evil.example"},
    {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "ftp", "X-Forwarded-Port": "81"},
    {"Forwarded": "host=evil.example"},
])  # fmt: skip
@pytest.mark.parametrize("public_url", ["https://kennel.example", "http://kennel.example:8080"])
def test_picture_urls_use_public_url_not_headers(
    make_app: Callable[..., Flask], public_url: str, headers: dict[str, str]
) -> None:
    app = make_app(PUBLIC_URL=public_url, TRUSTED_PROXIES=1)
    image = get_profile(register(app, "Anna"))["image"]

    picture = app.test_client().get("/user/1", headers=headers).json["data"]["picture"]

    url = f"{public_url}/profile_pics/{image}"
    assert picture["url"] == url
    assert picture["srcset"] == f"{url} 1x, {public_url}/profile_pics/{double_name(image)} 2x"


# Uploads


@pytest.mark.parametrize("operation", ["register", "patch", "put"])
def test_upload_is_reencoded_without_name_and_metadata(
    app: Flask, client: FlaskClient, uploads: Uploads, operation: str
) -> None:
    name = "../../evil.html"
    buffer = io.BytesIO()
    Image.new("RGB", (300, 400), "red").save(buffer, "JPEG", comment=b"a secret comment")
    file = {"file": uploaded_file(buffer.getvalue(), name, "text/html")}

    if operation == "register":
        response = client.post("/user/register", data={**CARL, **file})
    else:
        client = register(app, "Carl")
        verb, path = {"patch": ("PATCH", "/user/profile"), "put": ("PUT", "/user/picture")}[operation]
        response = client.open(path, method=verb, data=file)

    account = response.json["data"]
    assert response.status_code == (201 if operation == "register" else 200)
    assert get_profile(client) == account
    assert not account["picture"]["is_default"]
    assert uploads() == {account["image"], double_name(account["image"])}
    for stored in uploads():
        picture = fetch_picture(client, stored)
        assert (picture.format, "secret" in repr(picture.info)) == ("WEBP", False)
        red, green, blue = picture.convert("RGB").getpixel((60, 80))
        assert red > 240 > 20 > max(green, blue)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "AVIF"])
@pytest.mark.parametrize(("name", "declared"), [("photo.svg", "image/svg+xml"), ("x", "text/plain"), (".", "")])
def test_picture_type_is_detected_from_content(anna: FlaskClient, kind: str, name: str, declared: str) -> None:
    response = anna.put("/user/picture", data={"file": uploaded_file(make_image((30, 40), kind), name, declared)})

    assert response.status_code == 200
    assert response.json["data"]["picture"]["is_default"] is False


def test_patch_updates_picture_name_and_email_together(anna: FlaskClient) -> None:
    change = {"username": "Anne", "email": "anne@example.com", "current_password": PASSWORD, "file": photo()}

    account = anna.patch("/user/profile", data=change).json["data"]

    assert (account["username"], account["email"]) == ("Anne", "anne@example.com")
    assert not account["picture"]["is_default"]


INVALID_FILES: dict[str, bytes] = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "html": b"<!doctype html><script>alert(1)</script>",
    "pdf": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
    "zip": make_zip(),
    "text": b"a photograph of me",
    "zero-bytes": b"",
    "truncated-jpeg": (PHOTOS / "grace_hopper.jpg").read_bytes()[:-2000],
    "truncated-png": make_image()[:-20],
    "signature-only": b"\x89PNG\r\n\x1a\n",
    "bomb": make_decompression_bomb(),
    "bmp": make_image(kind="BMP"),
    "tiff": make_image(kind="TIFF"),
}


@pytest.mark.parametrize("content", INVALID_FILES.values(), ids=INVALID_FILES)
def test_invalid_picture_returns_422_and_stores_nothing(client: FlaskClient, uploads: Uploads, content: bytes) -> None:
    response = client.post("/user/register", data={**CARL, "file": uploaded_file(content, "photo.jpg", "image/jpeg")})

    assert (response.status_code, set(response.json["error"]["fields"])) == (422, {"file"})
    assert (User.select().count(), uploads()) == (0, set())


INVALID_PARTS = {
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
    "empty-json": {"json": {}},
    "empty-form": multipart_form(),
    "empty-file-input": multipart_form(("file", "", b"")),
}


@pytest.mark.parametrize("content", INVALID_PARTS.values(), ids=INVALID_PARTS)
def test_put_picture_without_exactly_one_file_returns_422(
    anna: FlaskClient, uploads: Uploads, content: dict[str, Any]
) -> None:
    before, files = get_profile(anna), uploads()

    response = anna.put("/user/picture", **content)

    assert (response.status_code, set(response.json["error"]["fields"])) == (422, {"file"})
    assert (get_profile(anna), uploads()) == (before, files)


def test_register_with_two_files_reports_all_invalid_fields(client: FlaskClient, uploads: Uploads) -> None:
    form = multipart_form(("file", "a.png", make_image()), ("file", "b.png", make_image()), ("email", None, b"none"))

    response = client.post("/user/register", **form)

    assert response.status_code == 422
    assert set(response.json["error"]["fields"]) == {"file", "username", "email", "password"}


@pytest.mark.parametrize("kind", ["multipart", "json"])
def test_register_with_file_as_text_returns_422(client: FlaskClient, kind: str) -> None:
    content = {"json": {**CARL, "file": "photo.jpg"}} if kind == "json" else {"data": {**CARL, "file": "photo.jpg"}}

    response = client.post("/user/register", **content)

    assert (response.status_code, set(response.json["error"]["fields"])) == (422, {"file"})


@pytest.mark.parametrize(
    ("field", "content"),
    [
        pytest.param("picture", make_image(), id="other-field"),
        pytest.param("username", b"Anna", id="as-username"),
        pytest.param("password", b"correct horse", id="as-password"),
    ],
)
def test_file_in_other_field_returns_422(client: FlaskClient, uploads: Uploads, field: str, content: bytes) -> None:
    response = client.post("/user/register", data={**CARL, field: uploaded_file(content)})

    assert (response.status_code, set(response.json["error"]["fields"])) == (422, {field})
    assert (User.select().count(), uploads()) == (0, set())


TEXT_PARTS = [(name, None, value.encode()) for name, value in CARL.items()]


@pytest.mark.parametrize(
    ("files", "is_default"),
    [
        pytest.param([("file", "", b"")], True, id="one-empty"),
        pytest.param([("file", "", b""), ("file", "", b"")], True, id="two-empty"),
        pytest.param([("file", "", b""), ("file", "a.png", make_image())], False, id="empty-and-picture"),
        pytest.param([("file", "", make_image())], False, id="picture-without-name"),
        pytest.param([("banner", "", b"")], True, id="empty-of-other-name"),
    ],
)
def test_empty_file_input_counts_as_no_file(client: FlaskClient, files: Any, is_default: bool) -> None:
    response = client.post("/user/register", **multipart_form(*TEXT_PARTS, *files))

    assert response.status_code == 201
    assert response.json["data"]["picture"]["is_default"] is is_default


@pytest.mark.parametrize("operation", ["register", "patch", "put"])
@pytest.mark.parametrize(
    ("size", "is_too_large"),
    [
        pytest.param(10 * MIB, False, id="10-MiB"),
        pytest.param(10 * MIB + 1, True, id="one-byte-more"),
        pytest.param(10 * MIB + 64 * 1024, True, id="over-body-limit"),
    ],
)
def test_file_over_10_mib_returns_413(
    app: Flask, client: FlaskClient, uploads: Uploads, operation: str, size: int, is_too_large: bool
) -> None:
    verb, path = {"register": ("POST", "/user/register"), "patch": ("PATCH", "/user/profile")}.get(
        operation, ("PUT", "/user/picture")
    )
    client = client if operation == "register" else register(app, "Carl")
    users, files = User.select().count(), uploads()
    form = multipart_form(
        *(TEXT_PARTS if operation == "register" else []), ("file", "photo.png", make_padded_png(size))
    )

    response = client.open(path, method=verb, **form)

    assert response.status_code == (413 if is_too_large else 201 if operation == "register" else 200)
    if is_too_large:
        assert response.json["error"]["type"] == "/errors/too-large"
        assert (User.select().count(), uploads()) == (users, files)


def test_two_files_over_10_mib_together_return_413(anna: FlaskClient) -> None:
    form = multipart_form(("file", "a.png", make_padded_png(6 * MIB)), ("file", "b.png", make_padded_png(6 * MIB)))

    assert anna.put("/user/picture", **form).status_code == 413


@pytest.mark.parametrize("path", ["/user/login", "/user/password"])
def test_file_on_route_without_upload_returns_413(anna: FlaskClient, path: str) -> None:
    verb = "PUT" if path == "/user/password" else "POST"

    assert anna.open(path, method=verb, data={"file": uploaded_file(make_padded_png(100_000))}).status_code == 413


# Replacing and deleting


@pytest.mark.parametrize("operation", ["put", "patch", "delete"])
def test_replaced_picture_has_new_url_and_old_files_are_deleted(
    anna: FlaskClient, client: FlaskClient, uploads: Uploads, operation: str
) -> None:
    old = put_picture(anna, make_image())

    if operation == "delete":
        response = anna.delete("/user/picture")
    else:
        path = "/user/picture" if operation == "put" else "/user/profile"
        response = anna.open(path, method=operation.upper(), data={"file": uploaded_file(make_image())})

    new = response.json["data"]
    assert response.status_code == 200
    assert new == get_profile(anna)
    assert new["picture"]["is_default"] is (operation == "delete")
    assert uploads() == {new["image"], double_name(new["image"])}
    assert not uploads() & {old["image"], double_name(old["image"])}
    statuses = [client.get(f"/profile_pics/{name}").status_code for name in (old["image"], double_name(old["image"]))]
    assert statuses == [404, 404]


def test_picture_without_double_deletes_old_double(anna: FlaskClient, uploads: Uploads) -> None:
    put_picture(anna, make_image((250, 350)))

    account = put_picture(anna, make_image((20, 30)))

    assert uploads() == {account["image"]}


def test_delete_default_picture_returns_default_picture(anna: FlaskClient, uploads: Uploads) -> None:
    response = anna.delete("/user/picture")

    account = response.json["data"]
    assert (response.status_code, account["picture"]["is_default"]) == (200, True)
    assert uploads() == {account["image"], double_name(account["image"])}


@BOTH_ENGINES
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param({"username": "BOB"}, 409, id="name-taken"),
        pytest.param({"email": "bob@example.com", "current_password": PASSWORD}, 409, id="email-taken"),
        pytest.param({"email": "new@example.com", "current_password": "wrong password"}, 403, id="wrong-password"),
        pytest.param({"email": "new@example.com"}, 422, id="missing-password"),
        pytest.param({"username": ""}, 422, id="invalid-name"),
        pytest.param({"image": "x.webp"}, 422, id="unknown-field"),
    ],
)
@pytest.mark.parametrize("with_file", [True, False], ids=["with-file", "without-file"])
def test_rejected_patch_keeps_picture_and_stores_no_file(
    anna: FlaskClient, bob: FlaskClient, uploads: Uploads, fields: dict[str, str], status: int, with_file: bool
) -> None:
    before, files = get_profile(anna), uploads()
    file = {"file": uploaded_file(make_image())} if with_file else {}

    response = anna.patch("/user/profile", data={**fields, **file})

    assert response.status_code == status
    assert (get_profile(anna), uploads()) == (before, files)


# Delivery


@pytest.mark.parametrize("size", ["normal", "double"])
@pytest.mark.parametrize("is_default", [True, False], ids=["default", "uploaded"])
def test_picture_is_immutable_and_cross_origin(
    client: FlaskClient, anna: FlaskClient, size: str, is_default: bool
) -> None:
    image = (get_profile(anna) if is_default else put_picture(anna, make_image()))["image"]

    response = client.get(f"/profile_pics/{image if size == 'normal' else double_name(image)}")

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


def test_normal_and_double_have_different_etags(client: FlaskClient, anna: FlaskClient) -> None:
    image = get_profile(anna)["image"]

    etags = {client.get(f"/profile_pics/{name}").headers["ETag"] for name in (image, double_name(image))}

    assert len(etags) == 2


def test_picture_is_publicly_cacheable_when_logged_in(anna: FlaskClient) -> None:
    response = anna.get(f"/profile_pics/{get_profile(anna)['image']}")

    assert "Set-Cookie" not in response.headers
    assert "Cookie" not in response.headers["Vary"]
    assert response.headers["Cache-Control"].startswith("public")


@pytest.mark.parametrize(
    ("if_none_match", "status"),
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
def test_if_none_match_returns_304_or_200(
    client: FlaskClient, anna: FlaskClient, verb: str, if_none_match: str, status: int
) -> None:
    path = f"/profile_pics/{get_profile(anna)['image']}"
    first = client.get(path)

    response = client.open(
        path, method=verb, headers={"If-None-Match": if_none_match.format(etag=first.headers["ETag"])}
    )

    assert response.status_code == status
    assert response.data == (first.data if (status, verb) == (200, "GET") else b"")
    # RFC 9110, section 15.4.5: a 304 has the caching headers of the 200.
    for name in ("ETag", "Cache-Control", "Vary", "Cross-Origin-Resource-Policy", "Content-Security-Policy"):
        assert response.headers[name] == first.headers[name]


def test_deleted_picture_returns_404_despite_if_none_match(client: FlaskClient, anna: FlaskClient) -> None:
    path = f"/profile_pics/{get_profile(anna)['image']}"
    etag = client.get(path).headers["ETag"]
    anna.delete("/user/picture")

    response = client.get(path, headers={"If-None-Match": etag})

    assert (response.status_code, response.json["error"]["type"]) == (404, "/errors/not-found")
    assert "immutable" not in response.headers["Cache-Control"]


@pytest.mark.parametrize("name", [
    "secret", "secret.webp", "../secret", "..%2fsecret", "%2e%2e/secret", "..%5csecret", "%2fetc%2fpasswd",
    "{image}%00", "{image}%0a", "{upper}", ".{image}", "{image}.bak", "{stem}", "{stem}_3x.webp", "{image}/x", "%", ".",
])  # fmt: skip
def test_only_picture_names_are_served(
    settings: dict[str, Any], client: FlaskClient, anna: FlaskClient, name: str
) -> None:
    image = get_profile(anna)["image"]
    folder = Path(settings["UPLOADS_URL"])
    for path in ("secret", "secret.webp", "../secret", f".{image}", f"{image}.bak", image.removesuffix(".webp")):
        (folder / path).write_bytes(b"a secret")

    requested = name.format(image=image, upper=image.upper(), stem=image.removesuffix(".webp"))
    response = client.get(f"/profile_pics/{requested}")

    assert response.status_code == 404
    assert b"a secret" not in response.data


# Files and rows


@BOTH_ENGINES
def test_files_are_fsynced_and_renamed_before_row_is_written(
    app: Flask, anna: FlaskClient, uploads: Uploads, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(settings["UPLOADS_URL"])
    events: list[str] = []
    files_at_write: list[set[str]] = []
    fsynced: set[int] = set()
    fsync, replace = os.fsync, os.replace

    def record_fsync(descriptor: int) -> None:
        fsync(descriptor)
        fsynced.add(os.fstat(descriptor).st_ino)
        if os.fstat(descriptor).st_ino == folder.stat().st_ino:
            events.append("folder fsynced")

    def record_replace(source: Any, target: Any) -> None:
        is_durable = os.stat(source).st_ino in fsynced and not os.path.exists(target)
        events.append("renamed after fsync" if is_durable else "renamed too early")
        replace(source, target)

    def record_row(statement: str) -> None:
        if statement.startswith('UPDATE "users"'):
            files_at_write.append(uploads())
            events.append("row")

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    with trace_sql(app, record_row):
        image = put_picture(anna, make_image())["image"]

    assert events == ["renamed after fsync", "renamed after fsync", "folder fsynced", "row"]
    assert {image, double_name(image)} <= files_at_write[0]


@BOTH_ENGINES
def test_files_of_new_account_exist_before_its_row(app: Flask, uploads: Uploads) -> None:
    files_at_write: list[set[str]] = []

    def record_row(statement: str) -> None:
        if statement.startswith('INSERT INTO "users"'):
            files_at_write.append(uploads())

    app.extensions["database"].connect()
    with trace_sql(app, record_row):
        image = get_profile(register(app, "Anna"))["image"]

    assert files_at_write == [{image, double_name(image)}]


@pytest.mark.parametrize("successful_calls", [0, 1, 2])
@pytest.mark.parametrize("operation", ["register", "put", "rename"])
def test_full_disk_returns_507_and_changes_nothing(
    app: Flask,
    client: FlaskClient,
    uploads: Uploads,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    successful_calls: int,
) -> None:
    client = client if operation == "register" else register(app, "Anna")
    rows, files = list(User.select().dicts()), uploads()
    fsync, calls = os.fsync, []

    def failing_fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > successful_calls:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing_fsync)
    verb, path, fields = {
        "register": ("POST", "/user/register", {**CARL, "file": uploaded_file(make_image())}),
        "put": ("PUT", "/user/picture", {"file": uploaded_file(make_image())}),
        "rename": ("PATCH", "/user/profile", {"username": "Zoe"}),
    }[operation]
    response = client.open(path, method=verb, data=fields)

    assert api_error(response) == (507, "insufficient-storage")
    assert "No space" not in response.get_data(as_text=True)
    assert (list(User.select().dicts()), uploads()) == (rows, files)


def test_prune_removes_only_orphaned_files(
    app: Flask, anna: FlaskClient, uploads: Uploads, settings: dict[str, Any]
) -> None:
    put_picture(anna, make_image())
    folder, referenced = Path(settings["UPLOADS_URL"]), uploads()
    stem = hashlib.md5(b"x", usedforsecurity=False).hexdigest()
    orphaned = {f"{stem}.webp", f"{stem}_2x.webp", f".{stem}.webp"}
    unrelated = {".gitkeep", "notes.txt", "holiday.webp"}
    recent = {f"{stem[::-1]}.webp", f".{stem[::-1]}_2x.webp"}
    for name in orphaned | unrelated | recent:
        (folder / name).write_bytes(b"x")
    for name in orphaned | unrelated | referenced:
        os.utime(folder / name, (0, 0))

    first = app.test_cli_runner().invoke(args=["uploads", "prune"])
    second = app.test_cli_runner().invoke(args=["uploads", "prune"])

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert ("3" in first.output, "0" in second.output) == (True, True)
    assert uploads() == referenced | unrelated | recent
    assert fetch_picture(anna, get_profile(anna)["image"]).size == (125, 167)


# Concurrency


def log_in_anna(app: Flask) -> FlaskClient:
    """Return another client logged in as Anna."""
    client = app.test_client()
    assert client.post("/user/login", json={"username": "Anna", "password": PASSWORD}).status_code == 200
    return client


def get_consistent_profile(client: FlaskClient, uploads: Uploads) -> TestResponse:
    """Request the profile, and require that no other files than its picture's exist."""
    response = client.get("/user/profile")
    assert uploads() == set(User.get().picture.files)
    return response


@BOTH_ENGINES
def test_upload_during_rename_is_kept(app: Flask, anna: FlaskClient, uploads: Uploads) -> None:
    other = log_in_anna(app)

    with interleave(app, lambda: put_picture(other, make_image())):
        response = anna.patch("/user/profile", json={"username": "Zoe"})

    account = get_consistent_profile(anna, uploads).json["data"]
    assert (response.status_code, account["username"]) == (200, "Zoe")
    assert not account["picture"]["is_default"]


@BOTH_ENGINES
@pytest.mark.parametrize("first", ["name", "picture"])
def test_default_picture_during_rename_shows_new_name(
    app: Flask, anna: FlaskClient, uploads: Uploads, first: str
) -> None:
    other = log_in_anna(app)
    put_picture(anna, make_image())
    operations = {
        "name": lambda client: client.patch("/user/profile", json={"username": "Zoe"}),
        "picture": lambda client: client.delete("/user/picture"),
    }
    second = "picture" if first == "name" else "name"

    with interleave(app, lambda: operations[first](other)):
        response = operations[second](anna)

    account = get_consistent_profile(anna, uploads).json["data"]
    drawing = anna.get(f"/profile_pics/{account['image']}").data
    assert (response.status_code, response.json["data"]) == (200, account)
    anna.delete("/user/profile", json={"current_password": PASSWORD})
    zoe = register(app, "Zoe")
    assert drawing == zoe.get(f"/profile_pics/{get_profile(zoe)['image']}").data


@BOTH_ENGINES
def test_upload_during_default_picture_redraw_is_kept(app: Flask, anna: FlaskClient, uploads: Uploads) -> None:
    other = log_in_anna(app)
    put_picture(anna, make_image())

    with interleave(
        app,
        lambda: other.patch("/user/profile", json={"username": "Zoe"}),
        lambda: put_picture(other, make_image((20, 30))),
    ) as results:
        response = anna.delete("/user/picture")

    account = get_consistent_profile(anna, uploads).json["data"]
    assert (response.status_code, account) == (200, results[1])


@BOTH_ENGINES
def test_concurrent_uploads_leave_files_of_one(app: Flask, anna: FlaskClient, uploads: Uploads) -> None:
    other = log_in_anna(app)

    with interleave(app, lambda: put_picture(other, make_image())):
        account = put_picture(anna, make_image())

    assert get_consistent_profile(anna, uploads).json["data"] == account


@BOTH_ENGINES
def test_upload_during_account_deletion_returns_401(app: Flask, anna: FlaskClient, uploads: Uploads) -> None:
    other = log_in_anna(app)

    with interleave(app, lambda: other.delete("/user/profile", json={"current_password": PASSWORD})):
        response = anna.put("/user/picture", data={"file": uploaded_file(make_image())})

    assert response.status_code == 401
    assert (User.select().count(), uploads()) == (0, set())


@BOTH_ENGINES
def test_account_deletion_during_upload_leaves_no_file(app: Flask, anna: FlaskClient, uploads: Uploads) -> None:
    other = log_in_anna(app)

    with interleave(app, lambda: put_picture(other, make_image())):
        response = anna.delete("/user/profile", json={"current_password": PASSWORD})

    assert response.status_code == 200
    assert (User.select().count(), uploads()) == (0, set())


# Production mode


def test_picture_requests_behave_the_same_without_testing_mode(
    make_app: Callable[..., Flask], uploads: Uploads
) -> None:
    app = make_app(TESTING=False, BCRYPT_LOG_ROUNDS=10)
    anna = register(app, "Anna")
    old = get_profile(anna)["image"]

    rejected = anna.put("/user/picture", data={"file": uploaded_file(b"<svg/>")})
    large = anna.put("/user/picture", **multipart_form(("file", "photo.png", make_padded_png(10 * MIB + 1))))
    account = put_picture(anna, (PHOTOS / "grace_hopper.jpg").read_bytes())
    picture = anna.get(f"/profile_pics/{account['image']}")
    not_modified = anna.get(f"/profile_pics/{account['image']}", headers={"If-None-Match": picture.headers["ETag"]})

    responses = [rejected, large, picture, not_modified, anna.get(f"/profile_pics/{old}")]
    assert [response.status_code for response in responses] == [422, 413, 200, 304, 404]
    assert set(rejected.json["error"]["fields"]) == {"file"}
    assert uploads() == {account["image"], double_name(account["image"])}


def test_undeletable_old_file_does_not_fail_the_upload(anna: FlaskClient, settings: dict[str, Any], app: Flask) -> None:
    image = anna.get("/user/profile").json["data"]["image"]
    path = Path(settings["UPLOADS_URL"]) / image
    path.unlink()
    path.mkdir()  # even root cannot unlink a directory

    response = anna.put("/user/picture", data={"file": photo()})

    assert response.status_code == 200
    assert response.json["data"] == anna.get("/user/profile").json["data"]
    assert app.test_cli_runner().invoke(args=["uploads", "prune", "--older-than", "0"]).exit_code == 0
