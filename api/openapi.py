"""The OpenAPI document, generated from the routes, the verbs' declarations and docstrings, and the schemas."""

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
from .http.responses import JSON
from .openapi_components import PAGE, TEXT, Json, add_components, headers, strict_object
from .resources.base import ResponseSpec
from .resources.system import api_document
from .version import version

INFO = """User accounts with profile pictures, sessions that the server can revoke, and resources that belong to users.

Authentication is by session cookie: log in with `POST /user/login`. A page on another origin sends the cookie with
`credentials: "include"`, and its origin must be listed in `CORS_ORIGINS`.

Every JSON response has the same envelope: `data`, and `status` with the HTTP status code and a message. An error also
has `error`, whose `type` is the path of a page that explains it. Paths are valid with and without a trailing slash.
Strings are trimmed before validation.
"""
# Statuses that every operation can return: a malformed query or body, an invalid token, a body that is too large, an
# unknown parameter, a bug, an outage, a full disk.
COMMON_STATUSES = {400, 401, 413, 422, 500, 503, 507}
IF_NONE_MATCH = "The `ETag` of your copy. The response is 304 while it is current."
IF_MATCH = "The `ETag` of your copy. The response is 412 if the resource was modified since."
FILE_TYPES = "image/jpeg, image/png, image/webp, image/gif, image/avif"


class Converter(OpenAPIConverter):
    """Converts marshmallow schemas, adding the first line of their docstring and their `Meta.json_schema`."""

    def schema2jsonschema(self, schema: Any) -> Json:
        """Return the JSON Schema of a marshmallow schema."""
        instance = resolve_schema_instance(schema)
        extra = getattr(instance.Meta, "json_schema", {})
        return {"description": split_docstring(instance)[0], **super().schema2jsonschema(instance), **extra}


class SchemaPlugin(MarshmallowPlugin):
    """apispec's plugin for marshmallow, with our converter."""

    Converter = Converter


def init_app(app: Flask) -> None:
    """Generate the document at its first request, and cache it."""
    api_document.set(app, functools.cache(lambda: orjson.dumps(document(app))))


def document(app: Flask) -> Json:
    """Return the OpenAPI 3.1 document of this application."""
    spec = APISpec(
        "Kennel", version(), "3.1.1", [SchemaPlugin(schema_name)], info={"description": INFO}, servers=[{"url": "/"}]
    )
    for module in dict.fromkeys(inspect.getmodule(resource) for _, resource in resources(app)):
        spec.tag({"name": tag_name(module), "description": split_docstring(module)[0]})
    add_components(spec, app.config["SESSION_COOKIE_NAME"])
    unchanged = set(spec.components.schemas)
    for rule, resource in resources(app):
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        verbs = {method: getattr(resource, method.lower()) for method in sorted(resource.methods)}
        spec.path(path, operations={name.lower(): operation(resource, name, rule) for name in verbs})
        unchanged |= {schema_name(schema) for verb in verbs.values() for schema in request_body_schemas(verb).values()}
    for name, schema in spec.components.schemas.items():
        if name not in unchanged:
            schema["required"] = list(schema["properties"])  # a response has all its properties
    return spec.to_dict()


def success_headers(spec: ResponseSpec) -> Json:
    """Return the headers of a successful response."""
    declared = {"ETag": spec.has_etag, "Link": spec.many, "Location": spec.has_location}
    return headers(spec.status, *(name for name, is_sent in declared.items() if is_sent))


def conditional_headers(spec: ResponseSpec, method: str) -> list[Json]:
    """Return the request headers of conditional requests."""
    if not spec.has_etag:
        return []
    accepted = {"If-None-Match": (IF_NONE_MATCH, method == "GET"), "If-Match": (IF_MATCH, 412 in spec.errors)}
    return [
        {"in": "header", "name": name, "description": meaning, "schema": TEXT}
        for name, (meaning, is_accepted) in accepted.items()
        if is_accepted
    ]


def tag_name(module: Any) -> str:
    """Return the tag of the resources of a module, such as `dogs` for `api.resources.dogs`."""
    name: str = module.__name__
    return name.rpartition(".")[2]


def resources(app: Flask) -> Iterator[tuple[Rule, Any]]:
    """Yield the URL rule and the class of each resource."""
    for rule in app.url_map.iter_rules():
        resource = getattr(app.view_functions[rule.endpoint], "view_class", None)
        if resource:
            yield rule, resource


def operation(resource: Any, method: str, rule: Rule) -> Json:
    """Return the operation object of a method."""
    verb = getattr(resource, method.lower())
    spec: ResponseSpec = verb.spec
    summary, description = split_docstring(verb)
    query = getattr(verb, "query_schema", None)
    result: Json = {
        "operationId": f"{method.lower()}{resource.__name__}",
        "tags": [tag_name(inspect.getmodule(resource))],
        "summary": summary.rstrip("."),
        "description": description,
        "parameters": [
            *({"in": "path", "name": name, "schema": path_schema(rule, name)} for name in sorted(rule.arguments)),
            *([{"in": "query", "schema": query}] if query else []),
            *conditional_headers(spec, method),
        ],
        "responses": {
            str(spec.status): {
                "description": "Success",
                "headers": success_headers(spec),
                "content": {spec.media_type: {"schema": success_schema(spec)}},
            },
            **{str(status): str(status) for status in sorted(other_statuses(verb, method, rule))},
        },
    }
    if method not in resource.public:
        result["security"] = [{"cookie": []}, {"bearer": []}]
    content: Json = {kind: {"schema": schema} for kind, schema in request_body_schemas(verb).items()}
    if MULTIPART in content:
        content[MULTIPART]["encoding"] = {"file": {"contentType": FILE_TYPES}}
    if content:
        result["requestBody"] = {"required": True, "content": content}
    return result


def split_docstring(thing: Any) -> tuple[str, str]:
    """Return the first line of a docstring, and the rest of it."""
    summary, _, rest = (inspect.getdoc(thing) or "").partition("\n")
    return summary, rest.strip()


def path_schema(rule: Rule, name: str) -> Json:
    """Return the JSON Schema of a path parameter."""
    converter = rule._converters[name]
    if isinstance(converter, IntegerConverter):
        return {"type": "integer", "minimum": 0, "maximum": converter.max}
    return TEXT


def success_schema(spec: ResponseSpec) -> Json:
    """Return the JSON Schema of a success: data in the envelope, or a file."""
    if spec.schema is None:
        return {"type": "object"} if spec.media_type == JSON else {"type": "string", "format": "binary"}
    status = strict_object(code={"const": spec.status}, message={"const": "Success"})
    if spec.many:
        return strict_object(data={"type": "array", "items": spec.schema}, status=status, page=PAGE)
    return strict_object(data=spec.schema, status=status)


def other_statuses(verb: Any, method: str, rule: Rule) -> set[int]:
    """Return the statuses that a method can return besides its success."""
    spec: ResponseSpec = verb.spec
    cross_origin = {403} if method != "GET" else set()
    not_found = {404} if rule.arguments else set()
    media_type = {415} if request_body_schemas(verb) else set()
    not_modified = {304} if spec.has_etag and method == "GET" else set()
    return COMMON_STATUSES | spec.errors | cross_origin | not_found | media_type | not_modified


def request_body_schemas(verb: Any) -> dict[str, Schema]:
    """Return the schemas of the request body by content type. A file requires a multipart form."""
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
    """Return the name of a schema in the document."""
    instance = resolve_schema_instance(schema)
    name = type(instance).__name__.removesuffix("Schema")
    return f"{name}Form" if "file" in instance.fields else name
