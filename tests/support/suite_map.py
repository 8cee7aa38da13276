"""Which tests prove which invariant, read from their docstrings: `python -m tests.support.suite_map --write`."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import click

from tests.support.source_tree import ROOT, tree

README = ROOT / "tests" / "README.md"
BEGIN, END = "<!-- invariants -->\n", "<!-- /invariants -->\n"

PROMISES = {
    1: "In standby nothing of the loop reaches storage, swap, a core dump or a log",
    2: "Nothing older than the loop and one GOP is held; what leaves is overwritten",
    3: "A recording starts at a key frame, its pre-event part is whole or says why not",
    4: "Nothing is missing, doubled or reordered unless a gap record names it",
    5: "A press ends in recording, or in an audible, journalled reason why not",
    6: "What a commit has acknowledged survives a power cut at any later instant",
    7: "Any change, removal, insertion or reordering is found and located",
    8: "Nothing acknowledged is deleted or overwritten before a receipt is held",
    9: "Media time is CLOCK_MONOTONIC only",
    10: "The camera side never waits for the storage side",
    11: "A second press, a bounce, a struggle never ends a recording",
    12: "Closing in order always works, also on a full flash",
    13: "What is signed at a start never makes missing or removed evidence good",
    15: "Every track is continuous; what is silence for want of audio is counted and named",
    14: '"Authentic" is only said of a key that somebody vouches for from outside the card',
    16: "A store's answer never deletes: only a signed receipt does, through the recorder",
}

_CITED = re.compile(r"Invariants? (\d+(?:(?:, | and |, and |-)\d+)*)")


def cited(text: str) -> set[int]:
    """The invariants that a docstring cites: "Invariants 4, 6 and 7", "Invariants 1-12"."""
    found: set[int] = set()
    for numbers in _CITED.findall(text):
        for first, last in re.findall(r"(\d+)(?:-(\d+))?", numbers):
            found |= set(range(int(first), int(last or first) + 1))
    return found


def citations() -> dict[int, dict[str, int]]:
    """By invariant: the test files that cite it, with how often."""
    found: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for path in collected():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                for number in cited(ast.get_docstring(node) or ""):
                    found[number][path.relative_to(ROOT / "tests").as_posix()] += 1
    return found


def collected() -> list[Path]:
    """Every file that pytest collects."""
    return sorted((ROOT / "tests").rglob("test_*.py"))


def table() -> str:
    """The invariants with the files whose tests cite them, in Markdown."""
    found = citations()
    lines = ["| | invariant | tests that cite it, by file |", "| --- | --- | --- |"]
    for number, promise in PROMISES.items():
        files = ", ".join(f"`{name}` {count}" for name, count in sorted(found[number].items()))
        lines.append(f"| {number} | {promise} | {files} |")
    return "\n".join(lines) + "\n"


def written(text: str) -> str:
    """The README with the table as it is now. Raises: ValueError where the marks are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{README.name} has no {BEGIN.strip()} … {END.strip()}")
    return before + BEGIN + "\n" + table() + "\n" + END + after


@click.command(help="Print the table of invariants and their tests, or write it into tests/README.md.")
@click.option("--write", is_flag=True)
def main(write: bool) -> None:
    if write:
        README.write_text(written(README.read_text("utf-8")), "utf-8")
    else:
        click.echo(table(), nl=False)


if __name__ == "__main__":
    main()
