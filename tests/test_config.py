"""Configuration: defaults, validation, precedence, one-line startup errors, and the generated secret key."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from dotenv import dotenv_values
from flask import Flask

from api.config import Config, ConfigError, env_example, misspelled_settings
from models import migrations
from models.db.connection import make_database

from .live_server import ROOT, free_port

MakeApp = Callable[..., Flask]
SECRET = "correct horse battery staple, and then some"
SETTING_NAMES = [field.name for field in dataclasses.fields(Config)]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project root without `.env` and secret key."""
    monkeypatch.delenv("FLASK_SKIP_DOTENV")
    folder = tmp_path / "kennel"
    folder.mkdir()
    monkeypatch.setattr("api.config.ROOT", folder)
    return folder


def load(name: str, value: Any) -> Any:
    """Return the parsed value of one setting."""
    return getattr(Config.load({"SECRET_KEY": SECRET, name: value}), name)


# --- Defaults ---

DEFAULTS = {
    "HOST": "127.0.0.1",
    "PORT": 8000,
    "DATABASE_URL": "sqlite:///{root}/dogs.sqlite",
    "DATABASE_POOL_SIZE": 20,
    "UPLOADS_URL": "{root}/uploads",
    "UPLOADS_REDIRECT": False,
    "CORS_ORIGINS": ("http://localhost:3000", "http://localhost:5173"),
    "PUBLIC_URL": "http://localhost:8000",
    "SESSION_COOKIE_NAME": "kennel_session",
    "SESSION_COOKIE_SAMESITE": "Lax",
    "BCRYPT_LOG_ROUNDS": 12,
    "RATELIMIT_ENABLED": True,
    "RATELIMIT_STORAGE_URI": "database://",
    "TRUSTED_PROXIES": 0,
    "WEB_CONCURRENCY": os.cpu_count(),
    "METRICS_PORT": None,
    "LOG_FORMAT": "text",
    "LOG_LEVEL": "info",
    "TESTING": False,
}


def test_defaults_cover_every_setting() -> None:
    assert {*DEFAULTS, "SECRET_KEY"} == set(SETTING_NAMES)


@pytest.mark.parametrize("name", DEFAULTS)
@pytest.mark.parametrize("value", [None, "", "  "], ids=["unset", "empty", "blank"])
def test_unset_setting_has_default(root: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str | None) -> None:
    if value is not None:
        monkeypatch.setenv(name, value)
    expected = DEFAULTS[name]
    if isinstance(expected, str):
        expected = expected.format(root=root)

    assert getattr(Config.load(), name) == expected


def test_public_url_defaults_to_port(root: Path) -> None:
    assert Config.load({"PORT": "9000"}).PUBLIC_URL == "http://localhost:9000"
    assert (
        Config.load({"PORT": "9000", "PUBLIC_URL": "https://api.example.com"}).PUBLIC_URL == "https://api.example.com"
    )


# --- .env.example ---


def test_env_example_is_up_to_date() -> None:
    assert (ROOT / ".env.example").read_text() == env_example(), "Run: make env-example"


def test_env_example_lists_defaults(root: Path) -> None:
    lines = re.sub(r"^# (?=[A-Z_]+=)", "", env_example(), flags=re.MULTILINE)
    (root / ".env").write_text(lines)

    assert set(dotenv_values(root / ".env")) == set(SETTING_NAMES) - {"TESTING"}
    assert Config.load() == Config.load({name: "" for name in SETTING_NAMES if name != "TESTING"})


