"""The table of faults, phases and outcomes in tests/README.md, made from what the tests hold the daemon against."""

from __future__ import annotations

import sys

from tests.faults.campaign import KINDS
from tests.faults.kind import Kind
from tests.faults.outcomes import MEANING
from tests.faults.shift import Phase
from tests.support.source_tree import ROOT

README = ROOT / "tests" / "README.md"
BEGIN, END = "<!-- faults -->\n", "<!-- /faults -->\n"
HEADING = "## Faults, phases, outcomes\n"

ABOUT = """
`tests/faults` plays one shift (the loop fills, a press, 40 s, a marker, a stop, a press soon after, a stop, the end) on
the whole daemon with its peripherals in virtual time, strikes it with one fault at one place, looks at everything that
the invariants promise, and starts the daemon again on what is left where that is called for. The places are every
operation of the flash, every quarter of a second, every step of every actor, every word to an indicator. The plain run
takes an even sample of them, `pytest tests/faults -m complete` all; each case that fails says how it is had again
(`python -m tests.faults KIND PLACE`).

Allowed outcomes, by what strikes and when; more than one where it depends on which operation of the phase is struck.
Orders show the answer that they get. A test holds this table against the one that the cases are judged by.
"""


def render() -> str:
    """The whole section, between its marks."""
    lines = [HEADING, ABOUT, "\n", "| outcome | means |\n", "| --- | --- |\n"]
    lines += [f"| {outcome.value} | {meaning} |\n" for outcome, meaning in MEANING.items()]
    phases = " | ".join(Phase)
    lines += ["\n", f"| fault | what it is | {phases} |\n", "| --- | --- |" + " --- |" * len(Phase) + "\n"]
    lines += [_row(kind) for kind in KINDS.values()]
    return BEGIN + "".join(lines) + END


def _row(kind: Kind) -> str:
    cells = " | ".join(_cell(kind.outcomes.get(phase, frozenset())) for phase in Phase)
    return f"| `{kind.name}` | {kind.what} | {cells} |\n"


def _cell(outcomes: frozenset[str]) -> str:
    order = [*MEANING, *sorted(outcomes)]
    return ", ".join(sorted(outcomes, key=order.index)).replace("_", " ")


def section(text: str) -> str:
    """The section as it stands in the README's text; "" if there is none."""
    _, begin, rest = text.partition(BEGIN)
    inside, end, _ = rest.partition(END)
    return begin + inside + end if end else ""


def write() -> None:
    """Put the section in its place: where it is, or at the end."""
    text = README.read_text(encoding="utf-8") if README.exists() else "# The tests\n"
    old = section(text)
    new = text.replace(old, render()) if old else text.rstrip("\n") + "\n\n" + render()
    README.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    if "--write" in sys.argv:
        write()
    else:
        sys.stdout.write(render())
