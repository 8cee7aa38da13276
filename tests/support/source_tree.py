"""The project's own files, read as data: what tests about its structure look at."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "bwvd"

# What belongs to the project; a working copy has caches and environments beside it.
_KEPT = ("bwvd", "tests", "systemd", "udev", "deb", ".ci", "docs", "examples")


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = list(path.relative_to(ROOT).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        found[".".join(parts)] = path
    return found


def files() -> list[Path]:
    """Every file of the project that is text."""
    found = [path for path in ROOT.iterdir() if path.is_file()]
    for folder in _KEPT:
        found += [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    return sorted(path for path in found if "__pycache__" not in path.parts and _is_text(path))


@cache
def tree(path: Path) -> ast.Module:
    """The file's syntax."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def imports(path: Path, *, typing: bool = False) -> frozenset[str]:
    """What a module imports when it runs, wherever in it the statement stands; with `typing` also what only type
    checkers see."""
    known = modules()
    found: set[str] = set()
    todo: list[ast.AST] = [tree(path)]
    while todo:
        node = todo.pop()
        if not typing and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            todo += node.orelse
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= {name for name in names if name in known} or {base}
        todo += ast.iter_child_nodes(node)
    return frozenset(found)


def reach(name: str, stop: frozenset[str] = frozenset()) -> dict[str, str]:
    """Everything that importing module `name` loads, and through which of our modules; `stop` is not looked into."""
    known = modules()
    found: dict[str, str] = {}
    todo = [(name, "")]
    while todo:
        module, by = todo.pop()
        if module in found:
            continue
        found[module] = by
        if module in known and module not in stop:
            packages = [module.rsplit(".", n)[0] for n in range(1, module.count(".") + 1)]
            todo += [(inner, module) for inner in [*imports(known[module]), *packages]]
    return found


def _is_text(path: Path) -> bool:
    return b"\0" not in path.read_bytes()[:4096]
