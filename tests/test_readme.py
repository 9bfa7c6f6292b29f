"""The README: every command and script gives what the text says, on the real server, and the settings are all there."""

from __future__ import annotations

import re
from dataclasses import fields

from api.config import Config

from .doc_runner import START, Block, DocRunner, blocks_of
from .live_server import ROOT

README = ROOT / "README.md"


def test_the_commands_give_what_the_readme_says(reader: DocRunner) -> None:
    commands = [block for block in blocks_of(README) if block.kind == "sh"]
    assert len(commands) >= 9

    reader.read(*(block for block in commands if block.text != "make test\n"))  # this is what runs


def test_the_script_runs_on_a_page_of_another_origin(reader: DocRunner) -> None:
    (script,) = (block for block in blocks_of(README) if block.kind == "js")

    reader.read(START, Block("html", '<input type="file">'), script)


def test_the_settings_table_lists_every_setting_with_its_default_and_meaning() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? ?\| (.*) \|$", README.read_text(), re.MULTILINE)

    assert rows == [
        (item.name, item.default, item.metadata["meaning"]) for item in fields(Config) if item.name != "TESTING"
    ]
