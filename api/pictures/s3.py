"""Picture files in an S3 bucket, or one of an S3-compatible storage."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from ..config import ROOT, ConfigError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
# Variables that `.env` may set too. obstore reads all others from the environment itself.
DOTENV_VARIABLES = (
    *ENDPOINTS, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION",
)  # fmt: skip
# Pictures are small, so a storage that takes longer than this is down. A failed upload takes two such calls, as it is
# followed by a clean-up: four seconds in total.
TIMEOUT_SECONDS = 2
RETRY: RetryConfig = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=TIMEOUT_SECONDS),
    "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=0.5), "base": 2},
}
# Lifetime of a signed URL.
SIGNED_URL_SECONDS = 600
# The content of a name never changes.
ATTRIBUTES = {"Content-Type": "image/webp", "Cache-Control": "public, max-age=31536000, immutable"}


class S3Storage:
    """Stores files in a bucket, below an optional prefix. All errors are `OSError`, like those of a directory."""

    # A lock on it excludes other processes of this machine.
    lock_directory: Path = ROOT

    def __init__(self, url: str, environment: Mapping[str, str | None]) -> None:
        """Parse `s3://bucket/prefix`. Raises `ConfigError` if the endpoint is not a URL."""
        self.name, _, self.prefix = url.removeprefix("s3://").partition("/")
        self.settings = {name: value for name in DOTENV_VARIABLES if (value := environment.get(name))}
        for name in ENDPOINTS:
            if not self.settings.get(name, "https:").startswith(("http:", "https:")):
                raise ConfigError(f"{name}: it must be a URL. For example: https://s3.eu-central-1.amazonaws.com")

    @cached_property
    def store(self) -> S3Store:
        """The client. Its threads do not survive a fork, so each process creates one at its first use."""
        return self.client()

    def client(self, **overrides: str) -> S3Store:
        """Return a client, with some settings overridden. It opens no connection yet."""
        allow_http = any(self.settings.get(name, "").startswith("http:") for name in ENDPOINTS)
        options: ClientConfig = {"allow_http": allow_http, "connect_timeout": "1s", "timeout": f"{TIMEOUT_SECONDS}s"}
        config = {name.lower(): value for name, value in {**self.settings, **overrides}.items()}
        return S3Store(
            self.name,
            prefix=self.prefix or None,
            config=config,  # type: ignore[arg-type] # it accepts the variable names too
            client_options=options,
            retry_config=RETRY,
        )

    def put(self, files: Mapping[str, bytes]) -> None:
        """Upload the files. On `OSError`, some may have been uploaded."""
        with wrap_s3_errors():
            for name, content in files.items():
                self.store.put(name, content, attributes=ATTRIBUTES, use_multipart=False)

    def get(self, name: str) -> bytes | None:
        """Return the content of a file, or None if it does not exist. Raises `OSError`."""
        try:
            with wrap_s3_errors():
                return bytes(self.store.get(name).bytes())
        except FileNotFoundError:
            return None

    def signed_url(self, name: str, method: str) -> str | None:
        """Return a URL that grants access to a file for a while, or None if it does not exist. Raises `OSError`."""
        try:
            with wrap_s3_errors():
                self.store.head(name)
                return obstore.sign(self.store, method, name, timedelta(seconds=SIGNED_URL_SECONDS))  # type: ignore[call-overload]
        except FileNotFoundError:
            return None

    @cached_property
    def origin(self) -> str:
        """The origin of signed URLs. Needs no credentials, whose provider may be unavailable."""
        client = self.client(aws_access_key_id="none", aws_secret_access_key="none")  # noqa: S106
        parts = urlsplit(obstore.sign(client, "GET", "none", timedelta(seconds=1)))
        return f"{parts.scheme}://{parts.netloc}"

    def remove(self, names: Iterable[str]) -> None:
        """Remove the files that exist. Raises `OSError`."""
        with wrap_s3_errors():
            self.store.delete([*names])

    def iter_files(self) -> Iterator[tuple[str, float]]:
        """Yield the name and modification time, as a Unix time in seconds, of each file. Raises `OSError`."""
        with wrap_s3_errors():
            for files in self.store.list(chunk_size=1000):
                for file in files:
                    yield file["path"], file["last_modified"].timestamp()


@contextmanager
def wrap_s3_errors() -> Iterator[None]:
    """Translate the errors of obstore to `OSError`, with the first line of their long messages.

    `FileNotFoundError` is not translated, except for a missing bucket.
    """
    try:
        yield
    except FileNotFoundError as error:
        if "NoSuchBucket" in str(error):
            raise OSError(errno.EIO, "The bucket does not exist") from error
        raise
    except BaseError as error:
        raise OSError(errno.EIO, str(error).partition("\n")[0]) from error
