"""Every setting once: its name, default, check and meaning. Read from the environment and a `.env` file at start."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dotenv import dotenv_values

ROOT = Path(__file__).resolve().parent.parent
ENV_EXAMPLE_HEADER = """\
# The settings of Kennel, each with its default. Copy this file to .env, and uncomment what you change.
# `make env-example` writes this file from api/config.py.
"""


class ConfigError(ValueError):
    """A bad setting. Its text is one line: the setting, what is wrong with it, and an example."""


def integer(low: int, high: int) -> Callable[[str], int]:
    """A check: a whole number within these bounds."""

    def check(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"it must be a whole number from {low} to {high}")
        return int(text)

    return check


def one_of(*choices: str) -> Callable[[str], str]:
    """A check: one of these words, in any case."""

    def check(text: str) -> str:
        for choice in choices:
            if text.lower() == choice.lower():
                return choice
        raise ValueError(f"it must be {' or '.join(choices)}")

    return check


def boolean(text: str) -> bool:
    """A check: `true` or `false`."""
    return one_of("true", "false")(text) == "true"


def host(text: str) -> str:
    """A check: a host name or address to listen on."""
    if not re.fullmatch(r"[A-Za-z0-9.:_-]{1,253}", text):
        raise ValueError("it must be a host name or an IP address, without a scheme or a port")
    return text


def origin(text: str) -> str:
    """A check: scheme, host and port of a web page, as browsers write it (RFC 6454)."""
    text = text.removesuffix("/")
    parts = urlsplit(text)
    try:
        known_port = parts.port is None or parts.port > 0
    except ValueError:
        known_port = False
    if (
        not known_port
        or parts.scheme not in ("http", "https")
        or not re.fullmatch(r"https?://(\[[0-9a-f:]+\]|[a-z0-9._-]+)(:[0-9]+)?", text.lower())
    ):
        raise ValueError("it must be http:// or https://, a host, and a port where one is needed, and nothing more")
    default = ":443" if parts.scheme == "https" else ":80"
    return text.lower().removesuffix(default)


def origins(text: str) -> tuple[str, ...]:
    """A check: origins between commas. `*` is refused: with cookies it would let every site in."""
    if "*" in text:
        raise ValueError("* would let every web site act as your users; name each origin")
    return tuple(origin(item.strip()) for item in text.split(",") if item.strip())


def secret(text: str) -> str:
    """A check: a key that nobody guesses."""
    if len(text) < 32 or len(set(text)) < 8:
        raise ValueError("it must have at least 32 characters that nobody can guess")
    return text


def database_url(text: str) -> str:
    """A check: a database URL. A relative SQLite path is taken from the project's folder."""
    if re.match(r"postgres(ql)?://.", text):
        return text
    if not text.startswith("sqlite:"):
        raise ValueError("it must be a sqlite:/// or a postgresql:// URL")
    name = text.removeprefix("sqlite:///")
    if name in (text, "") or name.startswith("?"):
        raise ValueError("it must be sqlite:/// and the path of a file")
    if name.startswith(":memory:"):
        raise ValueError("a database in memory would be another one in every thread")
    return text if name.startswith("/") else f"sqlite:///{ROOT / name}"


def uploads_url(text: str) -> str:
    """A check: a folder, or `s3://bucket/prefix`. A relative folder is taken from the project's folder."""
    if "://" in text or text.startswith("s3:"):
        text = text.removesuffix("/")
        if not re.fullmatch(r"s3://[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9](/[A-Za-z0-9_-][A-Za-z0-9._-]*)*", text):
            raise ValueError("it must be a folder, or s3:// and the name of a bucket, with a prefix if you like")
        return text
    folder = ROOT / text
    if folder.exists() and not folder.is_dir():
        raise ValueError("there is something of this name that is no folder")
    return str(folder)


def rate_limit_storage_url(text: str) -> str:
    """A check: where the counts of the limits are kept."""
    try:
        parts = urlsplit(text)
        known = text == "database://" or (parts.scheme in ("redis", "rediss") and parts.hostname and parts.port != 0)
    except ValueError:
        known = False
    if not known:
        raise ValueError("it must be database:// or a redis:// URL")
    return text


def setting(default: Any, check: Callable[[str], Any], meaning: str, example: str = "") -> Any:
    """A field of `Config`. `example` stands in the error where the default would not help."""
    return field(default=default, metadata={"check": check, "meaning": meaning, "example": example or default})


