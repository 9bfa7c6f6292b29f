"""The OpenAPI document, made from the routes, the docstrings of the verbs, and the schemas they take and give."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterator
from typing import Any

import orjson
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.common import resolve_schema_instance
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask import Flask
from marshmallow import Schema
from werkzeug.routing import IntegerConverter, Rule

from .http.body import FORM, MULTIPART
from .http.error_types import ERROR_TYPES
from .http.responses import JSON, PROBLEM
from .resources.base import ResponseSpec

Json = dict[str, Any]

INFO = """Accounts with a profile picture, sessions that really end, and dogs that belong to the users who add them.

Log in with `POST /user/login`, and the browser keeps the cookie. A page on another origin sends it along with
`credentials: "include"`; its origin must be listed in `CORS_ORIGINS`.

Every answer in JSON has one shape: `data`, and a `status` with the code of the answer and a message. A failure has
`error` too, and its `type` is the path of a page that explains it. Every path answers with a slash at its end, too.
Texts are trimmed before they are looked at.
"""
TAGS = {"dogs": "Dogs.", "users": "Accounts and sessions.", "system": "Pictures, error pages and signs of life."}
# What any call can meet: a query or body that can't be read, a wrong token, too large a body, an unknown parameter,
# a bug, an outage, a full disk.
COMMON_STATUSES = {400, 401, 413, 422, 500, 503, 507}
# A status that a docstring names, as in "412 where it has changed".
STATUS = re.compile(r"\b[345]\d\d\b")
# Headers of answers. `X-Request-ID` is always there, others where a docstring names them or the status brings them.
HEADERS = {
    "X-Request-ID": "What the log of the server calls this request.",
    "ETag": "The version of what was sent (RFC 9110, section 8.8.3).",
    "Link": 'The URL of the next page, with `rel="next"`, where there is one (RFC 8288).',
    "Location": "The URL of what was made, or of where it is.",
    "Retry-After": "In how many seconds to try again.",
    "WWW-Authenticate": "`Bearer`: the kind of token that is taken in place of the cookie.",
}
STATUS_HEADERS = {
    302: ["Location"],
    304: ["ETag"],
    401: ["WWW-Authenticate"],
    429: ["Retry-After"],
    503: ["Retry-After"],
}
# Headers of calls, where a docstring names them.
REQUEST_HEADERS = {
    "If-None-Match": "The `ETag` of what you have. It is not sent again while it is the same.",
    "If-Match": "The `ETag` of what you have read. Nothing is done where it has changed since.",
}
FILE_TYPES = "image/jpeg, image/png, image/webp, image/gif, image/avif"


def strict_object(optional: Json | None = None, **required: Any) -> Json:
    """The JSON Schema of an object with these properties and no others."""
    properties = {**required, **(optional or {})}
    return {
        "type": "object", "required": list(required), "properties": properties, "additionalProperties": False,
    }  # fmt: skip


TEXT = {"type": "string"}
CODE = {"type": "integer", "minimum": 400, "maximum": 599}
ERROR_PROPERTIES = {
    "type": {"type": "string", "enum": [kind.path for kind in ERROR_TYPES.values()]},
    "request_id": TEXT,
}
FIELDS = {"fields": {"type": "object", "additionalProperties": {"type": "array", "items": TEXT}}}
PAGE = strict_object(limit={"type": "integer"}, next={"type": ["string", "null"]})
FAILURES = {
    JSON: strict_object(
        data=strict_object(),
        status=strict_object(code=CODE, message=TEXT),
        error=strict_object(FIELDS, **ERROR_PROPERTIES),
    ),
    PROBLEM: strict_object(FIELDS, title=TEXT, status=CODE, detail=TEXT, **ERROR_PROPERTIES),
}


class Converter(OpenAPIConverter):
    """Schemas as JSON Schema, with the first line of their docstring and what `Meta.json_schema` adds."""

    def schema2jsonschema(self, schema: Any) -> Json:
        """The JSON Schema of a marshmallow schema."""
        instance = resolve_schema_instance(schema)
        more = getattr(instance.Meta, "json_schema", {})
        return {"description": split_docstring(instance)[0], **super().schema2jsonschema(instance), **more}


class SchemaPlugin(MarshmallowPlugin):
    """apispec's plugin for marshmallow, with our converter."""

    Converter = Converter


def init_app(app: Flask) -> None:
    """Make the document at its first reading, and keep it."""
    app.extensions["openapi"] = functools.cache(lambda: orjson.dumps(document(app)))


def document(app: Flask) -> Json:
    """The OpenAPI 3.1 document of the resources of this application."""
    spec = APISpec(
        "Kennel", "1", "3.1.1", [SchemaPlugin(schema_name)], info={"description": INFO}, servers=[{"url": "/"}]
    )
    for name, meaning in TAGS.items():
        spec.tag({"name": name, "description": meaning})
    add_components(spec, app.config["SESSION_COOKIE_NAME"])
    named = set(spec.components.schemas)
    for rule, resource in resources(app):
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        verbs = {method: getattr(resource, method.lower()) for method in sorted(resource.methods)}
        spec.path(path, operations={name.lower(): operation(resource, name, rule) for name in verbs})
        named |= {schema_name(schema) for verb in verbs.values() for schema in request_body_schemas(verb).values()}
    for name, schema in spec.components.schemas.items():
        if name not in named:
            schema["required"] = list(schema["properties"])  # what goes out is always whole
    return spec.to_dict()