# --- Valid values ---


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("HOST", "0.0.0.0", "0.0.0.0"),
        ("HOST", "::1", "::1"),
        ("HOST", "localhost", "localhost"),
        ("PORT", " 65535 ", 65535),
        ("DATABASE_URL", "postgresql://kennel:pass@db.example.com:5432/dogs", None),
        ("DATABASE_URL", "sqlite:////var/lib/kennel.sqlite", "sqlite:////var/lib/kennel.sqlite"),
        ("DATABASE_URL", "sqlite:///sub/dogs.sqlite", "sqlite:///{root}/sub/dogs.sqlite"),
        ("DATABASE_POOL_SIZE", "128", 128),
        ("UPLOADS_URL", "/var/lib/kennel", "/var/lib/kennel"),
        ("UPLOADS_URL", "sub/pictures", "{root}/sub/pictures"),
        ("UPLOADS_URL", "s3://my-bucket", "s3://my-bucket"),
        ("UPLOADS_URL", "s3://my.bucket/some/prefix/", "s3://my.bucket/some/prefix"),
        ("UPLOADS_REDIRECT", "False", False),
        ("CORS_ORIGINS", "https://a.example/, HTTP://B.example:80", ("https://a.example", "http://b.example")),
        ("CORS_ORIGINS", ["https://a.example"], ("https://a.example",)),
        ("PUBLIC_URL", "https://API.example.com:443", "https://api.example.com"),
        ("PUBLIC_URL", "http://[::1]:8000", "http://[::1]:8000"),
        ("SESSION_COOKIE_SAMESITE", "strict", "Strict"),
        ("BCRYPT_LOG_ROUNDS", "10", 10),
        ("RATELIMIT_ENABLED", "FALSE", False),
        ("RATELIMIT_STORAGE_URI", "redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("TRUSTED_PROXIES", "2", 2),
        ("WEB_CONCURRENCY", "1", 1),
        ("METRICS_PORT", "9464", 9464),
        ("LOG_FORMAT", "JSON", "json"),
        ("LOG_LEVEL", "warning", "warning"),
        ("SECRET_KEY", SECRET, SECRET),
    ],
)
def test_valid_value_is_parsed(root: Path, name: str, value: Any, expected: Any) -> None:
    if isinstance(expected, str):
        expected = expected.format(root=root)

    assert load(name, value) == (value if expected is None else expected)


# --- Invalid values ---

INVALID: list[tuple[str, str]] = [
    *(("HOST", bad) for bad in ("http://localhost", "local host", "localhost/", "127.0.0.1;", "x" * 254)),
    *(("PORT", bad) for bad in ("0", "65536", "-1", "80.0", "eighty", "8000,8001", "٨٠", "9" * 5000, "0x50")),
    *(("DATABASE_URL", bad) for bad in ("dogs.sqlite", "nothing://dogs", "sqlite:///:memory:", "sqlite://", "sqlite:")),
    *(("DATABASE_URL", bad) for bad in ("sqlite:///", "sqlite://dogs.sqlite")),
    *(("DATABASE_URL", bad) for bad in ("mysql://kennel:swordfish@db/dogs", "postgresql://kennel:swordfish@db:x/dogs")),
    *(("SESSION_COOKIE_NAME", bad) for bad in ("my session", "__Host-session", "a=b", "a;b", "ä", "x" * 65)),
    *(("DATABASE_POOL_SIZE", bad) for bad in ("0", "1001", "-5", "many")),
    *(("UPLOADS_URL", bad) for bad in ("ftp://host/folder", "https://bucket", "s3:bucket", "/dev/null")),
    *(("UPLOADS_URL", bad) for bad in ("s3://", "s3:///prefix", "s3://b", "s3://a bucket", "s3://bucket/../prefix")),
    *(("UPLOADS_URL", bad) for bad in ("s3://key:swordfish@bucket", "s3://bucket?secret=swordfish", "s3://bucket//a")),
    *(("UPLOADS_REDIRECT", bad) for bad in ("yes", "1", "true")),
    *(("SECRET_KEY", bad) for bad in ("swordfish", "swordfish" * 3, "x" * 32, "ab" * 40)),
    *(("CORS_ORIGINS", bad) for bad in ("*", "https://*.example.com", "http://a.example,*", "null", "localhost:3000")),
    *(("CORS_ORIGINS", bad) for bad in ("http://a.example/path", "ftp://a.example", "http://a.example:x", "http://")),
    *(("CORS_ORIGINS", bad) for bad in ("http://a.example http://b.example", "http://user@a.example", "http://(a|b)")),
    *(("PUBLIC_URL", bad) for bad in ("api.example.com", "https://", "https://api.example.com/kennel", "ftp://a", "*")),
    *(("PUBLIC_URL", bad) for bad in ("https://api.example.com:0", "https://a?b", "http://[::1", "https://a:99999")),
    *(("SESSION_COOKIE_SAMESITE", bad) for bad in ("None", "none", "loose", "true")),
    *(("BCRYPT_LOG_ROUNDS", bad) for bad in ("9", "4", "0", "19", "-12", "twelve", "12.5")),
    *(("RATELIMIT_ENABLED", bad) for bad in ("yes", "0", "off")),
    *(("RATELIMIT_STORAGE_URI", bad) for bad in ("redis", "redis://", "memcached://localhost", "database://other")),
    *(("RATELIMIT_STORAGE_URI", bad) for bad in ("redis://:swordfish@localhost:x", "redis://[")),
    *(("TRUSTED_PROXIES", bad) for bad in ("-1", "10", "all", "1.0")),
    *(("WEB_CONCURRENCY", bad) for bad in ("0", "257", "auto", "-2")),
    *(("METRICS_PORT", bad) for bad in ("0", "65536", "off", "8000")),
    *(("LOG_FORMAT", bad) for bad in ("xml", "text,json")),
    *(("LOG_LEVEL", bad) for bad in ("loud", "0", "notset")),
]


