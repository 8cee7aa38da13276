"""Every table of a configuration, with the name that messages use."""

from __future__ import annotations

from collections.abc import Iterator

from bwvd.config import Config, Section


def sections(config: Config) -> Iterator[tuple[str, Section]]:
    """The whole configuration (its name is ""), then each table, outer before inner."""
    yield from _visit("", config)


def numbered(name: str, index: int, count: int) -> str:
    """How the tables of an array are named: `gpio` when there is one, else `gpio#2`, counted from 1."""
    return name if count == 1 else f"{name}#{index + 1}"


def join(table: str, key: str) -> str:
    """`table.key`, or the key alone at the top."""
    return f"{table}.{key}" if table else key


def _visit(name: str, section: Section) -> Iterator[tuple[str, Section]]:
    yield name, section
    for key in section.__struct_fields__:
        value = getattr(section, key)
        if isinstance(value, Section):
            yield from _visit(join(name, key), value)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, Section):
                    yield from _visit(numbered(join(name, key), index, len(value)), item)
