"""Check responses against the OpenAPI document: status, content type, headers and JSON body."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
import requests
from flask.testing import FlaskClient
from jsonschema_rs import Draft202012Validator
from werkzeug.test import TestResponse

from api.http.responses import JSON, PROBLEM

Json = dict[str, Any]


class ResponseCheck(NamedTuple):
    """A documented response: its required headers, and the validator of its body by content type."""

    headers: set[str]
    bodies: dict[str, Draft202012Validator]


class OpenApiChecker:
    """An OpenAPI document with compiled validators."""

    def __init__(self, document: Json) -> None:
        self.components = document["components"]
        # Unknown paths and methods are not documented; their errors have the common shape.
        self.error = ResponseCheck(
            set(),
            {content_type: self.validator({"$ref": f"#/components/schemas/{name}"})
             for content_type, name in ((JSON, "Failure"), (PROBLEM, "Problem"))},
        )  # fmt: skip
        self.paths = [
            (
                re.compile(re.sub(r"{\w+}", "[^/]+", path) + "/?"),
                {
                    method.upper(): self.compile_responses(operation["responses"])
                    for method, operation in operations.items()
                },
            )
            for path, operations in document["paths"].items()
        ]

    def compile_responses(self, responses: Json) -> dict[int, ResponseCheck]:
        """Return the checks of an operation's responses by status."""
        named = self.components["responses"]
        resolved = {
            int(status): named[status] if "$ref" in response else response for status, response in responses.items()
        }
        return {status: self.compile_response(response) for status, response in resolved.items()}

    def compile_response(self, response: Json) -> ResponseCheck:
        """Return the check of one response."""
        return ResponseCheck(
            {name for name in response["headers"] if self.components["headers"][name]["required"]},
            {
                content_type: self.validator(media["schema"])
                for content_type, media in response.get("content", {}).items()
            },
        )

    def validator(self, schema: Json) -> Draft202012Validator:
        """Return a validator of a schema of this document."""
        return Draft202012Validator({**schema, "components": self.components}, validate_formats=True)

    def check(self, method: str, path: str, status: int, headers: Mapping[str, str], content: bytes) -> None:
        """Raise `AssertionError` if a response is not as documented. Preflights and pages are not documented."""
        problem = f"{method} {path} returned {status}, but the document"
        operations = next((operations for pattern, operations in self.paths if pattern.fullmatch(path)), {})
        responses = operations.get("GET" if method == "HEAD" else method)
        content_type = headers.get("Content-Type", "").partition(";")[0]
        if responses is not None:
            assert status in responses, f"{problem} has {sorted(responses)}"
        elif status < 400 or content_type not in self.error.bodies:
            return
        response = responses[status] if responses else self.error
        missing = {name for name in response.headers if name not in headers}
        assert not missing, f"{problem} requires the headers {missing}"
        assert content_type in response.bodies if response.bodies else not content, (
            f"{problem} has {list(response.bodies)}, not {content_type}"
        )
        if content and content_type in self.error.bodies:
            for error in response.bodies[content_type].iter_errors(orjson.loads(content)):
                raise AssertionError(f"{problem} differs: {error}")

    def check_responses(self, send: Callable[..., requests.Response]) -> Callable[..., requests.Response]:
        """Wrap `requests.Session.send` so that it checks each response."""

        def send_checked(*args: Any, **kwargs: Any) -> requests.Response:
            response = send(*args, **kwargs)
            method, path = response.request.method or "", urlsplit(response.url).path
            self.check(method, path, response.status_code, response.headers, response.content)
            return response

        return send_checked


class CheckedClient(FlaskClient):
    """A test client that checks each response against the document."""

    def __init__(self, checker: OpenApiChecker, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.checker = checker

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        """Send a request and check the response."""
        response = super().open(*args, **kwargs)
        request = response.request
        self.checker.check(request.method, request.path, response.status_code, response.headers, response.data)
        return response
