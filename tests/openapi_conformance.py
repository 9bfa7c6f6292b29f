"""Holds what the API answers against its OpenAPI document: each status, content type, header and body of JSON."""

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
    """What the document says of an answer: the headers that it always has, and what checks its body, by its type."""

    headers: set[str]
    bodies: dict[str, Draft202012Validator]


class OpenApiChecker:
    """An OpenAPI document, compiled."""

    def __init__(self, document: Json) -> None:
        self.components = document["components"]
        # What has no place in the document, a wrong path or method, is a failure of the same shape as all.
        self.failure = ResponseCheck(
            set(),
            {kind: self.validator({"$ref": f"#/components/schemas/{name}"})
             for kind, name in ((JSON, "Failure"), (PROBLEM, "Problem"))},
        )  # fmt: skip
        self.paths = [
            (
                re.compile(re.sub(r"{\w+}", "[^/]+", path) + "/?"),
                {method.upper(): self.answers(operation["responses"]) for method, operation in operations.items()},
            )
            for path, operations in document["paths"].items()
        ]

    def answers(self, responses: Json) -> dict[int, ResponseCheck]:
        """The answers of an operation, by status."""
        named = self.components["responses"]
        whole = {int(status): named[status] if "$ref" in found else found for status, found in responses.items()}
        return {status: self.answer(response) for status, response in whole.items()}

    def answer(self, response: Json) -> ResponseCheck:
        """One answer."""
        return ResponseCheck(
            {name for name in response["headers"] if self.components["headers"][name]["required"]},
            {kind: self.validator(media["schema"]) for kind, media in response.get("content", {}).items()},
        )

    def validator(self, schema: Json) -> Draft202012Validator:
        """What checks a value by a schema of this document."""
        return Draft202012Validator({**schema, "components": self.components}, validate_formats=True)

    def check(self, method: str, path: str, status: int, headers: Mapping[str, str], content: bytes) -> None:
        """Raise `AssertionError` where an answer is not as the document says. Preflights and pages are not in it."""
        said = f"{method} {path} answered {status}, but the document"
        operations = next((operations for pattern, operations in self.paths if pattern.fullmatch(path)), {})
        answers = operations.get("GET" if method == "HEAD" else method)
        kind = headers.get("Content-Type", "").partition(";")[0]
        if answers is not None:
            assert status in answers, f"{said} knows {sorted(answers)}"
        elif status < 400 or kind not in self.failure.bodies:
            return
        answer = answers[status] if answers else self.failure
        missing = {name for name in answer.headers if name not in headers}
        assert not missing, f"{said} promises {missing}"
        assert kind in answer.bodies if answer.bodies else not content, (
            f"{said} knows {list(answer.bodies)}, not {kind}"
        )
        if content and kind in self.failure.bodies:
            for error in answer.bodies[kind].iter_errors(orjson.loads(content)):
                raise AssertionError(f"{said} says otherwise: {error}")

    def checked(self, send: Callable[..., requests.Response]) -> Callable[..., requests.Response]:
        """`requests.Session.send`, with the answer checked."""

        def checked(*args: Any, **kwargs: Any) -> requests.Response:
            response = send(*args, **kwargs)
            method, path = response.request.method or "", urlsplit(response.url).path
            self.check(method, path, response.status_code, response.headers, response.content)
            return response

        return checked


class CheckedClient(FlaskClient):
    """A test client that fails where an answer is not as the document says."""

    def __init__(self, description: OpenApiChecker, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.description = description

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        """Send a request, and check the answer."""
        response = super().open(*args, **kwargs)
        request = response.request
        self.description.check(request.method, request.path, response.status_code, response.headers, response.data)
        return response
