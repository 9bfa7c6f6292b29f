"""The log: one line a request, to standard error, as text or JSON. What libraries warn of goes there too.

It never holds a password, token, cookie or e-mail, unless `LOG_LEVEL` is `debug`, which quotes exceptions in full.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from flask import Flask, Response, g, has_request_context

from ..http.request import current_request

log = logging.getLogger("kennel")


def init_app(app: Flask) -> None:
    """Send the log to standard error, and a line of each request."""
    configure_logging(app.config["LOG_FORMAT"], app.config["LOG_LEVEL"])
    app.after_request(log_request)


def configure_logging(log_format: str, level: str) -> None:
    """Give our log one handler that writes in this format, and what libraries warn of the same one.

    Else Python would print that as it comes, and not as JSON. At no level do libraries tell more: a line of theirs may
    hold a query and its values.
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
    # Python would find out for each line which thread and process it comes from, and no line of ours says so.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def log_request(response: Response) -> Response:
    """Log the request, by its route and not by its path or query, which hold what users typed."""
    asked = current_request()
    if log.isEnabledFor(logging.INFO):
        # As the logger makes it, but for where in the code it is: to find that out would take longer than all else.
        record = logging.LogRecord(log.name, logging.INFO, "", 0, "", None, None)
        facts = {
            "method": asked.method,
            "route": asked.url_rule.rule if asked.url_rule else "(no route)",
            "status": response.status_code,
            "ms": round((time.perf_counter() - asked.started) * 1000, 1),
        }
        user = g.get("_login_user")
        if user is not None and user.is_authenticated:
            facts["user"] = user.id
        record.__dict__["facts"] = facts
        log.handle(record)
    return response


@lru_cache(maxsize=1)
def format_second(at: int) -> str:
    """A Unix time as date and time, remembered: most lines come in the same second as the one before."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def record_fields(record: logging.LogRecord) -> dict[str, Any]:
    """What a line says."""
    facts = {
        "time": f"{format_second(int(record.created))}.{int(record.msecs):03}+00:00",
        "level": record.levelname.lower(),
    }
    if message := record.getMessage():
        facts["message"] = message
    facts.update(getattr(record, "facts", {}))
    if record.name != log.name:
        facts["logger"] = record.name
    if has_request_context():
        facts["request_id"] = current_request().id
    if record.exc_info:
        facts["exception"] = format_traceback(record.exc_info[1])
    return facts


def format_traceback(error: BaseException | None) -> str:
    """Where an exception came from, and what it was raised from, by kinds and lines of code.

    Its text may quote what a user sent, a password for one, so it stands in the log at the level `debug` alone.
    """
    if log.isEnabledFor(logging.DEBUG):
        return "".join(traceback.format_exception(error)).rstrip()
    parts = []
    while error is not None:
        parts.append("".join([*traceback.format_tb(error.__traceback__), type(error).__name__]))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\nraised from\n".join(parts)


class TextFormatter(logging.Formatter):
    """Lines for people."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and below it the exception, where there is one."""
        facts = record_fields(record)
        start = f"{facts.pop('time')} {facts.pop('level').upper()} {facts.pop('message', '')}".rstrip()
        exception = facts.pop("exception", None)
        line = " ".join([start, *[f"{name}={fact}" for name, fact in facts.items()]])
        return f"{line}\n{exception}" if exception else line


class JsonFormatter(logging.Formatter):
    """Lines for machines."""

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object."""
        return json.dumps(record_fields(record))
