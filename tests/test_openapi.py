"""The OpenAPI document: complete, valid, with working examples; and Swagger UI in a real browser."""

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

from api.http.error_types import ERROR_TYPES
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
    """The OpenAPI document as served."""
    return client.get("/openapi.json").json


def operations_by_route(document: Json) -> dict[tuple[str, str], Json]:
    """Return the operations by path and verb."""
    return {
        (path, verb.upper()): operation
        for path, operations in document["paths"].items()
        for verb, operation in operations.items()
    }


# --- Completeness ---


class CatList(Resource):
    """`/api/v1/cats/<id>`"""

    @gives(DogSchema)
    def get(self, cat_id: int) -> None:
        """Show a cat. It owns itself."""

    @gives(DogSchema)
    def put(self, cat_id: int) -> None:
        """Replace a cat."""


def documented_verbs(app: Flask) -> set[tuple[str, str]]:
    """Return the path, in OpenAPI's notation, and verb of every resource method of the application."""
    return {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), verb)
        for rule in app.url_map.iter_rules()
        if hasattr(app.view_functions[rule.endpoint], "view_class")
        for verb in rule.methods - {"HEAD", "OPTIONS"}
    }


def test_document_contains_every_verb_of_every_route(app: Flask, document: Json) -> None:
    assert set(operations_by_route(document)) == documented_verbs(app)


def test_new_route_appears_in_document(app: Flask) -> None:
    Api(app).add_resource(CatList, "/api/v1/cats/<id:cat_id>")

    operations = operations_by_route(app.test_client().get("/openapi.json").json)

    assert set(operations) == documented_verbs(app)
    assert operations["/api/v1/cats/{cat_id}", "GET"]["summary"] == "Show a cat. It owns itself"


def test_undocumented_route_is_detected(document: Json, make_app: Callable[..., Flask]) -> None:
    app = make_app()
    Api(app).add_resource(CatList, "/api/v1/cats/<id:cat_id>")

    assert {verb for _, verb in documented_verbs(app) - set(operations_by_route(document))} == {"GET", "PUT"}


def test_summary_is_first_line_of_docstring(document: Json) -> None:
    first_lines = {
        f"{verb.lower()}{resource.__name__}": inspect.getdoc(getattr(resource, verb.lower())).splitlines()[0]
        for resource, _, verb in VERBS
    }

    operations = operations_by_route(document).values()

    assert {operation["operationId"]: f"{operation['summary']}." for operation in operations} == first_lines
    assert len(operations) == len(first_lines), "duplicate operationId"


def test_declared_errors_are_known_error_types() -> None:
    known = {kind.status for kind in ERROR_TYPES.values()} | {302}  # of a file that redirects
    declared = {
        f"{verb.lower()}{resource.__name__}": set(getattr(resource, verb.lower()).spec.errors)
        for resource, _, verb in VERBS
    }

    assert any(declared.values())
    assert {name: errors - known for name, errors in declared.items() if errors - known} == {}


def test_created_items_have_a_location(document: Json) -> None:
    paths = document["paths"]
    items = {path.rpartition("/")[0] for path in paths if path.endswith("_id}")}
    created = {
        path: operation["responses"]["201"]["headers"]
        for (path, _), operation in operations_by_route(document).items()
        if "201" in operation["responses"] and path in items
    }

    assert "/api/v1/dogs" in created
    assert [path for path, headers in created.items() if "Location" not in headers] == []


def test_security_matches_access_matrix(document: Json) -> None:
    login_required = {f"{verb.lower()}{resource}" for resource, verb, _, anonymous, *_ in ACCESS if anonymous == 401}

    operations = operations_by_route(document).values()

    secured = {operation["operationId"]: operation["security"] for operation in operations if "security" in operation}
    assert secured == {name: [{"cookie": []}, {"bearer": []}] for name in login_required}


# --- Validity ---


def test_document_is_valid_openapi(document: Json) -> None:
    assert document["openapi"].startswith("3.1.")
    validate(document)


def test_response_examples_match_their_schema(document: Json) -> None:
    checker = OpenApiChecker(document)
    examples = [
        content
        for response in document["components"]["responses"].values()
        for content in response.get("content", {}).values()
        if "example" in content
    ]

    assert examples
    for example in examples:
        checker.validator(example["schema"]).validate(example["example"])


