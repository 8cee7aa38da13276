"""The table of what a hostile hand can try is true: every test that it names is there, and every row names one."""

from __future__ import annotations

import ast
import re

from tests.support.source_tree import ROOT, tree

README = ROOT / "tests" / "README.md"
NAMED = re.compile(r"`([\w/]+/test_\w+\.py)::([\w:]+)`")

# Who can be hostile; each has a table of its own.
WHO = ("serial line", "socket", "USB device", "memory card", "receipt", "configuration")


def section() -> str:
    text = README.read_text("utf-8")
    begin = text.index("\n## Security\n")
    end = text.find("\n## ", begin + 4)
    return text[begin : end if end >= 0 else len(text)]


def rows() -> list[list[str]]:
    """The cells of each row, without the heads."""
    found = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section().splitlines() if "|" in line]
    return [row for row in found if not row[0].startswith(("tries", "---"))]


def held_by(name: str) -> set[str]:
    """The tests of a file: `test_x`, `TestX::test_y`."""
    path = ROOT / "tests" / name
    if not path.is_file():
        return set()
    found: set[str] = set()
    for node in tree(path).body:
        if isinstance(node, ast.ClassDef):
            inner = [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
            found |= {f"{node.name}::{one.name}" for one in inner}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
    return {name for name in found if name.rpartition("::")[2].startswith("test_")}


def test_every_test_that_the_table_names_is_there() -> None:
    named = NAMED.findall(section())
    assert len(named) > 60
    assert [f"{file}::{test}" for file, test in named if test not in held_by(file)] == []


def test_every_row_says_what_comes_of_it_and_names_a_test() -> None:
    assert len(rows()) > 30
    for row in rows():
        assert len(row) == 3, row
        assert row[1], row
        tests = re.findall(r"`([^`]+)`", row[2])
        assert tests, row
        assert all(NAMED.fullmatch(f"`{test}`") for test in tests), row


def test_everybody_who_can_be_hostile_has_a_table() -> None:
    heads = [line for line in section().splitlines() if line.startswith("### ")]
    assert [who for who in WHO if not any(who in head for head in heads)] == []


def test_every_test_of_security_is_in_the_table() -> None:
    """What is tested about it is worth a row, or belongs to one."""
    named = set(NAMED.findall(section()))
    files = [f"security/{path.name}" for path in (ROOT / "tests" / "security").glob("test_*.py")]
    own = {(name, test) for name in files for test in held_by(name)}
    assert own
    apart = {("repo/test_security_map.py", test) for test in held_by("repo/test_security_map.py")}
    parts = {  # of the reader of lines, on which a row rests
        ("security/test_storage.py", test)
        for test in (
            "test_lines_are_those_of_readline",
            "test_what_is_skipped_are_whole_lines_that_begin_otherwise",
            "test_lines_before",
            "test_finishing_a_hostile_manifest_reads_what_is_signed",
        )
    }
    assert own - apart - parts - named == set()
