"""The version of Kennel."""

from __future__ import annotations

import functools
import tomllib

from .config import ROOT


@functools.cache
def version() -> str:
    """Return the version that `pyproject.toml` names, such as `0.1.0`. The file is read at the first call."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"])
