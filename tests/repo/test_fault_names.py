"""Whoever reads a fault's name in the status finds it in bwvd/docs/faults.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.documents import section
from tests.support.source_tree import ROOT

NAMING = {"fault", "report", "FaultChanged", "ContactFault"}


def _spelt(argument: ast.expr) -> Iterator[str]:
    """The names that an argument can be; of `f"stuck:{name}"` the part that is the same for all."""
    match argument:
        case ast.Constant(value=str(name)):
            yield name
        case ast.JoinedStr(values=[ast.Constant(value=str(name)), *_]):
            yield name
        case ast.JoinedStr(values=[ast.FormattedValue(), ast.Constant(value=str(name)), *_]):
            yield name
        case ast.IfExp(body=one, orelse=other):
            yield from _spelt(one)
            yield from _spelt(other)


def _names() -> set[str]:
    found = set()
    for path in sorted((ROOT / "bwvd").rglob("*.py")):
        if "testing" in path.parts:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args and _called(node.func).lstrip("_") in NAMING:
                found |= {name for name in _spelt(node.args[0]) if re.fullmatch(r"[a-z_]*:?[a-z_]*", name)}
            # the measures of privacy name themselves
            if isinstance(node, ast.Assign) and path == ROOT / "bwvd/service/privacy.py":
                found |= {name for name in _spelt(node.value) if name.startswith("privacy:")}
    return found


def _called(function: ast.expr) -> str:
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def _told() -> set[str]:
    """The words of the table's first column."""
    rows = re.findall(r"^\| (.*?) \|", section("faults", "Faults"), re.MULTILINE)
    return {word for row in rows for code in re.findall(r"`([a-z_:]+)", row) for word in code.split(":") if word}


def test_every_fault_is_in_the_page() -> None:
    names = _names()
    assert {"camera", "backlog", "storm", "privacy:swap", "stuck:", "encoder_slow"} <= names, "the search finds nothing"
    told = _told()
    devices = {"control:socket"}  # one of those that `control:NAME` stands for
    assert {part for name in names - devices for part in name.split(":") if part} - told == set()


def test_the_page_names_no_fault_that_is_none() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in sorted(Path(ROOT / "bwvd").rglob("*.py")))
    told = _told()
    assert len(told) > 15
    assert {word for word in told if not re.search(rf"\b{word}\b", source)} == set()
