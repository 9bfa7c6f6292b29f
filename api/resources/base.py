"""What all resources share: who may call a verb, what it takes and what it gives."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import flask_restful
from flask import Response, current_app, request
from flask_login import current_user
from marshmallow import Schema, ValidationError

from schemas import Around

from ..auth import bearer_token, require_login
from ..body import Sent, read_body, read_query, refuse_large_body
from ..envelope import envelope, json_response
from ..paging import Page
from ..storage import render_in_slot

Verb = Callable[..., Any]


class Resource(flask_restful.Resource):
    """A resource. Each of its verbs needs a login, unless the class names it in `public`."""

    public: frozenset[str] | set[str] = frozenset()

    def dispatch_request(self, **path: Any) -> Any:
        """Call the verb if the caller may. Raises `Unauthorized`, and `ValidationError` for an unknown parameter."""
        method = "GET" if request.method == "HEAD" else request.method
        # A bad token is refused everywhere, so that nobody takes its answers for those of its user.
        if method not in self.public or bearer_token() is not None:
            require_login()
        verb = getattr(self, method.lower())
        if not hasattr(verb, "body_schema"):
            refuse_large_body()
        if request.args and not hasattr(verb, "query_schema"):
            raise ValidationError({name: ["Unknown parameter."] for name in request.args})
        return super().dispatch_request(**path)


def takes(schema_class: type[Schema], source: str = "body") -> Callable[[Verb], Verb]:
    """Check the body, or with `source="query"` the query, and hand its fields to the verb as its first argument.

    Raises `ValidationError` with every wrong field, and what `api.body` raises.
    """
    schema = schema_class()

    def decorate(verb: Verb) -> Verb:
        @wraps(verb)
        def checked(self: Any, **path: Any) -> Any:
            sent = read_query() if source == "query" else read_body("file" in schema.fields)
            return verb(self, load(schema, sent), **path)

        setattr(checked, f"{source}_schema", schema)
        return checked

    return decorate


def load(schema: Schema, sent: Sent) -> dict[str, Any]:
    """The fields that were sent, checked. Raises `ValidationError` that names every wrong one at once."""
    with Around({"render": render_in_slot, "user": current_user}):
        try:
            # What can't be used is there all the same: None is wrong in every field, and its message is replaced.
            fields = schema.load({**sent.values, **dict.fromkeys(sent.errors)})
        except ValidationError as error:
            raise ValidationError({**error.messages_dict, **sent.errors}) from None
    if sent.errors:
        raise ValidationError(dict(sent.errors))
    return fields


def gives(schema_class: type[Schema], status: int = 200) -> Callable[[Verb], Verb]:
    """Send what the verb returns through the schema: a row with its ETag, a `Page` with its links, None as `{}`."""
    schema = schema_class()

    def decorate(verb: Verb) -> Verb:
        @wraps(verb)
        def given(self: Any, *args: Any, **path: Any) -> Response:
            result = verb(self, *args, **path)
            with Around({"pictures": f"{current_app.config['PUBLIC_URL']}/profile_pics"}):
                if isinstance(result, Page):
                    return page_response(result, schema, status)
                return row_response(result, schema, status)

        return given

    return decorate


def page_response(page: Page, schema: Schema, status: int) -> Response:
    """A list, with the way to its next page in the body and in a `Link` header (RFC 8288)."""
    links = {"limit": page.limit, "next": page.next}
    response = json_response(envelope(schema.dump(page.rows, many=True), status, page=links), status)
    if page.next:
        response.headers["Link"] = f'<{page.next_url}>; rel="next"'
    return response


def row_response(row: Any, schema: Schema, status: int) -> Response:
    """One row, or nothing; a row that has an `etag` is not sent again to a reader who has it (RFC 9110, 13.1.2)."""
    etag = getattr(row, "etag", None)
    if etag and request.method in ("GET", "HEAD") and request.if_none_match.contains_weak(etag):
        response = Response(status=304)
    else:
        response = json_response(envelope({} if row is None else schema.dump(row), status), status)
    if etag:
        response.set_etag(etag)
    if status == 201 and etag:
        response.headers["Location"] = f"{current_app.config['PUBLIC_URL']}{request.path.rstrip('/')}/{row.id}"
    return response
