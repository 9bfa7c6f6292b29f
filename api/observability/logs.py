"""Logging: one line per request to standard error, as text or JSON. Warnings of libraries go there too.

The log never holds a password, token, cookie or e-mail address, unless `LOG_LEVEL` is `debug`: then the messages of
exceptions are logged in full.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import traceback
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any

from flask import Flask, Response, g, has_request_context

from ..http.request import current_request

log = logging.getLogger("kennel")

# The statuses of requests whose line says who sent them: failed logins, refused origins, limits.
REFUSALS = (401, 403, 429)
ORIGIN = re.compile(r"null|[a-z][a-z0-9+.-]*://[A-Za-z0-9.:\[\]_-]{1,255}")
# Values that need no quotes in the text format.
UNQUOTED = re.compile(r"[^\s\"=]+")


def init_app(app: Flask) -> None:
    """Send the log to standard error, and log each request."""
    configure_logging(app.config["LOG_FORMAT"], app.config["LOG_LEVEL"])
    app.after_request(log_request)


def configure_logging(log_format: str, level: str) -> None:
    """Send our log and the warnings of libraries to one handler, in this format.

    Libraries log warnings and errors only, whatever the level: their other messages may hold a query and its values.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    log.handlers = [handler]
    log.setLevel(level.upper())
    log.propagate = False
    root = logging.getLogger()
    others = [other for other in root.handlers if not isinstance(other.formatter, JsonFormatter | TextFormatter)]
    root.handlers = [*others, handler]
    root.setLevel(max(logging.WARNING, log.level))
    logging.captureWarnings(True)
    # Do not collect what no line shows: the caller, thread and process (logging HOWTO, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def log_request(response: Response) -> Response:
    """Log the request by its route. Path and query are not logged: they hold what users typed."""
    request = current_request()
    fields = {
        "method": request.method,
        "route": request.url_rule.rule if request.url_rule else "(no route)",
        "status": response.status_code,
        "duration_ms": round((time.perf_counter() - request.started) * 1000, 1),
    }
    user = g.get("_login_user")
    if user is not None and user.is_authenticated:
        fields["user_id"] = user.id
    if response.status_code in REFUSALS or is_refused_preflight(response):
        fields |= describe_client()
    log.info("request", extra={"fields": fields | request.log_fields})
    return response


def is_refused_preflight(response: Response) -> bool:
    """Return whether this tells a browser that the page may not call the API (Fetch, section 3.3.5)."""
    request = current_request()
    is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    return is_preflight and "Access-Control-Allow-Origin" not in response.headers


def describe_client() -> dict[str, str]:
    """Return the origin of the page, if one was sent, and the network of the client: its address, shortened."""
    request = current_request()
    origin = request.headers.get("Origin", "")
    return {
        **({"origin": origin} if ORIGIN.fullmatch(origin) else {}),
        "network": shorten_address(request.client_ip),
    }


def shorten_address(address: IPv4Address | IPv6Address | None) -> str:
    """Return the /24 network of an IPv4 address, or the /48 of an IPv6 address."""
    if address is None:
        return "unknown"
    return str(ip_network(f"{address}/{24 if address.version == 4 else 48}", strict=False))


@lru_cache(maxsize=1)
def format_second(timestamp: int) -> str:
    """Format a Unix time, in seconds. Cached, because most lines share the second of the line before."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def record_fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields of a line. Records of ours may add some by `extra={"fields": {...}}`."""
    fields = {
        "time": f"{format_second(int(record.created))}.{int(record.msecs):03}+00:00",
        "level": record.levelname.lower(),
        "message": record.getMessage(),
    }
    if record.name == log.name:
        fields.update(getattr(record, "fields", {}))
    else:
        fields["logger"] = record.name
    if has_request_context():
        fields["request_id"] = current_request().id
    if record.exc_info:
        fields["exception"] = format_traceback(record.exc_info[1])
    return fields


def format_traceback(error: BaseException | None) -> str:
    """Format an exception and its causes by type and lines of code.

    Its message is left out, except at the level `debug`: it may quote what a user sent, such as a password.
    """
    if log.isEnabledFor(logging.DEBUG):
        return "".join(traceback.format_exception(error)).rstrip()
    parts = []
    while error is not None:
        parts.append("".join([*traceback.format_tb(error.__traceback__), type(error).__name__]))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\nraised from\n".join(parts)


def quote(value: object) -> str:
    """Format the value of a field: in double quotes if it contains a space, a quote or an equals sign."""
    text = str(value)
    return text if UNQUOTED.fullmatch(text) else json.dumps(text)


class TextFormatter(logging.Formatter):
    """Formats a record as one line for people: `TIME LEVEL message name=value ...`, with any traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = record_fields(record)
        start = [fields.pop("time"), fields.pop("level").upper(), fields.pop("message")]
        exception = fields.pop("exception", None)
        line = " ".join([*start, *(f"{name}={quote(value)}" for name, value in fields.items())])
        return f"{line}\n{exception}" if exception else line


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the JSON text."""
        return json.dumps(record_fields(record))
