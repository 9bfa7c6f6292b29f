"""All settings: name, type, default and meaning. Read from the environment and `.env`, and validated at start."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from flask.helpers import get_load_dotenv

from .config_parsers import (
    boolean,
    check_credentials,
    cookie_name,
    host,
    integer,
    one_of,
    origin,
    origins,
    rate_limit_storage_url,
    secret,
)

ROOT = Path(__file__).resolve().parent.parent
ENV_EXAMPLE_HEADER = """\
# The settings of Kennel, each with its default. Copy this file to .env, and uncomment what you change.
# `make env-example` writes this file from api/config.py.
"""


class ConfigError(ValueError):
    """An invalid setting. The message is one line: the setting, what is required, and an example."""


def database_url(text: str) -> str:
    """Parse a database URL. A relative SQLite path is relative to the project's folder; any is used as written."""
    if re.match(r"postgres(ql)?://.", text):
        check_credentials(text)
        return text
    if not text.startswith("sqlite:"):
        raise ValueError("must be a sqlite:/// or postgresql:// URL")
    path = text.removeprefix("sqlite:///")
    if path in (text, ""):
        raise ValueError("must be sqlite:/// followed by the path of a file")
    if path.startswith(":memory:"):
        raise ValueError("an in-memory database is not shared between threads")
    return text if path.startswith("/") else f"sqlite:///{ROOT / path}"


def uploads_url(text: str) -> str:
    """Parse a folder or `s3://bucket/prefix`. A relative folder is relative to the project's folder."""
    if "://" in text or text.startswith("s3:"):
        text = text.removesuffix("/")
        if not re.fullmatch(r"s3://[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9](/[A-Za-z0-9_-][A-Za-z0-9._-]*)*", text):
            raise ValueError("must be a folder, or s3:// followed by a bucket name and an optional prefix")
        return text
    folder = ROOT / text
    if folder.exists() and not folder.is_dir():
        raise ValueError("the path exists but is not a directory")
    return str(folder)


def setting(default: Any, parse: Callable[[str], Any], meaning: str, example: str = "") -> Any:
    """Return a field of `Config`. `example` is for the error message; without one it shows the default."""
    return field(default=default, metadata={"parse": parse, "meaning": meaning, "example": example or default})


@dataclass(frozen=True)
class Config:
    """The settings, for `Flask.config.from_object`."""

    HOST: str = setting("127.0.0.1", host, "The address that `python run.py` listens on.")
    PORT: int = setting("8000", integer(1, 65535), "The port that `python run.py` listens on.")
    DATABASE_URL: str = setting(
        "sqlite:///dogs.sqlite",
        database_url,
        "The database: `sqlite:///<file>`, or `postgresql://<user>:<password>@<host>/<database>`.",
    )
    DATABASE_POOL_SIZE: int = setting(
        "20", integer(1, 1000), "The maximum number of PostgreSQL connections of each worker process."
    )
    UPLOADS_URL: str = setting(
        "uploads",
        uploads_url,
        "Where pictures are stored: a folder, or `s3://bucket/prefix` with the usual `AWS_` variables.",
    )
    UPLOADS_REDIRECT: bool = setting(
        "false", boolean, "Whether to redirect browsers to signed S3 URLs, instead of serving pictures from here."
    )
    SECRET_KEY: str = setting(
        "", secret, "Signs cookies. When not set, one is generated and stored in `instance/secret_key`.",
        example="the output of: python -c 'import secrets; print(secrets.token_hex(32))'",
    )  # fmt: skip
    CORS_ORIGINS: tuple[str, ...] = setting(
        "http://localhost:3000,http://localhost:5173",
        origins,
        "The origins whose pages may call the API, separated by commas. With an https `PUBLIC_URL`, none by default.",
    )
    PUBLIC_URL: str = setting(
        "", origin,
        "This server's URL for browsers; `http://localhost:<PORT>` when not set. With https, cookies are `Secure`.",
        example="https://api.example.com",
    )  # fmt: skip
    SESSION_COOKIE_NAME: str = setting(
        "kennel_session",
        cookie_name,
        "The name of the session cookie. With an https `PUBLIC_URL`, it begins with `__Host-`.",
    )
    SESSION_COOKIE_SAMESITE: str = setting(
        "Lax",
        one_of("Lax", "Strict", "None"),
        "The `SameSite` attribute of the session cookie. `None` requires an https `PUBLIC_URL`.",
    )
    BCRYPT_LOG_ROUNDS: int = setting("12", integer(4, 18), "The cost factor of bcrypt, 10 or more.")
    RATELIMIT_ENABLED: bool = setting("true", boolean, "Whether logins and registrations are rate limited.")
    RATELIMIT_STORAGE_URI: str = setting(
        "database://", rate_limit_storage_url, "Where rate limits are counted: `database://` or `redis://...`."
    )
    TRUSTED_PROXIES: int = setting("0", integer(0, 9), "The number of trusted reverse proxies in front of this server.")
    WEB_CONCURRENCY: int = setting(
        "", integer(1, 256), "The number of worker processes; one per core when not set.", example="2"
    )
    METRICS_PORT: int | None = setting(
        "",
        integer(1, 65535),
        "The port of the Prometheus metrics at `/metrics`. Off when not set, and with `--dev`.",
        example="9464",
    )
    LOG_FORMAT: str = setting("text", one_of("text", "json"), "The format of log lines: `text` or `json`.")
    LOG_LEVEL: str = setting(
        "info",
        one_of("debug", "info", "warning", "error"),
        "The lowest level that is logged. At `debug`, errors may quote what users sent.",
    )
    TESTING: bool = False

    @classmethod
    def load(cls, overrides: Mapping[str, Any] | None = None) -> Config:
        """Return the validated settings. Precedence, lowest to highest: `.env`, environment, `overrides`.

        `TESTING` is read from `overrides` only, so that no stray variable can weaken a server.
        Raises `ConfigError`, whose message never contains the value of a secret.
        """
        overrides = dict(overrides or {})
        testing = bool(overrides.pop("TESTING", False))
        names = {item.name for item in fields(cls)} - {"TESTING"}
        for name in overrides.keys() - names:
            raise ConfigError(f"{name}: unknown setting")
        given = {**environment(), **overrides}
        values = {
            item.name: parse_setting(item.name, given.get(item.name), item.default, item.metadata)
            for item in fields(cls)
            if item.name != "TESTING"
        }
        values["PUBLIC_URL"] = values["PUBLIC_URL"] or f"http://localhost:{values['PORT']}"
        if not given.get("CORS_ORIGINS") and values["PUBLIC_URL"].startswith("https:"):
            values["CORS_ORIGINS"] = ()  # the defaults are for development
        values["WEB_CONCURRENCY"] = values["WEB_CONCURRENCY"] or os.cpu_count() or 1
        values["SECRET_KEY"] = values["SECRET_KEY"] or load_or_create_secret(ROOT / "instance" / "secret_key")
        config = cls(**values, TESTING=testing)
        if config.SESSION_COOKIE_SAMESITE == "None" and not config.IS_HTTPS:
            raise ConfigError(
                "SESSION_COOKIE_SAMESITE: browsers accept None over https only. "
                "Set PUBLIC_URL to an https URL too, for example https://api.example.com"
            )
        if config.METRICS_PORT == config.PORT:
            raise ConfigError("METRICS_PORT: must differ from PORT. For example: 9464")
        if config.UPLOADS_REDIRECT and not config.UPLOADS_URL.startswith("s3://"):
            raise ConfigError(
                "UPLOADS_REDIRECT: requires pictures on S3. "
                "Set UPLOADS_URL to a bucket too, for example s3://bucket/prefix"
            )
        if config.BCRYPT_LOG_ROUNDS < 10 and not testing:
            raise ConfigError("BCRYPT_LOG_ROUNDS: below 10, stolen hashes are cracked too fast. For example: 12")
        return config

    @property
    def IS_HTTPS(self) -> bool:  # noqa: N802 - Flask's configuration has upper-case names only
        """Whether browsers reach this server over https."""
        return self.PUBLIC_URL.startswith("https:")


