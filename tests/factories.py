"""Makes what the tests are about, through the API's own door."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

PASSWORD = "correct horse"
PHOTOS = Path(__file__).parent / "photos"


def register(app: Flask, username: str, **fields: Any) -> FlaskClient:
    """A client that a new user is logged in by."""
    client = app.test_client()
    body = {"username": username, "email": f"{username.lower()}@example.com", "password": PASSWORD, **fields}
    response = client.post("/user/register", json=body)
    assert response.status_code == 201, response.json
    return client


def add_dog(client: FlaskClient, **fields: Any) -> dict[str, Any]:
    """A new dog of who is logged in."""
    response = client.post("/api/v1/dogs", json={"name": "Rex", "breed": "Poodle", **fields})
    assert response.status_code == 201, response.json
    return response.json["data"]


def photo(name: str = "grace_hopper.jpg") -> tuple[io.BytesIO, str]:
    """A real photograph, as the test client uploads it."""
    return io.BytesIO((PHOTOS / name).read_bytes()), name


def drawn(size: tuple[int, int] = (300, 400), kind: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    """A small picture in one of Pillow's formats."""
    buffer = io.BytesIO()
    Image.new(mode, size, 200 if mode == "L" else None).save(buffer, kind, **options)
    return buffer.getvalue()
