"""The configuration that is installed: it parses, it is the defaults, and it shows every key there is."""

from __future__ import annotations

import re

import pytest

from bwvd.config.advice import advice
from bwvd.config.keys import known_keys
from bwvd.config.load import load, parse
from bwvd.config.profile import names
from bwvd.config.schema import Config
from tests.support.source_tree import ROOT

SHIPPED = ROOT / "systemd" / "bwvd.toml"

ARRAYS = ("gpio", "input", "serial", "led", "haptic", "tone")
KEY = re.compile(r"^# ?([a-z_.0-9]+ = .*)$")
TABLE = re.compile(r"^#? ?(\[\[?[a-z.]+\]\]?)$")


def uncommented() -> list[str]:
    """The lines with every commented key and table switched on."""
    lines = []
    for line in SHIPPED.read_text(encoding="utf-8").splitlines():
        found = KEY.match(line) or TABLE.match(line)
        lines.append(found[1] if found else line)
    return lines


def test_the_shipped_configuration_can_be_used() -> None:
    assert SHIPPED.is_file(), "systemd/bwvd.toml, which is installed as /etc/bwvd/bwvd.toml, is missing"
    assert advice(load(SHIPPED))


def test_it_shows_every_key() -> None:
    """A key that can be set and is not shown is a key that nobody finds. Gestures are shown once, under gpio."""
    blocks: dict[str, str] = {"": ""}
    table = ""
    for line in uncommented():
        if found := re.match(r"\[\[?([a-z.]+)\]\]?", line):
            table = found[1]
        blocks[table] = f"{blocks.get(table, '')}\n{line}"
    missing = [
        f"{table}.{key}".lstrip(".")
        for table, keys in known_keys().items()
        if table not in ("input.gestures", "serial.gestures")
        for key in keys
        if f"{table}.{key}".lstrip(".") not in known_keys() and not re.search(rf"\b{key}\b", blocks.get(table, ""))
    ]
    assert missing == []


def test_what_it_shows_as_a_default_is_the_default() -> None:
    """Every key outside of the example tables is commented out with the value that it has anyway."""
    singles = []
    keep = True
    for line in uncommented():
        if line.startswith("["):
            keep = line.strip("[]").split(".")[0] not in ARRAYS
        if line.startswith("profile = "):
            assert line.split('"')[1] in names()
        elif keep:
            singles.append(line)
    assert parse("\n".join(singles), "f") == Config()


@pytest.mark.parametrize("kind", ARRAYS)
def test_each_example_table_works(kind: str) -> None:
    """Whoever switches one table on gets a configuration that loads."""
    tables: list[list[str]] = []
    keep = False
    for line in uncommented():
        if line.startswith("["):
            keep = line.startswith((f"[[{kind}]]", f"[{kind}."))
            if line.startswith(f"[[{kind}]]"):
                tables.append([])
        if keep:
            tables[-1].append(line)
    assert tables
    for table in tables:
        assert getattr(parse("\n".join(table), "f"), kind)
