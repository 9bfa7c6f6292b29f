"""The base of all resources: default deny, and the decorators that declare the input and output of a verb."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache, wraps
from typing import Any, NamedTuple

import flask_restful
from flask import Response, current_app, url_for
from flask_login import current_user
from marshmallow import Schema, ValidationError

from schemas import SchemaContext, compile_dump

from ..http.body import ParsedInput, parse_query, read_body, reject_oversized_body
from ..http.conditional import is_not_modified
from ..http.pagination import MAX_CACHED_QUERY_BYTES, QUERY_CACHE_SIZE, Page
from ..http.request import current_request
from ..http.responses import JSON, JsonResponse, NotModified, success_body
from ..pictures.store import render_limited
from ..security.authentication import bearer_token, require_login

Handler = Callable[..., Any]
Dump = Callable[[Any], Any]


class ResponseSpec(NamedTuple):
    """The responses of a verb, for the OpenAPI document.

    JSON has a `schema`, wrapped in the envelope; `many` is a list. `errors` are the error statuses besides those that
    every verb can return. `has_etag` declares an `ETag` header (and for reads `If-None-Match` and 304).
    """

    media_type: str
    status: int = 200
    schema: Schema | None = None
    many: bool = False
    errors: frozenset[int] = frozenset()
    has_etag: bool = False
    has_location: bool = False


class FileResponse(NamedTuple):
    """A file to send, with its headers. `etag` changes with the content."""

    content: Any
    headers: Mapping[str, str] = {}
    etag: str | None = None


class Redirect(NamedTuple):
    """A temporary redirect to the URL of a file, with its headers."""

    url: str
    headers: Mapping[str, str]


class Resource(flask_restful.Resource):
    """A resource. Each of its verbs requires a login, unless the class lists it in `public` (default deny)."""

    public: frozenset[str] | set[str] = frozenset()
    ignores_query = False  # clients add timestamps to some URLs, to bypass a cache
    init_every_request = False  # one instance serves all requests, so it has no state

    def dispatch_request(self, **path: Any) -> Any:
        """Call the verb if the caller may. Raises `Unauthorized`, and `ValidationError` for unknown parameters."""
        request = current_request()
        method = "GET" if request.method == "HEAD" else request.method
        # An invalid token is refused everywhere, also on public verbs.
        if method not in self.public or bearer_token() is not None:
            require_login()
        verb = getattr(self, method.lower())
        if "CONTENT_LENGTH" in request.environ and not hasattr(verb, "body_schema"):
            reject_oversized_body()
        if request.query_string and not self.ignores_query and not hasattr(verb, "query_schema"):
            raise ValidationError({name: ["Unknown parameter."] for name in parse_query(request.query_string).values})
        return super().dispatch_request(**path)


def takes(schema_class: type[Schema], source: str = "body") -> Callable[[Handler], Handler]:
    """Decorator: load the body (or with `source="query"` the query string), and pass its fields to the verb.

    They are its first argument after `self`. Raises `ValidationError` with every invalid field, and what
    `api.http.body` raises.
    """
    schema = schema_class()

    def decorate(verb: Handler) -> Handler:
        @wraps(verb)
        def wrapper(self: Any, **path: Any) -> Any:
            fields = load_query(schema) if source == "query" else load_body(schema)
            return verb(self, fields, **path)

        setattr(wrapper, f"{source}_schema", schema)
        return wrapper

    return decorate


def load_body(schema: Schema) -> dict[str, Any]:
    """Load the fields of the body. Raises what `load` and `read_body` raise."""
    body = read_body("file" in schema.fields)
    with SchemaContext({"render": render_limited, "user": current_user}):
        return load(schema, body)


def load_query(schema: Schema) -> dict[str, Any]:
    """Load the parameters of the query string. Raises what `load` and `parse_query` raise."""
    query_string = current_request().query_string
    is_short = len(query_string) <= MAX_CACHED_QUERY_BYTES
    return (load_query_cached if is_short else load_parameters)(schema, query_string).copy()


def load_parameters(schema: Schema, query_string: bytes) -> dict[str, Any]:
    """Load a query string. A parameter without a value is no filter."""
    fields = load(schema, parse_query(query_string))
    return {name: value for name, value in fields.items() if value != ""}


# Query schemas depend on nothing else, so the result can be cached; do not modify it.
load_query_cached = lru_cache(QUERY_CACHE_SIZE)(load_parameters)


def load(schema: Schema, parsed: ParsedInput) -> dict[str, Any]:
    """Load the parsed input. Raises `ValidationError` with every invalid field at once."""
    try:
        # Insert None for fields that could not be parsed: it is invalid in every field, and its message is replaced.
        fields = schema.load({**parsed.values, **dict.fromkeys(parsed.errors)})
    except ValidationError as error:
        raise ValidationError({**error.messages_dict, **parsed.errors}) from None
    if parsed.errors:
        raise ValidationError(dict(parsed.errors))
    return fields


def gives(
    schema_class: type[Schema],
    status: int = 200,
    *,
    many: bool = False,
    errors: Collection[int] = (),
    etag: bool = False,
    location: str | None = None,
) -> Callable[[Handler], Handler]:
    """Decorator: send what the verb returns through the schema: a row, with `many` a `Page`, or None as `{}`.

    `errors` declares the statuses of failures of this verb. With `etag`, the row has an `etag`, which is sent and
    compared with `If-None-Match`. `location` is the endpoint of the URL of the created row, such as `dogitem`.
    """
    schema = schema_class()
    dump = compile_dump(schema)

    def decorate(verb: Handler) -> Handler:
        @wraps(verb)
        def wrapper(self: Any, *args: Any, **path: Any) -> Response:
            result = verb(self, *args, **path)
            with SchemaContext({"pictures": f"{current_app.config['PUBLIC_URL']}/profile_pics"}):
                response = page_response(result, dump) if many else row_response(result, dump, status, etag)
            if location:
                response.headers["Location"] = item_url(location, result)
            return response

        spec = ResponseSpec(JSON, status, schema, many, frozenset(errors), etag, location is not None)
        wrapper.spec = spec  # type: ignore[attr-defined]
        return wrapper

    return decorate


def page_response(page: Page, dump: Dump) -> Response:
    """Return the response of a list, with its next page in the body and in a `Link` header (RFC 8288)."""
    body = success_body([dump(row) for row in page.rows], 200, page={"limit": page.limit, "next": page.next})
    response = JsonResponse(body, 200)
    if page.next:
        response.headers["Link"] = f'<{page.next_url}>; rel="next"'
    return response


def row_response(row: Any, dump: Dump, status: int, has_etag: bool) -> Response:
    """Return the response of one row, or of None; 304 if the client's copy is current."""
    etag = row.etag if has_etag else None
    response: Response
    if is_not_modified(etag):
        response = NotModified()
    else:
        response = JsonResponse(success_body({} if row is None else dump(row), status), status)
    if etag:
        response.headers["ETag"] = f'"{etag}"'
    return response