@pytest.mark.parametrize(
    "field", [SingleLineString(1, 3), SingleLineString(0, 3), Username()], ids=["text", "optional-text", "username"]
)
def test_field_pattern_matches_field_validation(field: SingleLineString) -> None:
    pattern = Draft202012Validator({"pattern": field.metadata["pattern"]})
    controls_and_spaces = [char for char in map(chr, range(0xD800)) if unicodedata.category(char)[0] in "CZ"]
    texts = [text for char in controls_and_spaces for text in (char, f"{char}a", f"a{char}", f"a{char}b")]
    # Fields trim tabs and line breaks at the ends; patterns reject them. This is the only difference.
    trimmed = "".join(char for char in controls_and_spaces if char.isspace() and unicodedata.category(char) != "Zs")

    def is_accepted(text: str) -> bool:
        try:
            field.deserialize(text)
        except ValidationError:
            return False
        return True

    assert [text for text in texts if pattern.is_valid(text.strip(trimmed)) != is_accepted(text)] == []
    assert {is_accepted(text) for text in texts} == {True, False}


@pytest.mark.parametrize(("path", "verb", "kind"), BODIES)
def test_request_body_examples_succeed(app: Flask, document: Json, path: str, verb: str, kind: str) -> None:
    client = app.test_client()
    if path != "/user/register":
        client = register(app, "Anna")
        add_dog(client)
    operation = operations_by_route(document)[path.replace("<id:", "{").replace(">", "}"), verb]
    schema = operation["requestBody"]["content"][kind]["schema"]
    fields = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
    body = {name: field["examples"][0] for name, field in fields.items() if "examples" in field}
    files = {name: photo() for name, field in fields.items() if field.get("format") == "binary"}
    content = {"json": body} if kind == "application/json" else {"data": body | files, "content_type": kind}

    response = client.open(path.replace("<id:dog_id>", "1"), method=verb, **content)

    assert str(response.status_code) == next(iter(operation["responses"])), response.text
    assert body or files


# --- Delivery ---


def test_matching_if_none_match_returns_304(client: FlaskClient) -> None:
    first = client.get("/openapi.json")
    conditional = client.get("/openapi.json", headers={"If-None-Match": first.headers["ETag"]})

    assert (first.status_code, first.mimetype) == (200, "application/json")
    assert (conditional.status_code, conditional.data, conditional.headers["ETag"]) == (304, b"", first.headers["ETag"])


@pytest.mark.system
def test_document_is_deterministic(client: FlaskClient, settings: Json) -> None:
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


class SwaggerUi:
    """`/docs` of a server, in a browser."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.hosts: set[str] = set()
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        page.goto(f"{url}/docs")

    def expand_operation(self, name: str) -> Locator:
        """Expand an operation, enable "Try it out", and return its element."""
        operation = self.page.locator(f"[id$='-{name}']")
        operation.locator(".opblock-summary-control").click()
        operation.get_by_role("button", name="Try it out").click()
        return operation

    def execute(self, operation: Locator) -> str:
        """Execute the request and return the response status."""
        operation.get_by_role("button", name="Execute").click()
        return operation.locator(".live-responses-table .response-col_status").last.inner_text().split()[0]


@pytest.fixture
def docs(server: Server, page: Page) -> SwaggerUi:
    """`/docs` of the real server."""
    return SwaggerUi(page, server.url)


def test_swagger_ui_lists_all_operations_from_own_host(
    docs: SwaggerUi, server: Server, document: Json, console_errors: list[str]
) -> None:
    expect(docs.page.locator(".opblock")).to_have_count(len(operations_by_route(document)))

    assert docs.hosts == {urlsplit(server.url).netloc}
    assert console_errors == [], "Chromium reports Content-Security-Policy violations there"


def test_swagger_ui_authenticates_by_cookie(docs: SwaggerUi) -> None:
    assert docs.execute(docs.expand_operation("postUserRegister")) == "201"
    assert docs.execute(docs.expand_operation("getUserProfile")) == "200"
    assert docs.execute(docs.expand_operation("postUserLogout")) == "200"


def test_swagger_ui_uploads_a_file(docs: SwaggerUi) -> None:
    docs.execute(docs.expand_operation("postUserRegister"))
    operation = docs.expand_operation("putUserPicture")
    operation.locator("input[type=file]").set_input_files(PHOTOS / "grace_hopper.jpg")

    assert docs.execute(operation) == "200"
