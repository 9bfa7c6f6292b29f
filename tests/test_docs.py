"""The pages of docs/: what they say to type, paste or write is done, on the real server, and gives what they say."""

from __future__ import annotations

import pytest

from .documents import Block, Reader, blocks_of
from .server import ROOT

DOCS = ROOT / "docs"
# What pages ask for that do not begin with it themselves.
START = Block("", "sh", "make run\n", "", "")


@pytest.mark.parametrize("name", ["quick-start", "react", "httpie", "uploads", "deployment", "own-resource"])
def test_what_the_page_says_comes_true(reader: Reader, name: str) -> None:
    reader.read(START, *blocks_of(DOCS / f"{name}.md"))