def add_components(spec: APISpec, cookie: str) -> None:
    """What the operations share: who may call, headers, and failures."""
    spec.components.security_scheme("cookie", {"type": "apiKey", "in": "cookie", "name": cookie})
    spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer"})
    for name, meaning in HEADERS.items():
        spec.components.header(name, {"description": meaning, "required": name != "Link", "schema": TEXT})
    spec.components.schema("Failure", FAILURES[JSON])
    spec.components.schema("Problem", FAILURES[PROBLEM])
    for status in {kind.status for kind in ERROR_TYPES.values()}:
        spec.components.response(str(status), failure(status))
    spec.components.response("302", {"description": "It is at another URL for now.", "headers": headers(302)})
    spec.components.response("304", {"description": "It is the one that you have.", "headers": headers(304)})


def failure(status: int) -> Json:
    """The answer of a failed call, with an example."""
    kinds = [kind for kind in ERROR_TYPES.values() if kind.status == status]
    facts = {"type": kinds[0].path, "request_id": "0508c9fb52dc498a8b883ecc55b08167"}
    example = {"data": {}, "status": {"code": status, "message": kinds[0].title}, "error": facts}
    return {
        "description": " ".join(kind.meaning for kind in kinds),
        "headers": headers(status),
        "content": {JSON: {"schema": "Failure", "example": example}, PROBLEM: {"schema": "Problem"}},
    }


def headers(status: int, description: str = "") -> Json:
    """The headers that go with a status, and those that a description names."""
    named = {name for name in HEADERS if f"`{name}`" in description}
    return {name: name for name in sorted({"X-Request-ID", *STATUS_HEADERS.get(status, []), *named})}


def resources(app: Flask) -> Iterator[tuple[Rule, Any]]:
    """The URL and the class of each resource."""
    for rule in app.url_map.iter_rules():
        resource = getattr(app.view_functions[rule.endpoint], "view_class", None)
        if resource:
            yield rule, resource


def operation(resource: Any, method: str, rule: Rule) -> Json:
    """What a verb does, needs and answers."""
    verb = getattr(resource, method.lower())
    answer: ResponseSpec = verb.answer
    summary, description = split_docstring(verb)
    query = getattr(verb, "query_schema", None)
    found: Json = {
        "operationId": f"{method.lower()}{resource.__name__}",
        "tags": [resource.__module__.rpartition(".")[2]],
        "summary": summary.rstrip("."),
        "description": description,
        "parameters": [
            *({"in": "path", "name": name, "schema": path_schema(rule, name)} for name in sorted(rule.arguments)),
            *([{"in": "query", "schema": query}] if query else []),
            *(
                {"in": "header", "name": name, "description": meaning, "schema": TEXT}
                for name, meaning in REQUEST_HEADERS.items()
                if f"`{name}`" in description
            ),
        ],
        "responses": {
            str(answer.status): {
                "description": "Success",
                "headers": headers(answer.status, description),
                "content": {answer.media_type: {"schema": answer_schema(answer)}},
            },
            **{str(status): str(status) for status in sorted(error_statuses(verb, method, rule))},
        },
    }
    if method not in resource.public:
        found["security"] = [{"cookie": []}, {"bearer": []}]
    content: Json = {kind: {"schema": schema} for kind, schema in request_body_schemas(verb).items()}
    if MULTIPART in content:
        content[MULTIPART]["encoding"] = {"file": {"contentType": FILE_TYPES}}
    if content:
        found["requestBody"] = {"required": True, "content": content}
    return found


def split_docstring(thing: Any) -> tuple[str, str]:
    """The first line of a docstring, and the rest of it."""
    summary, _, rest = (inspect.getdoc(thing) or "").partition("\n")
    return summary, rest.strip()


def path_schema(rule: Rule, name: str) -> Json:
    """What a variable part of a path may hold."""
    converter = rule._converters[name]
    if isinstance(converter, IntegerConverter):
        return {"type": "integer", "minimum": 0, "maximum": converter.max}
    return TEXT


def answer_schema(answer: ResponseSpec) -> Json:
    """The JSON Schema of what a verb sends: its data in the envelope, or a file."""
    if answer.schema is None:
        return {"type": "object"} if answer.media_type == JSON else {"type": "string", "format": "binary"}
    status = strict_object(code={"const": answer.status}, message={"const": "Success"})
    if answer.many:
        return strict_object(data={"type": "array", "items": answer.schema}, status=status, page=PAGE)
    return strict_object(data=answer.schema, status=status)


def error_statuses(verb: Any, method: str, rule: Rule) -> set[int]:
    """The statuses that a verb can answer with, beside its success."""
    named = {int(status) for status in STATUS.findall(split_docstring(verb)[1])}
    foreign_page = {403} if method != "GET" else set()
    unknown = {404} if rule.arguments else set()
    other_type = {415} if request_body_schemas(verb) else set()
    return COMMON_STATUSES | named | foreign_page | unknown | other_type


def request_body_schemas(verb: Any) -> dict[str, Schema]:
    """What a verb takes, by content type. A file comes in a multipart form alone."""
    schema: Schema | None = getattr(verb, "body_schema", None)
    if schema is None:
        return {}
    if "file" not in schema.fields:
        return {JSON: schema, FORM: schema}
    if schema.fields["file"].required:
        return {MULTIPART: schema}
    without_file = type(schema)(exclude=["file"])
    return {JSON: without_file, FORM: without_file, MULTIPART: schema}


def schema_name(schema: Any) -> str:
    """What a schema is called in the document."""
    instance = resolve_schema_instance(schema)
    name = type(instance).__name__.removesuffix("Schema")
    return f"{name}Form" if "file" in instance.fields else name
