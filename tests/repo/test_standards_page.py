"""What bwvd/docs/standards.md names is there: each test, each key, each profile."""

from __future__ import annotations

import re

import msgspec

from bwvd.config import profile
from bwvd.config.schema import Config
from tests.support.source_tree import ROOT

PAGE = (ROOT / "bwvd/docs/standards.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| ---", "| it asks for", "| subject"))
]


def test_each_test_that_it_names_is_there() -> None:
    named = set(re.findall(r"`((?:tests|bwvd)/[^`]+)`", PAGE))
    assert len(named) > 20
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_each_key_that_it_names_is_one() -> None:
    sections = {field.name: field.type for field in msgspec.structs.fields(Config)}
    named = {(section, key) for section, key in re.findall(r"`([a-z_]+)\.([a-z_]+)(?: = [^`]*)?`", PAGE)}
    assert named
    keys = {
        (name, field.encode_name)
        for name, section in sections.items()
        if isinstance(section, type) and issubclass(section, msgspec.Struct)
        for field in msgspec.structs.fields(section)
    }
    assert named - keys == set()


def test_each_profile_that_it_names_is_one() -> None:
    named = set(re.findall(r'`(?:profile = )?"([a-z0-9-]+)"`', PAGE))
    assert named >= {"illinois", "imy-15", "met-2014", "met-2019"}
    assert named <= set(profile.names())


def test_what_is_met_says_by_which_test_or_page() -> None:
    assert len(ROWS) > 30
    for row in ROWS:
        assert len(row) == 3, row
        what, met, by = row
        assert re.match(r"\**(met|setting|back office|not met|in part|not ours|conduct|see )", met), row
        if met.startswith("met"):
            assert "`tests/" in by or "](" in by or "as above" in by or "`bwvd " in by or what.startswith("history"), (
                row
            )