def item_url(endpoint: str, row: Any) -> str:
    """Return the absolute URL of this row, by an endpoint whose only argument is its id."""
    (rule,) = current_app.url_map.iter_rules(endpoint)
    (argument,) = rule.arguments
    return url_for(endpoint, _external=True, **{argument: row.id})


def sends_file(
    media_type: str, *, errors: Collection[int] = (), etag: bool = False, redirects: bool = False
) -> Callable[[Handler], Handler]:
    """Decorator: send the `FileResponse` that the verb returns, or a `Redirect` to it where it `redirects`."""

    def decorate(verb: Handler) -> Handler:
        @wraps(verb)
        def wrapper(self: Any, **path: Any) -> Response:
            file: FileResponse | Redirect = verb(self, **path)
            if isinstance(file, Redirect):
                return Response(status=302, headers={**file.headers, "Location": file.url})
            if is_not_modified(file.etag):
                response = Response(status=304, headers=file.headers)
            else:
                response = Response(file.content, mimetype=media_type, headers=file.headers)
            if file.etag:
                response.set_etag(file.etag)
            return response

        statuses = frozenset({*errors, *([302] if redirects else [])})
        wrapper.spec = ResponseSpec(media_type, errors=statuses, has_etag=etag)  # type: ignore[attr-defined]
        return wrapper

    return decorate
