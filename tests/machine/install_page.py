"""The commands of the pages "Install" and "Hardware": what they tell a person to type is what the tests type."""

from __future__ import annotations

import re

from tests.support.documents import section


def block(heading: str, language: str, number: int = 0, page: str = "install") -> str:
    """A block of code below a heading of a page in bwvd/docs: the `number`th of that language."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", section(page, heading), re.MULTILINE | re.DOTALL)
    assert len(blocks) > number, f"{heading}: no block of {language} number {number}"
    return str(blocks[number])


def commands(heading: str, number: int = 0, page: str = "install") -> list[str]:
    """The lines of a block of shell, without their comments."""
    lines = [line.split("   #")[0].strip() for line in block(heading, "sh", number, page).splitlines()]
    return [line for line in lines if line]
