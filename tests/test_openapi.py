"""The OpenAPI document: whole, valid, with examples that work; and Swagger UI, which shows it, in a real browser."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_restful import Api
from jsonschema_rs import Draft202012Validator
from marshmallow import ValidationError
from openapi_spec_validator import validate
from playwright.sync_api import Locator, Page, expect

from api.openapi import request_body_schemas
from api.resources.base import Resource, gives
from api.routes import ROUTES
from schemas import DogSchema
from schemas.fields import SingleLineString, Username

from .factories import PHOTOS, add_dog, photo, register
from .live_server import ROOT, Server
from .openapi_conformance import OpenApiChecker
from .test_access import ACCESS

Json = dict[str, Any]
VERBS = [(resource, path, verb) for resource, path in ROUTES for verb in sorted(resource.methods)]
BODIES = [
    pytest.param(path, verb, kind, id=f"{resource.__name__}-{verb}-{kind}")
    for resource, path, verb in VERBS
    for kind in request_body_schemas(getattr(resource, verb.lower()))
]


@pytest.fixture
def document(client: FlaskClient) -> Json:
    """The document, as clients get it."""
    return client.get("/openapi.json").json


def operations_of(document: Json) -> dict[tuple[str, str], Json]:
    """The operations, by path and verb."""
    return {
        (path, verb.upper()): operation
        for path, operations in document["paths"].items()
        for verb, operation in operations.items()
    }


# --- Whole ---


class CatList(Resource):
    """`/api/v1/cats/<id>`"""

    @gives(DogSchema)
    def get(self, cat_id: int) -> None:
        """Show a cat. It owns itself."""

    @gives(DogSchema)
    def put(self, cat_id: int) -> None:
        """Replace a cat."""


def verbs_of(app: Flask) -> set[tuple[str, str]]:
    """Every verb of every resource of the application, with its path as the document writes it."""
    return {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), verb)
        for rule in app.url_map.iter_rules()
        if hasattr(app.view_functions[rule.endpoint], "view_class")
        for verb in rule.methods - {"HEAD", "OPTIONS"}
    }


def test_every_verb_of_every_route_is_in_it(app: Flask, document: Json) -> None:
    assert set(operations_of(document)) == verbs_of(app)


def test_a_new_route_is_in_it_at_once(app: Flask) -> None:
    Api(app).add_resource(CatList, "/api/v1/cats/<id:cat_id>")

    operations = operations_of(app.test_client().get("/openapi.json").json)

    assert set(operations) == verbs_of(app)
    assert operations["/api/v1/cats/{cat_id}", "GET"]["summary"] == "Show a cat. It owns itself"


def test_a_route_that_is_not_in_it_is_missed(document: Json, make_app: Callable[..., Flask]) -> None:
    app = make_app()
    Api(app).add_resource(CatList, "/api/v1/cats/<id:cat_id>")

    assert {verb for _, verb in verbs_of(app) - set(operations_of(document))} == {"GET", "PUT"}


def test_each_summary_is_the_first_line_of_the_docstring(document: Json) -> None:
    first_lines = {
        f"{verb.lower()}{resource.__name__}": inspect.getdoc(getattr(resource, verb.lower())).splitlines()[0]
        for resource, _, verb in VERBS
    }

    operations = operations_of(document).values()

    assert {operation["operationId"]: f"{operation['summary']}." for operation in operations} == first_lines
    assert len(operations) == len(first_lines), "an operationId is taken twice"


def test_it_asks_for_a_login_where_nobody_else_may(document: Json) -> None:
    refused = {f"{verb.lower()}{resource}" for resource, verb, _, nobody, *_ in ACCESS if nobody == 401}

    operations = operations_of(document).values()

    asking = {operation["operationId"]: operation["security"] for operation in operations if "security" in operation}
    assert asking == {name: [{"cookie": []}, {"bearer": []}] for name in refused}


# --- Valid ---


def test_it_is_valid_openapi(document: Json) -> None:
    assert document["openapi"].startswith("3.1.")
    validate(document)


def test_each_example_of_an_answer_has_the_shape_that_it_explains(document: Json) -> None:
    description = OpenApiChecker(document)
    media = [
        media
        for response in document["components"]["responses"].values()
        for media in response.get("content", {}).values()
        if "example" in media
    ]

    assert media
    for example in media:
        description.validator(example["schema"]).validate(example["example"])


@pytest.mark.parametrize(
    "field", [SingleLineString(1, 3), SingleLineString(0, 3), Username()], ids=["text", "text-or-nothing", "username"]
)
def test_each_pattern_takes_what_its_field_takes(field: SingleLineString) -> None:
    pattern = Draft202012Validator({"pattern": field.metadata["pattern"]})
    unseen = [char for char in map(chr, range(0xD800)) if unicodedata.category(char)[0] in "CZ"]
    texts = [text for char in unseen for text in (char, f"{char}a", f"a{char}", f"a{char}b")]
    # A tab or line break at an end is the one thing that is trimmed and that a pattern refuses.
    trimmed = "".join(char for char in unseen if char.isspace() and unicodedata.category(char) != "Zs")

    def is_taken(text: str) -> bool:
        try:
            field.deserialize(text)
        except ValidationError:
            return False
        return True

    assert [text for text in texts if pattern.is_valid(text.strip(trimmed)) != is_taken(text)] == []
    assert {is_taken(text) for text in texts} == {True, False}


@pytest.mark.parametrize(("path", "verb", "kind"), BODIES)
def test_the_examples_of_each_body_make_a_call_that_succeeds(
    app: Flask, document: Json, path: str, verb: str, kind: str
) -> None:
    client = app.test_client()
    if path != "/user/register":
        client = register(app, "Anna")
        add_dog(client)
    operation = operations_of(document)[path.replace("<id:", "{").replace(">", "}"), verb]
    schema = operation["requestBody"]["content"][kind]["schema"]
    fields = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
    body = {name: field["examples"][0] for name, field in fields.items() if "examples" in field}
    files = {name: photo() for name, field in fields.items() if field.get("format") == "binary"}
    content = {"json": body} if kind == "application/json" else {"data": body | files, "content_type": kind}

    response = client.open(path.replace("<id:dog_id>", "1"), method=verb, **content)

    assert str(response.status_code) == next(iter(operation["responses"])), response.text
    assert body or files


# --- Served ---


def test_it_is_not_sent_again_to_who_has_it(client: FlaskClient) -> None:
    first = client.get("/openapi.json")
    again = client.get("/openapi.json", headers={"If-None-Match": first.headers["ETag"]})

    assert (first.status_code, first.mimetype) == (200, "application/json")
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", first.headers["ETag"])


@pytest.mark.system
def test_it_is_the_same_at_each_start(client: FlaskClient, settings: Json) -> None:
    program = f"import api; print(api.create_app({settings!r}).test_client().get('/openapi.json').text)"
    documents = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip

    assert {*documents} == {client.get("/openapi.json").text + "\n"}


# --- Swagger UI ---


class Docs:
    """`/docs` of a server, in a browser."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.hosts: set[str] = set()
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        page.goto(f"{url}/docs")

    def operation(self, name: str) -> Locator:
        """An operation, opened to be tried out."""
        operation = self.page.locator(f"[id$='-{name}']")
        operation.locator(".opblock-summary-control").click()
        operation.get_by_role("button", name="Try it out").click()
        return operation

    def execute(self, operation: Locator) -> str:
        """Send the call; the status of its answer."""
        operation.get_by_role("button", name="Execute").click()
        return operation.locator(".live-responses-table .response-col_status").last.inner_text().split()[0]


@pytest.fixture
def docs(server: Server, page: Page) -> Docs:
    """`/docs` of the real server."""
    return Docs(page, server.url)


def test_docs_show_every_operation_and_call_no_other_host(
    docs: Docs, server: Server, document: Json, console_errors: list[str]
) -> None:
    expect(docs.page.locator(".opblock")).to_have_count(len(operations_of(document)))

    assert docs.hosts == {urlsplit(server.url).netloc}
    assert console_errors == [], "Chromium says there what a Content-Security-Policy has stopped"


def test_try_it_out_logs_in_by_the_cookie(docs: Docs) -> None:
    assert docs.execute(docs.operation("postUserRegister")) == "201"
    assert docs.execute(docs.operation("getUserProfile")) == "200"
    assert docs.execute(docs.operation("postUserLogout")) == "200"


def test_try_it_out_sends_a_file(docs: Docs) -> None:
    docs.execute(docs.operation("postUserRegister"))
    operation = docs.operation("putUserPicture")
    operation.locator("input[type=file]").set_input_files(PHOTOS / "grace_hopper.jpg")

    assert docs.execute(operation) == "200"