def test_invalid_values_cover_every_setting() -> None:
    assert {name for name, _ in INVALID} == set(SETTING_NAMES) - {"TESTING"}


@pytest.mark.parametrize(("name", "value"), INVALID)
def test_invalid_setting_fails_startup(
    root: Path, make_app: MakeApp, settings: dict[str, Any], name: str, value: str
) -> None:
    settings |= {"TESTING": False, "BCRYPT_LOG_ROUNDS": "12"}

    with pytest.raises(ConfigError) as error:
        make_app(**{name: value})

    line = str(error.value)
    assert line.startswith(f"{name}: ")
    assert "for example" in line.lower()
    assert "\n" not in line
    assert "swordfish" not in line
    assert name != "SECRET_KEY" or value not in line


def test_example_in_error_is_valid(root: Path) -> None:
    for name, value in dict(reversed(INVALID)).items():
        if name in ("SECRET_KEY", "SESSION_COOKIE_SAMESITE"):
            continue  # their examples are sentences
        with pytest.raises(ConfigError) as error:
            Config.load({"SECRET_KEY": SECRET, name: value})
        load(name, str(error.value).split("example: ")[1])


def test_unknown_setting_is_rejected(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"^SURPRISE: "):
        Config.load({"SURPRISE": "1"})


def test_samesite_none_requires_https(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"^SESSION_COOKIE_SAMESITE: .*PUBLIC_URL.*https"):
        Config.load({"SESSION_COOKIE_SAMESITE": "None", "PUBLIC_URL": "http://api.example.com"})

    config = Config.load({"SESSION_COOKIE_SAMESITE": "None", "PUBLIC_URL": "https://api.example.com"})
    assert config.SESSION_COOKIE_SAMESITE == "None"


def test_uploads_redirect_requires_s3(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"^UPLOADS_REDIRECT: .*UPLOADS_URL.*s3://bucket"):
        Config.load({"UPLOADS_REDIRECT": "true"})

    assert Config.load({"UPLOADS_REDIRECT": "true", "UPLOADS_URL": "s3://my-bucket"}).UPLOADS_REDIRECT


def test_bcrypt_rounds_below_10_require_testing(root: Path) -> None:
    assert Config.load({"BCRYPT_LOG_ROUNDS": 4, "TESTING": True}).BCRYPT_LOG_ROUNDS == 4
    for testing in ({}, {"TESTING": False}):
        with pytest.raises(ConfigError, match=r"^BCRYPT_LOG_ROUNDS: "):
            Config.load({"BCRYPT_LOG_ROUNDS": 9, **testing})


def test_bcrypt_rounds_below_4_are_always_rejected(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"^BCRYPT_LOG_ROUNDS: "):
        Config.load({"BCRYPT_LOG_ROUNDS": 3, "TESTING": True})


