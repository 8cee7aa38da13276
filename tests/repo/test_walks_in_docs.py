"""The walks through the code in bwvd/docs/inside.md name files and functions that are there."""

from __future__ import annotations

import ast
import re

from tests.support import documents
from tests.support.source_tree import PACKAGE, tree

NAMED = re.compile(r"`([a-z_]+/[a-z_/]*[a-z_]+\.py)(?:: ([\w.]+))?`")


def section() -> str:
    walks = ("A GOP, from the camera to the flash", "A press, from the edge to the lamp and the manifest")
    return " ".join(" ".join(documents.section("inside", walk) for walk in walks).split())  # a name may be broken


def defined(module: ast.Module) -> set[str]:
    """Functions and classes of a file, and the methods of its classes: `run`, `Loop`, `Loop.append`."""
    found = set()
    for node in module.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            inner = (one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {f"{node.name}.{one.name}" for one in inner}
    return found


def test_every_step_of_the_walks_is_there() -> None:
    named = NAMED.findall(section())
    assert len(named) > 25
    missing = [
        f"{file}: {name}"
        for file, name in named
        if not (PACKAGE / file).is_file() or (name and name not in defined(tree(PACKAGE / file)))
    ]
    assert missing == []
