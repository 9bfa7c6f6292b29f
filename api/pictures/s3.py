"""Files in a bucket of a store that speaks S3."""

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
# What `.env` may set too. Whatever else obstore knows, it takes from the environment itself.
DOTENV_VARIABLES = (
    *ENDPOINTS, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION",
)  # fmt: skip
# A picture is small, so a store that takes longer than this is down. To keep one, and to clean up where that failed,
# takes two calls that fail: four seconds in all.
TIMEOUT_SECONDS = 2
RETRY: RetryConfig = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=TIMEOUT_SECONDS),
    "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=0.5), "base": 2},
}
# How long a signed URL is good for.
SIGNED_SECONDS = 600
# A name belongs to its content for ever.
ATTRIBUTES = {"Content-Type": "image/webp", "Cache-Control": "public, max-age=31536000, immutable"}


class S3Storage:
    """A bucket, or the part of one below a prefix. All that fails there is an `OSError`, as it is in a folder."""

    # For locks among the processes of this machine.
    lock_directory: Path = ROOT

    def __init__(self, url: str, environment: Mapping[str, str | None]) -> None:
        """Of `s3://bucket/prefix`. Raises `ConfigError` for an endpoint that is no URL."""
        self.name, _, self.prefix = url.removeprefix("s3://").partition("/")
        self.settings = {name: value for name in DOTENV_VARIABLES if (value := environment.get(name))}
        for name in ENDPOINTS:
            if not self.settings.get(name, "https:").startswith(("http:", "https:")):
                raise ConfigError(f"{name}: it must be a URL. For example: https://s3.eu-central-1.amazonaws.com")

    @cached_property
    def store(self) -> S3Store:
        """The client. Its threads do not live through a fork, so each process makes one at its first use."""
        return self.client()

    def client(self, **more: str) -> S3Store:
        """A client with these settings on top. It opens no connection yet."""
        is_plain = any(self.settings.get(name, "").startswith("http:") for name in ENDPOINTS)
        options: ClientConfig = {"allow_http": is_plain, "connect_timeout": "1s", "timeout": f"{TIMEOUT_SECONDS}s"}
        config = {name.lower(): value for name, value in {**self.settings, **more}.items()}
        return S3Store(
            self.name,
            prefix=self.prefix or None,
            config=config,  # type: ignore[arg-type] # it takes the names of the variables too
            client_options=options,
            retry_config=RETRY,
        )

    def put(self, files: Mapping[str, bytes]) -> None:
        """Keep files, by their names. Raises `OSError`, and then some may be there."""
        with wrap_s3_errors():
            for name, content in files.items():
                self.store.put(name, content, attributes=ATTRIBUTES, use_multipart=False)

    def get(self, name: str) -> bytes | None:
        """The content of a file, or None where there is none of this name. Raises `OSError`."""
        try:
            with wrap_s3_errors():
                return bytes(self.store.get(name).bytes())
        except FileNotFoundError:
            return None

    def signed_url(self, name: str, method: str) -> str | None:
        """A URL that anybody can read a file by for a while, or None where there is none. Raises `OSError`."""
        try:
            with wrap_s3_errors():
                self.store.head(name)
                return obstore.sign(self.store, method, name, timedelta(seconds=SIGNED_SECONDS))  # type: ignore[call-overload]
        except FileNotFoundError:
            return None

    @cached_property
    def origin(self) -> str:
        """The origin of the signed URLs. No key is asked for: a place that hands them out may be down."""
        client = self.client(aws_access_key_id="none", aws_secret_access_key="none")  # noqa: S106
        parts = urlsplit(obstore.sign(client, "GET", "none", timedelta(seconds=1)))
        return f"{parts.scheme}://{parts.netloc}"

    def remove(self, names: Iterable[str]) -> None:
        """Remove these files, where they are there. Raises `OSError`."""
        with wrap_s3_errors():
            self.store.delete([*names])

    def iter_files(self) -> Iterator[tuple[str, float]]:
        """The names of the files, and when each was written, in seconds since 1970. Raises `OSError`."""
        with wrap_s3_errors():
            for files in self.store.list(chunk_size=1000):
                for file in files:
                    yield file["path"], file["last_modified"].timestamp()


@contextmanager
def wrap_s3_errors() -> Iterator[None]:
    """Turn what obstore raises into an `OSError`, with the first line of its long text.

    `FileNotFoundError` stays what it is, but for a bucket that is missing.
    """
    try:
        yield
    except FileNotFoundError as error:
        if "NoSuchBucket" in str(error):
            raise OSError(errno.EIO, "There is no such bucket") from error
        raise
    except BaseError as error:
        raise OSError(errno.EIO, str(error).partition("\n")[0]) from error