# --- Sources ---


def test_setting_precedence(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / ".env").write_text("PORT=9001\nHOST=host.one\nLOG_LEVEL=error\n")
    monkeypatch.setenv("HOST", "host.two")
    monkeypatch.setenv("LOG_LEVEL", "warning")

    config = Config.load({"LOG_LEVEL": "debug"})

    assert (config.PORT, config.HOST, config.LOG_LEVEL) == (9001, "host.two", "debug")


def test_dotenv_allows_comments_quotes_and_unknown_names(root: Path) -> None:
    (root / ".env").write_text(f"# ours\nexport PORT=9001 # high\nSECRET_KEY='{SECRET}'\nEDITOR=vim\n\nnonsense\n")

    config = Config.load()

    assert (config.PORT, config.SECRET_KEY) == (9001, SECRET)


@pytest.mark.parametrize(("name", "value"), [("PORT", "eighty"), ("SECRET_KEY", "swordfish")])
@pytest.mark.parametrize("source", ["file", "environment"])
def test_invalid_value_is_rejected_from_any_source(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, source: str
) -> None:
    if source == "file":
        (root / ".env").write_text(f"{name}={value}\n")
    else:
        monkeypatch.setenv(name, value)

    with pytest.raises(ConfigError, match=f"^{name}: ") as error:
        Config.load()
    assert "swordfish" not in str(error.value)


def test_flask_skip_dotenv_ignores_dotenv(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / ".env").write_text("PORT=9001\n")
    monkeypatch.setenv("FLASK_SKIP_DOTENV", "1")

    assert Config.load().PORT == 8000


def test_unreadable_dotenv_fails_with_one_line(root: Path) -> None:
    (root / ".env").mkdir()

    with pytest.raises(ConfigError, match=r"^\.env: cannot be read \(Is a directory\)"):
        Config.load()


def test_misspelled_setting_in_dotenv_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINE", "from the environment")  # which has names of other programs
    (root / ".env").write_text("CORS_ORIGIN=http://localhost\nport=1\nEDITOR=vim\nPGPORT=5432\nAWS_REGION=x\n")

    assert misspelled_settings() == {"CORS_ORIGIN": "CORS_ORIGINS", "port": "PORT"}