def environment() -> dict[str, str | None]:
    """Return the variables of `.env` and of the environment, which takes precedence. Raises `ConfigError`.

    As with the `flask` command, `.env` is not read if `FLASK_SKIP_DOTENV` is 1.
    """
    return {**(read_dotenv(ROOT / ".env") if get_load_dotenv() else {}), **os.environ}


def read_dotenv(path: Path) -> dict[str, str | None]:
    """Return the variables of a `.env`, none if it does not exist. Raises `ConfigError`."""
    try:
        with open(path, encoding="utf-8") as file:
            return dotenv_values(stream=file)
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        raise ConfigError(".env: must be UTF-8 text with one setting per line, for example PORT=8000") from None
    except OSError as error:
        raise ConfigError(f".env: cannot be read ({error.strerror}). Allow this user to read it") from None


def misspelled_settings() -> dict[str, str]:
    """Return the names in `.env` that are close to that of a setting, and this one. Raises `ConfigError`."""
    names = [item.name for item in fields(Config)]
    given = environment().keys() - os.environ.keys() - set(names)
    return {name: match for name in sorted(given) for match in get_close_matches(name.upper(), names, 1, cutoff=0.85)}


def env_example() -> str:
    """Return the text of `.env.example`: each setting's meaning, and its default in a comment."""
    settings = (
        f"\n# {item.metadata['meaning']}\n# {item.name}={item.default}\n"
        for item in fields(Config)
        if item.name != "TESTING"
    )
    return "".join([ENV_EXAMPLE_HEADER, *settings])


def parse_setting(name: str, given: Any, default: Any, metadata: Mapping[str, Any]) -> Any:
    """Return the value of a setting. An empty one is not set; None if it has no fixed default."""
    text = ",".join(given) if isinstance(given, list | tuple) else str("" if given is None else given).strip()
    try:
        return metadata["parse"](text or default) if text or default else None
    except ValueError as error:
        raise ConfigError(f"{name}: {error}. For example: {metadata['example']}") from None


def load_or_create_secret(path: Path) -> str:
    """Return the key in this file, created at the first call. Concurrent first calls agree on one key."""
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if not path.exists():
            fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(32))
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):  # another process was first: its key is the key
                os.link(fresh, path)
            fresh.unlink()
        return secret(path.read_text().strip())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it contains no valid key"
        raise ConfigError(f"SECRET_KEY: cannot use {path} ({reason}). Set SECRET_KEY or fix that file") from None
