"""The keys that there are, and the kind of value that each takes.

`msgspec.convert` decides whether a document fits `Config`; this explains to a person why it doesn't.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any, cast

import msgspec

from bwvd.config.nearest import did_you_mean
from bwvd.config.problem import Problem, shown, shown_key
from bwvd.config.schema import Config, Section

_WIDEST = 2**63  # TOML's integers are 64 bits wide; tomllib's are not


def build(document: dict[str, Any]) -> Config:
    """The document's values as a `Config`, neither ranges nor relations checked yet.

    Raises Problem for an unknown key or a value of the wrong kind.
    """
    try:
        config = msgspec.convert(document, Config)
    except msgspec.ValidationError as error:
        raise next(_problems(document), None) or Problem("shape", str(error)) from None
    return config


def known_keys() -> dict[str, list[str]]:
    """Every table's name ("" is the top, `gpio.gestures` a table in one) with the keys that it knows."""
    import msgspec.inspect as inspect

    found: dict[str, list[str]] = {}

    def visit(name: str, struct: inspect.StructType) -> None:
        found[name] = [field.encode_name for field in struct.fields]
        for field in struct.fields:
            kind = field.type
            inner = kind.item_type if isinstance(kind, inspect.ListType) else kind
            if isinstance(inner, inspect.StructType):
                visit(join(name, field.encode_name), inner)

    visit("", cast(inspect.StructType, inspect.type_info(Config)))
    return found


def _problems(document: dict[str, Any]) -> Iterator[Problem]:
    import msgspec.inspect as inspect  # only a mistaken file pays for it

    def table(name: str, struct: inspect.StructType, value: dict[str, Any]) -> Iterator[Problem]:
        fields = {field.encode_name: field.type for field in struct.fields}
        for key, inner in value.items():
            path = join(name, shown_key(key))
            if key not in fields:
                yield Problem(path, f"unknown key; {_hint(name, key, list(fields))}")
            else:
                yield from one(path, fields[key], inner)

    def one(path: str, kind: inspect.Type, value: Any) -> Iterator[Problem]:
        match kind:
            case inspect.StructType():
                if isinstance(value, dict):
                    yield from table(path, kind, value)
                elif isinstance(value, list):
                    yield Problem(path, f"expected one table, got a list; write [{path}], once")
                else:
                    yield Problem(path, f"expected a table, [{path}], got {_kind_of(value)}")
            case inspect.ListType(item_type=inspect.StructType()):
                if isinstance(value, dict):
                    yield Problem(path, f"expected a list of tables; write [[{path}]], not [{path}]")
                elif not isinstance(value, list):
                    yield Problem(path, f"expected tables, [[{path}]], got {_kind_of(value)}")
                else:
                    for index, item in enumerate(value):
                        yield from one(numbered(path, index, len(value)), kind.item_type, item)
            case inspect.ListType():
                if not isinstance(value, list):
                    yield Problem(path, f"expected a list, got {_kind_of(value)}")
                else:
                    for index, item in enumerate(value):
                        yield from one(f"{path}, entry {index + 1}", kind.item_type, item)
            case _:
                yield from _scalar(path, kind, value)

    yield from table("", cast(inspect.StructType, inspect.type_info(Config)), document)


def _scalar(path: str, kind: Any, value: object) -> Iterator[Problem]:
    import msgspec.inspect as inspect

    whole = isinstance(value, int) and not isinstance(value, bool)
    match kind:
        case inspect.BoolType():
            fits, expected = isinstance(value, bool), "true or false"
        case inspect.IntType():
            fits, expected = whole, "a whole number"
        case inspect.FloatType():
            fits, expected = whole or isinstance(value, float), "a number"
        case inspect.StrType():
            fits, expected = isinstance(value, str), "a string"
        case inspect.LiteralType(values=values):
            if isinstance(value, str) and value not in values:
                choices = ", ".join(shown(choice) for choice in values)
                hint = did_you_mean(value, [str(choice) for choice in values if choice])
                yield Problem(path, f"must be one of {choices}, not {shown(value)}{'; ' + hint if hint else ''}")
                return
            fits, expected = isinstance(value, str), "a string"
        case _:  # int | str: a line's number or its name
            fits, expected = whole or isinstance(value, str), "a whole number or a string"
    if not fits:
        yield Problem(path, f"expected {expected}, got {_kind_of(value)}")
    elif whole and isinstance(value, int) and not -_WIDEST <= value < _WIDEST:
        yield Problem(path, "does not fit in 64 bits")


def _hint(name: str, key: str, known: list[str]) -> str:
    hint = did_you_mean(key, known)
    if hint:
        return hint
    elsewhere = sorted(f"{table}.{key}" if table else key for table, keys in known_keys().items() if key in keys)
    if elsewhere:
        return f"did you mean {' or '.join(elsewhere[:3])}?"
    return f"known {f'in [{name}]' if name else 'tables and keys'}: {', '.join(known)}"


def _kind_of(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return "a string"
        case int():
            return "a whole number"
        case float():
            return f"the number {value:g}"
        case list():
            return "a list"
        case dict():
            return "a table"
        case datetime.datetime() | datetime.date() | datetime.time():
            return "a date or time"
        case _:
            return f"a {type(value).__name__}"


def numbered(name: str, index: int, count: int) -> str:
    """How the tables of an array are named: `gpio` when there is one, else `gpio#2`, counted from 1."""
    return name if count == 1 else f"{name}#{index + 1}"


def join(table: str, key: str) -> str:
    """`table.key`, or the key alone at the top."""
    return f"{table}.{key}" if table else key


def sections(section: Section, name: str = "") -> Iterator[tuple[str, Section]]:
    """A configuration (its name is "") or one of its tables, then each table in it, outer before inner."""
    yield name, section
    for key in section.__struct_fields__:
        value = getattr(section, key)
        if isinstance(value, Section):
            yield from sections(value, join(name, key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, Section):
                    yield from sections(item, numbered(join(name, key), index, len(value)))
