"""The README: short, and with a way to every page. test_docs.py runs its commands and scripts."""

from __future__ import annotations

from .live_server import ROOT

README = (ROOT / "README.md").read_text()


def test_readme_has_at_most_150_lines() -> None:
    assert len(README.splitlines()) <= 150


def test_readme_links_every_page() -> None:
    pages = [f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")]

    for page in [*pages, "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", "bench/RESULTS.md"]:
        assert f"]({page})" in README, page


def test_readme_shows_ratios_without_goals() -> None:
    assert "met**" not in README
    assert "goal" not in README