@dataclass(frozen=True)
class Config:
    """The settings. Flask's own configuration takes them over by their names."""

    HOST: str = setting("127.0.0.1", host, "The address that `python run.py` listens on.")
    PORT: int = setting("8000", integer(1, 65535), "The port that `python run.py` listens on.")
    DATABASE_URL: str = setting(
        "sqlite:///dogs.sqlite",
        database_url,
        "Where the rows are kept: `sqlite:///<file>`, or `postgresql://<user>:<password>@<host>/<database>`.",
    )
    DATABASE_POOL_SIZE: int = setting(
        "20", integer(1, 1000), "How many connections to PostgreSQL a worker process opens at most."
    )
    UPLOADS_URL: str = setting(
        "uploads",
        uploads_url,
        "Where the pictures are kept: a folder, or `s3://bucket/prefix` with the usual `AWS_` variables.",
    )
    UPLOADS_REDIRECT: bool = setting(
        "false", boolean, "Send browsers to the S3 store by a signed URL, instead of passing pictures through."
    )
    SECRET_KEY: str = setting(
        "", secret, "Signs the cookies. Made once and kept in `instance/secret_key` when not set.",
        example="the output of: python -c 'import secrets; print(secrets.token_hex(32))'",
    )  # fmt: skip
    CORS_ORIGINS: tuple[str, ...] = setting(
        "http://localhost:3000,http://localhost:5173", origins, "The origins whose pages may use the API."
    )
    PUBLIC_URL: str = setting(
        "", origin,
        "How browsers reach this server; `http://localhost:<PORT>` when not set. With https, cookies are `Secure`.",
        example="https://api.example.com",
    )  # fmt: skip
    SESSION_COOKIE_SAMESITE: str = setting(
        "Lax", one_of("Lax", "Strict", "None"), "When browsers send the cookie. `None` needs an https `PUBLIC_URL`."
    )
    BCRYPT_LOG_ROUNDS: int = setting("12", integer(4, 18), "The cost of hashing a password, 10 or more.")
    RATELIMIT_ENABLED: bool = setting("true", boolean, "Whether logins and registrations are limited.")
    RATELIMIT_STORAGE_URI: str = setting(
        "database://", rate_limit_storage_url, "Where the limits are counted: `database://` or `redis://...`."
    )
    TRUSTED_PROXIES: int = setting("0", integer(0, 9), "How many proxies stand in front of this server.")
    WEB_CONCURRENCY: int = setting(
        "", integer(1, 256), "Worker processes. As many as there are cores when not set.", example="2"
    )
    METRICS_PORT: int | None = setting(
        "",
        integer(1, 65535),
        "The port of `/metrics`, for Prometheus. Off when not set, and with `--dev`.",
        example="9464",
    )
    LOG_FORMAT: str = setting("text", one_of("text", "json"), "How log lines are written: `text` or `json`.")
    LOG_LEVEL: str = setting(
        "info",
        one_of("debug", "info", "warning", "error"),
        "The least severe line that is logged. At `debug`, errors may quote what users sent.",
    )
    TESTING: bool = False

    @classmethod
    def load(cls, overrides: Mapping[str, Any] | None = None) -> Config:
        """Check the settings from `.env`, the environment and `overrides`, the later winning.

        `TESTING` comes from `overrides` alone, so that no stray variable can weaken a server.
        Raises `ConfigError` with one line that never holds a secret's value.
        """
        overrides = dict(overrides or {})
        testing = bool(overrides.pop("TESTING", False))
        names = {item.name for item in fields(cls)} - {"TESTING"}
        for name in overrides.keys() - names:
            raise ConfigError(f"{name}: there is no such setting")
        given = {**environment(), **overrides}
        values = {
            item.name: parse_setting(item.name, given.get(item.name), item.default, item.metadata)
            for item in fields(cls)
            if item.name != "TESTING"
        }
        values["PUBLIC_URL"] = values["PUBLIC_URL"] or f"http://localhost:{values['PORT']}"
        values["WEB_CONCURRENCY"] = values["WEB_CONCURRENCY"] or os.cpu_count() or 1
        values["SECRET_KEY"] = values["SECRET_KEY"] or load_or_create_secret(ROOT / "instance" / "secret_key")
        config = cls(**values, TESTING=testing)
        if config.SESSION_COOKIE_SAMESITE == "None" and not config.IS_HTTPS:
            raise ConfigError(
                "SESSION_COOKIE_SAMESITE: browsers take None only over https. "
                "Set PUBLIC_URL to an https address too, for example https://api.example.com"
            )
        if config.METRICS_PORT == config.PORT:
            raise ConfigError("METRICS_PORT: the API has this port; name another one. For example: 9464")
        if config.UPLOADS_REDIRECT and not config.UPLOADS_URL.startswith("s3://"):
            raise ConfigError(
                "UPLOADS_REDIRECT: browsers can't be sent to a folder. "
                "Set UPLOADS_URL to a bucket too, for example s3://bucket/prefix"
            )
        if config.BCRYPT_LOG_ROUNDS < 10 and not testing:
            raise ConfigError("BCRYPT_LOG_ROUNDS: below 10, stolen hashes are cracked too fast. For example: 12")
        return config

    @property
    def IS_HTTPS(self) -> bool:  # noqa: N802 - Flask's configuration takes names in capitals
        """Whether browsers reach this server over TLS."""
        return self.PUBLIC_URL.startswith("https:")


def environment() -> dict[str, str | None]:
    """The variables of `.env` and of the environment, which wins. Raises `ConfigError`."""
    try:
        return {**dotenv_values(ROOT / ".env"), **os.environ}
    except UnicodeDecodeError:
        raise ConfigError(".env: it must be a text in UTF-8, with a line such as PORT=8000 for each setting") from None


def env_example() -> str:
    """Return the text of `.env.example`: each setting's meaning, and its default in a comment."""
    settings = (
        f"\n# {item.metadata['meaning']}\n# {item.name}={item.default}\n"
        for item in fields(Config)
        if item.name != "TESTING"
    )
    return "".join([ENV_EXAMPLE_HEADER, *settings])


def parse_setting(name: str, given: Any, default: Any, metadata: Mapping[str, Any]) -> Any:
    """One setting, checked. An empty one counts as not set; None where only `Config.load` knows the default."""
    text = ",".join(given) if isinstance(given, list | tuple) else str("" if given is None else given).strip()
    try:
        return metadata["check"](text or default) if text or default else None
    except ValueError as error:
        raise ConfigError(f"{name}: {error}. For example: {metadata['example']}") from None


def load_or_create_secret(path: Path) -> str:
    """The key in this file, made at the first call. Two first starts at once end up with one key."""
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if not path.exists():
            fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(32))
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):  # another start was first, and then its key is the key
                os.link(fresh, path)
            fresh.unlink()
        return secret(path.read_text().strip())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the file does not hold a key"
        raise ConfigError(f"SECRET_KEY: {path} can't be used ({reason}). Set SECRET_KEY or mend that file") from None
