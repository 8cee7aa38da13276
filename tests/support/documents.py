"""The documents that people read: the README and the pages in bwvd/docs."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.source_tree import PACKAGE, ROOT

README = ROOT / "README.md"
DOCS = PACKAGE / "docs"


def pages() -> list[Path]:
    """All pages of bwvd/docs, by name."""
    return sorted(DOCS.glob("*.md"))


def page(name: str) -> str:
    """The text of one page: `page("install")`. Raises: FileNotFoundError."""
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def section(name: str, heading: str) -> str:
    """What stands below a page's heading of the second degree, up to the next. Raises: LookupError."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", page(name), re.MULTILINE | re.DOTALL)
    if not found:
        raise LookupError(f"{name}.md has no part {heading!r}")
    return found[1]
