"""What all resources share: who may call a verb, what it takes and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from typing import Any, NamedTuple

import flask_restful
from flask import Response, current_app, request
from flask_login import current_user
from marshmallow import Schema, ValidationError

from schemas import SchemaContext, compile_dump

from ..http.body import (
    MAX_CACHED_QUERY_BYTES,
    QUERY_CACHE_SIZE,
    ParsedInput,
    current_request,
    read_body,
    read_query,
    reject_oversized_body,
)
from ..http.pagination import Page
from ..http.responses import JSON, JsonResponse, NotModified, success_body
from ..pictures.store import render_limited
from ..security.authentication import bearer_token, require_login

Handler = Callable[..., Any]
Dump = Callable[[Any], Any]


class ResponseSpec(NamedTuple):
    """What a verb answers when all is well: of JSON with a `schema`, data in the envelope; `many` is a list."""

    media_type: str
    status: int = 200
    schema: Schema | None = None
    many: bool = False


class FileResponse(NamedTuple):
    """A file to send as it is, and what goes with it. `etag` changes when the content does."""

    content: Any
    headers: Mapping[str, str] = {}
    etag: str | None = None


class Redirect(NamedTuple):
    """Where the file is for now, and what goes with it."""

    url: str
    headers: Mapping[str, str]


class Resource(flask_restful.Resource):
    """A resource. Each of its verbs needs a login, unless the class names it in `public`."""

    public: frozenset[str] | set[str] = frozenset()
    init_every_request = False  # one object serves all requests, so it keeps nothing of one

    def dispatch_request(self, **path: Any) -> Any:
        """Call the verb if the caller may. Raises `Unauthorized`, and `ValidationError` for an unknown parameter."""
        asked = current_request()
        method = "GET" if asked.method == "HEAD" else asked.method
        # A bad token is refused everywhere, so that nobody takes its answers for those of its user.
        if method not in self.public or bearer_token() is not None:
            require_login()
        verb = getattr(self, method.lower())
        if "CONTENT_LENGTH" in asked.environ and not hasattr(verb, "body_schema"):
            reject_oversized_body()
        if asked.query_string and not hasattr(verb, "query_schema"):
            raise ValidationError({name: ["Unknown parameter."] for name in asked.args})
        return super().dispatch_request(**path)


def takes(schema_class: type[Schema], source: str = "body") -> Callable[[Handler], Handler]:
    """Check the body, or with `source="query"` the query, and hand its fields to the verb as its first argument.

    Raises `ValidationError` with every wrong field, and what `api.body` raises.
    """
    schema = schema_class()

    def decorate(verb: Handler) -> Handler:
        @wraps(verb)
        def checked(self: Any, **path: Any) -> Any:
            fields = load_query(schema) if source == "query" else load_body(schema)
            return verb(self, fields, **path)

        setattr(checked, f"{source}_schema", schema)
        return checked

    return decorate


def load_body(schema: Schema) -> dict[str, Any]:
    """The fields of the body, checked. Raises as `load` does, and what `read_body` raises."""
    sent = read_body("file" in schema.fields)
    with SchemaContext({"render": render_limited, "user": current_user}):
        return load(schema, sent)


def load_query(schema: Schema) -> dict[str, Any]:
    """The parameters of the query, checked. Raises as `load` does."""
    query = current_request().query_string
    return (
        load_query_cached(schema, query).copy() if len(query) <= MAX_CACHED_QUERY_BYTES else load(schema, read_query())
    )


@lru_cache(QUERY_CACHE_SIZE)
def load_query_cached(schema: Schema, _: bytes) -> dict[str, Any]:
    """The same, remembered: a schema knows nothing but the query, so what it makes of one never changes."""
    return load(schema, read_query())


def load(schema: Schema, sent: ParsedInput) -> dict[str, Any]:
    """The fields that were sent, checked. Raises `ValidationError` that names every wrong one at once."""
    try:
        # What can't be used is there all the same: None is wrong in every field, and its message is replaced.
        fields = schema.load({**sent.values, **dict.fromkeys(sent.errors)})
    except ValidationError as error:
        raise ValidationError({**error.messages_dict, **sent.errors}) from None
    if sent.errors:
        raise ValidationError(dict(sent.errors))
    return fields


def gives(schema_class: type[Schema], status: int = 200, many: bool = False) -> Callable[[Handler], Handler]:
    """Send what the verb returns through the schema: a row, with `many` a `Page` of rows, or None as `{}`."""
    schema = schema_class()
    dump, respond = compile_dump(schema), page_response if many else row_response

    def decorate(verb: Handler) -> Handler:
        @wraps(verb)
        def given(self: Any, *args: Any, **path: Any) -> Response:
            result = verb(self, *args, **path)
            with SchemaContext({"pictures": f"{current_app.config['PUBLIC_URL']}/profile_pics"}):
                return respond(result, dump, status)

        given.answer = ResponseSpec(JSON, status, schema, many)  # type: ignore[attr-defined]
        return given

    return decorate


def page_response(page: Page, dump: Dump, status: int) -> Response:
    """A list, with the way to its next page in the body and in a `Link` header (RFC 8288)."""
    links = {"limit": page.limit, "next": page.next}
    response = JsonResponse(success_body([dump(row) for row in page.rows], status, page=links), status)
    if page.next:
        response.headers["Link"] = f'<{page.next_url}>; rel="next"'
    return response


def row_response(row: Any, dump: Dump, status: int) -> Response:
    """One row, or nothing. A row may have an `etag`."""
    etag = getattr(row, "etag", None)
    response: Response
    if not_modified(etag):
        response = NotModified()
    else:
        response = JsonResponse(success_body({} if row is None else dump(row), status), status)
    if etag:
        response.headers["ETag"] = f'"{etag}"'
    if status == 201 and etag:
        response.headers["Location"] = f"{current_app.config['PUBLIC_URL']}{request.path.rstrip('/')}/{row.id}"
    return response


def not_modified(etag: str | None) -> bool:
    """Whether the reader has what this `etag` names, so that it is not sent again (RFC 9110, section 13.1.2)."""
    asked = current_request()
    if etag is None or "HTTP_IF_NONE_MATCH" not in asked.environ:
        return False
    return asked.method in ("GET", "HEAD") and asked.if_none_match.contains_weak(etag)


def sends_file(media_type: str) -> Callable[[Handler], Handler]:
    """Send the `File` that the verb returns, or a `Redirect` to it."""

    def decorate(verb: Handler) -> Handler:
        @wraps(verb)
        def sent(self: Any, **path: Any) -> Response:
            file: FileResponse | Redirect = verb(self, **path)
            if isinstance(file, Redirect):
                return Response(status=302, headers={**file.headers, "Location": file.url})
            if not_modified(file.etag):
                response = Response(status=304, headers=file.headers)
            else:
                response = Response(file.content, mimetype=media_type, headers=file.headers)
            if file.etag:
                response.set_etag(file.etag)
            return response

        sent.answer = ResponseSpec(media_type)  # type: ignore[attr-defined]
        return sent

    return decorate
