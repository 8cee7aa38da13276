"""The README's own commands: what it tells a person to type is what the tests type."""

from __future__ import annotations

import re

from tests.support.source_tree import ROOT


def block(heading: str, language: str, number: int = 0) -> str:
    """A block of code below a heading of the README's part "On a board": the `number`th of that language."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## On a board\n")[1].split("\n## ")[0] + "\n### "
    found = re.search(rf"^### {re.escape(heading)}\n(.*?)(?=^### )", text, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no part {heading!r}"
    blocks = re.findall(rf"^```{language}\n(.*?)^```", found[1], re.MULTILINE | re.DOTALL)
    assert len(blocks) > number, f"{heading}: no block of {language} number {number}"
    return str(blocks[number])


def commands(heading: str, number: int = 0) -> list[str]:
    """The lines of a block of shell, without their comments."""
    lines = [line.split("   #")[0].strip() for line in block(heading, "sh", number).splitlines()]
    return [line for line in lines if line]
