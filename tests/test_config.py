"""Settings: each has its default and its check, and a bad one stops the start with one line that says what to do."""

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

from api.config import Config, ConfigError, env_example

from .live_server import ROOT, free_port

MakeApp = Callable[..., Flask]
SECRET = "correct horse battery staple, and then some"
NAMES = [field.name for field in dataclasses.fields(Config)]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the project without `.env` and key, and an environment without our settings."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "kennel"
    folder.mkdir()
    monkeypatch.setattr("api.config.ROOT", folder)
    return folder


def load(name: str, value: Any) -> Any:
    """What becomes of this setting."""
    return getattr(Config.load({"SECRET_KEY": SECRET, name: value}), name)


# Defaults

DEFAULTS = {
    "HOST": "127.0.0.1",
    "PORT": 8000,
    "DATABASE_URL": "sqlite:///{root}/dogs.sqlite",
    "DATABASE_POOL_SIZE": 20,
    "UPLOADS_URL": "{root}/uploads",
    "UPLOADS_REDIRECT": False,
    "CORS_ORIGINS": ("http://localhost:3000", "http://localhost:5173"),
    "PUBLIC_URL": "http://localhost:8000",
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


def test_every_setting_has_its_default_here() -> None:
    assert {*DEFAULTS, "SECRET_KEY"} == set(NAMES)


@pytest.mark.parametrize("name", DEFAULTS)
@pytest.mark.parametrize("given", [None, "", "  "], ids=["not set", "empty", "blank"])
def test_a_setting_that_is_not_set_has_its_default(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str, given: str | None
) -> None:
    if given is not None:
        monkeypatch.setenv(name, given)
    expected = DEFAULTS[name]
    if isinstance(expected, str):
        expected = expected.format(root=root)

    assert getattr(Config.load(), name) == expected


def test_the_public_url_follows_the_port(root: Path) -> None:
    assert Config.load({"PORT": "9000"}).PUBLIC_URL == "http://localhost:9000"
    assert (
        Config.load({"PORT": "9000", "PUBLIC_URL": "https://api.example.com"}).PUBLIC_URL == "https://api.example.com"
    )


# .env.example


def test_env_example_is_what_make_env_example_writes() -> None:
    assert (ROOT / ".env.example").read_text() == env_example(), "Run: make env-example"


def test_env_example_uncommented_gives_the_defaults(root: Path) -> None:
    lines = re.sub(r"^# (?=[A-Z_]+=)", "", env_example(), flags=re.MULTILINE)
    (root / ".env").write_text(lines)

    assert set(dotenv_values(root / ".env")) == set(NAMES) - {"TESTING"}
    assert Config.load() == Config.load({name: "" for name in NAMES if name != "TESTING"})


# Good values


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
def test_a_good_value_is_taken(root: Path, name: str, value: Any, expected: Any) -> None:
    if isinstance(expected, str):
        expected = expected.format(root=root)

    assert load(name, value) == (value if expected is None else expected)


# Bad values

BAD: list[tuple[str, str]] = [
    *(("HOST", bad) for bad in ("http://localhost", "local host", "localhost/", "127.0.0.1;", "x" * 254)),
    *(("PORT", bad) for bad in ("0", "65536", "-1", "80.0", "eighty", "8000,8001", "٨٠", "9" * 5000, "0x50")),
    *(("DATABASE_URL", bad) for bad in ("dogs.sqlite", "nothing://dogs", "sqlite:///:memory:", "sqlite://", "sqlite:")),
    *(("DATABASE_URL", bad) for bad in ("sqlite:///", "sqlite://dogs.sqlite")),
    *(("DATABASE_URL", bad) for bad in ("mysql://kennel:swordfish@db/dogs", "postgresql://kennel:swordfish@db:x/dogs")),
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


def test_every_setting_has_bad_values_here() -> None:
    assert {name for name, _ in BAD} == set(NAMES) - {"TESTING"}


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_stops_the_start_with_one_line(
    root: Path, make_app: MakeApp, settings: dict[str, Any], name: str, value: str
) -> None:
    settings |= {"TESTING": False, "BCRYPT_LOG_ROUNDS": "12"}

    with pytest.raises(ConfigError) as refused:
        make_app(**{name: value})

    line = str(refused.value)
    assert line.startswith(f"{name}: ")
    assert "for example" in line.lower()
    assert "\n" not in line
    assert "swordfish" not in line
    assert name != "SECRET_KEY" or value not in line


def test_the_example_in_the_line_is_a_good_value(root: Path) -> None:
    for name, value in dict(reversed(BAD)).items():
        if name in ("SECRET_KEY", "SESSION_COOKIE_SAMESITE"):
            continue  # their examples are sentences
        with pytest.raises(ConfigError) as refused:
            Config.load({"SECRET_KEY": SECRET, name: value})
        load(name, str(refused.value).split("example: ")[1])


def test_a_setting_that_does_not_exist_is_refused(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"^SURPRISE: "):
        Config.load({"SURPRISE": "1"})


def test_same_site_none_needs_https(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"^SESSION_COOKIE_SAMESITE: .*PUBLIC_URL.*https"):
        Config.load({"SESSION_COOKIE_SAMESITE": "None", "PUBLIC_URL": "http://api.example.com"})

    taken = Config.load({"SESSION_COOKIE_SAMESITE": "None", "PUBLIC_URL": "https://api.example.com"})
    assert taken.SESSION_COOKIE_SAMESITE == "None"


def test_browsers_can_not_be_sent_to_a_folder(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"^UPLOADS_REDIRECT: .*UPLOADS_URL.*s3://bucket"):
        Config.load({"UPLOADS_REDIRECT": "true"})

    assert Config.load({"UPLOADS_REDIRECT": "true", "UPLOADS_URL": "s3://my-bucket"}).UPLOADS_REDIRECT


def test_only_tests_may_hash_below_ten_rounds(root: Path) -> None:
    assert Config.load({"BCRYPT_LOG_ROUNDS": 4, "TESTING": True}).BCRYPT_LOG_ROUNDS == 4
    for testing in ({}, {"TESTING": False}):
        with pytest.raises(ConfigError, match=r"^BCRYPT_LOG_ROUNDS: "):
            Config.load({"BCRYPT_LOG_ROUNDS": 9, **testing})


def test_even_tests_may_not_hash_below_four_rounds(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"^BCRYPT_LOG_ROUNDS: "):
        Config.load({"BCRYPT_LOG_ROUNDS": 3, "TESTING": True})


# Where settings come from


def test_the_environment_wins_over_the_file_and_what_is_handed_over_wins_over_both(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / ".env").write_text("PORT=9001\nHOST=host.one\nLOG_LEVEL=error\n")
    monkeypatch.setenv("HOST", "host.two")
    monkeypatch.setenv("LOG_LEVEL", "warning")

    config = Config.load({"LOG_LEVEL": "debug"})

    assert (config.PORT, config.HOST, config.LOG_LEVEL) == (9001, "host.two", "debug")


def test_the_file_may_have_comments_quotes_and_names_that_are_not_ours(root: Path) -> None:
    (root / ".env").write_text(f"# ours\nexport PORT=9001 # high\nSECRET_KEY='{SECRET}'\nEDITOR=vim\n\nnonsense\n")

    config = Config.load()

    assert (config.PORT, config.SECRET_KEY) == (9001, SECRET)


@pytest.mark.parametrize(("name", "value"), [("PORT", "eighty"), ("SECRET_KEY", "swordfish")])
@pytest.mark.parametrize("source", ["file", "environment"])
def test_a_bad_value_is_refused_from_wherever_it_comes(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, source: str
) -> None:
    if source == "file":
        (root / ".env").write_text(f"{name}={value}\n")
    else:
        monkeypatch.setenv(name, value)

    with pytest.raises(ConfigError, match=f"^{name}: ") as refused:
        Config.load()
    assert "swordfish" not in str(refused.value)


def test_a_file_that_is_no_text_is_refused_with_one_line(root: Path) -> None:
    (root / ".env").write_bytes(b"SECRET_KEY=\xff\xfeswordfish\n")

    with pytest.raises(ConfigError) as refused:
        Config.load()

    assert ".env" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "swordfish" not in str(refused.value)


@pytest.mark.parametrize("source", ["file", "environment"])
def test_no_stray_variable_turns_testing_on(root: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    if source == "file":
        (root / ".env").write_text("TESTING=true\nBCRYPT_LOG_ROUNDS=4\n")
    else:
        monkeypatch.setenv("TESTING", "true")
        monkeypatch.setenv("BCRYPT_LOG_ROUNDS", "4")

    with pytest.raises(ConfigError, match=r"^BCRYPT_LOG_ROUNDS: "):
        Config.load()
    assert Config.load({"BCRYPT_LOG_ROUNDS": "10"}).TESTING is False


def test_settings_can_not_be_changed_afterwards(root: Path) -> None:
    config = Config.load()

    for name in NAMES:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, name, "other")


def test_the_application_takes_every_setting_over(make_app: MakeApp, root: Path) -> None:
    app = make_app(PORT="9001", PUBLIC_URL="https://api.example.com", TRUSTED_PROXIES="1", LOG_FORMAT="json")

    assert set(NAMES) <= set(app.config)
    assert (app.config["PORT"], app.config["TRUSTED_PROXIES"], app.config["LOG_FORMAT"]) == (9001, 1, "json")
    assert app.config["SESSION_COOKIE_SECURE"] is True


# The key that is made once


def test_the_key_is_made_once_and_only_its_owner_may_read_it(root: Path) -> None:
    first, second = Config.load(), Config.load()

    kept = root / "instance" / "secret_key"
    assert first.SECRET_KEY == second.SECRET_KEY == kept.read_text().strip()
    assert len(first.SECRET_KEY) == 64
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert list(kept.parent.iterdir()) == [kept]


def test_a_key_that_is_set_is_not_written_down(root: Path) -> None:
    assert Config.load({"SECRET_KEY": SECRET}).SECRET_KEY == SECRET
    assert not (root / "instance").exists()


def test_first_starts_at_once_get_one_key(root: Path) -> None:
    barrier = Barrier(16)

    def start(_: int) -> str:
        barrier.wait()
        return Config.load().SECRET_KEY

    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(start, range(16)))

    assert keys == {(root / "instance" / "secret_key").read_text().strip()}
    assert len(list((root / "instance").iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"swordfish", b"\xff\xfe" * 40])
def test_a_key_file_without_a_key_stops_the_start_with_one_line(root: Path, content: bytes) -> None:
    path = root / "instance" / "secret_key"
    path.parent.mkdir()
    path.write_bytes(content)

    with pytest.raises(ConfigError) as refused:
        Config.load()

    line = str(refused.value)
    assert line.startswith("SECRET_KEY: ")
    assert str(path) in line
    assert "\n" not in line
    assert "swordfish" not in line
    assert path.read_bytes() == content


def test_a_folder_for_the_key_that_can_not_be_made_stops_the_start_with_one_line(root: Path) -> None:
    (root / "instance").write_text("a file")

    with pytest.raises(ConfigError, match=r"^SECRET_KEY: "):
        Config.load()


# The real start, in a copy of the project


@pytest.mark.system
@pytest.mark.parametrize(
    ("name", "value", "from_file"),
    [
        ("SECRET_KEY", "swordfish", False),
        ("CORS_ORIGINS", "*", True),
        ("BCRYPT_LOG_ROUNDS", "4", False),
        ("DATABASE_URL", "sqlite:////nowhere/at/all/dogs.sqlite", False),
        ("DATABASE_URL", "sqlite:////tmp?surprise=1", True),
        ("DATABASE_URL", "postgresql://kennel:swordfish@127.0.0.1:1/dogs", True),
    ],
)
def test_the_server_does_not_start_with_a_bad_setting_and_says_so_in_one_line(
    tmp_path: Path, name: str, value: str, from_file: bool
) -> None:
    for part in ("api", "models", "schemas"):
        shutil.copytree(ROOT / part, tmp_path / part)
    for file in ("pyproject.toml", "run.py"):
        shutil.copy(ROOT / file, tmp_path)
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    environment["PORT"] = str(free_port())
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
            os.killpg(process.pid, signal.SIGKILL)  # only where it did start, after all

    assert process.returncode == 1
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"{name}: ")
    assert "swordfish" not in line