@pytest.mark.parametrize("character", "#/?[]@ ")
@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "postgresql://kennel:tiger{}fish@localhost/kennel"),
        ("RATELIMIT_STORAGE_URI", "redis://:tiger{}fish@localhost"),
    ],
)
def test_error_of_url_shows_no_part_of_password(root: Path, name: str, url: str, character: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: the password must be percent-encoded") as error:
        load(name, url.format(character))

    assert "tiger" not in str(error.value)
    assert "fish" not in str(error.value)


@pytest.mark.parametrize("url", ["postgresql://kennel:sword@localhost:fish/x", "postgresql://kennel:sword@[fish/x"])
def test_error_of_database_shows_no_part_of_url(url: str) -> None:
    with pytest.raises(ValueError, match=r"^its host or port is invalid$"):
        make_database(url)


@pytest.mark.parametrize("name", ["a#b.sqlite", "a?b=c.sqlite", "a b%20c.sqlite", "ä.sqlite"])
def test_sqlite_path_is_used_as_written(make_app: MakeApp, tmp_path: Path, name: str) -> None:
    app = make_app(DATABASE_URL=f"sqlite:///{tmp_path / name}")

    migrations.upgrade(app.extensions["database"])

    assert (tmp_path / name).exists()


def test_binary_dotenv_fails_with_one_line(root: Path) -> None:
    (root / ".env").write_bytes(b"SECRET_KEY=\xff\xfeswordfish\n")

    with pytest.raises(ConfigError) as error:
        Config.load()

    assert ".env" in str(error.value)
    assert "\n" not in str(error.value)
    assert "swordfish" not in str(error.value)


@pytest.mark.parametrize("source", ["file", "environment"])
def test_testing_cannot_be_enabled_by_environment(root: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    if source == "file":
        (root / ".env").write_text("TESTING=true\nBCRYPT_LOG_ROUNDS=4\n")
    else:
        monkeypatch.setenv("TESTING", "true")
        monkeypatch.setenv("BCRYPT_LOG_ROUNDS", "4")

    with pytest.raises(ConfigError, match=r"^BCRYPT_LOG_ROUNDS: "):
        Config.load()
    assert Config.load({"BCRYPT_LOG_ROUNDS": "10"}).TESTING is False


def test_config_is_immutable(root: Path) -> None:
    config = Config.load()

    for name in SETTING_NAMES:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, name, "other")


def test_app_config_has_every_setting(make_app: MakeApp, root: Path) -> None:
    app = make_app(PORT="9001", PUBLIC_URL="https://api.example.com", TRUSTED_PROXIES="1", LOG_FORMAT="json")

    assert set(SETTING_NAMES) <= set(app.config)
    assert (app.config["PORT"], app.config["TRUSTED_PROXIES"], app.config["LOG_FORMAT"]) == (9001, 1, "json")
    assert app.config["SESSION_COOKIE_SECURE"] is True


# --- The generated secret key ---


def test_secret_key_is_generated_once_and_private(root: Path) -> None:
    first, second = Config.load(), Config.load()

    key_file = root / "instance" / "secret_key"
    assert first.SECRET_KEY == second.SECRET_KEY == key_file.read_text().strip()
    assert len(first.SECRET_KEY) == 64
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert list(key_file.parent.iterdir()) == [key_file]


def test_configured_secret_key_is_not_written_to_disk(root: Path) -> None:
    assert Config.load({"SECRET_KEY": SECRET}).SECRET_KEY == SECRET
    assert not (root / "instance").exists()


def test_concurrent_first_starts_share_one_key(root: Path) -> None:
    barrier = Barrier(16)

    def start(_: int) -> str:
        barrier.wait()
        return Config.load().SECRET_KEY

    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(start, range(16)))

    assert keys == {(root / "instance" / "secret_key").read_text().strip()}
    assert len(list((root / "instance").iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"swordfish", b"\xff\xfe" * 40])
def test_invalid_key_file_fails_with_one_line(root: Path, content: bytes) -> None:
    path = root / "instance" / "secret_key"
    path.parent.mkdir()
    path.write_bytes(content)

    with pytest.raises(ConfigError) as error:
        Config.load()

    line = str(error.value)
    assert line.startswith("SECRET_KEY: ")
    assert str(path) in line
    assert "\n" not in line
    assert "swordfish" not in line
    assert path.read_bytes() == content


def test_uncreatable_key_folder_fails_startup(root: Path) -> None:
    (root / "instance").write_text("a file")

    with pytest.raises(ConfigError, match=r"^SECRET_KEY: "):
        Config.load()


# --- Startup in a copy of the project ---


@pytest.mark.system
@pytest.mark.parametrize(
    ("name", "value", "from_file"),
    [
        ("SECRET_KEY", "swordfish", False),
        ("CORS_ORIGINS", "*", True),
        ("BCRYPT_LOG_ROUNDS", "4", False),
        ("DATABASE_URL", "sqlite:////nowhere/at/all/dogs.sqlite", False),
        ("DATABASE_URL", "postgresql://kennel:swordfish@127.0.0.1:1/dogs", True),
    ],
)
def test_server_with_invalid_setting_exits_with_one_line(
    tmp_path: Path, name: str, value: str, from_file: bool
) -> None:
    for package in ("api", "models", "schemas"):
        shutil.copytree(ROOT / package, tmp_path / package)
    for file in ("pyproject.toml", "run.py"):
        shutil.copy(ROOT / file, tmp_path)
    environment = {**os.environ, "FLASK_SKIP_DOTENV": "0", "PORT": str(free_port())}
    if from_file:
        (tmp_path / ".env").write_text(f"{name}={value}\n")
    else:
        environment[name] = value

    process = subprocess.Popen(
        [sys.executable, "run.py"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # still running only if it did start

    assert process.returncode == 1
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"{name}: ")
    assert "swordfish" not in line
