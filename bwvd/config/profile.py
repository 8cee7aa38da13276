"""Policy profiles: what a law, an authority or a force says about body-worn video, as values and bounds.

A profile is a TOML file in `bwvd/profiles`. It names its source, sets defaults under the user's file, and bounds
values: what the user writes outside of the bounds is refused with the clause that it breaks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bwvd.config import toml as document
from bwvd.config.nearest import did_you_mean
from bwvd.config.problem import Problem, shown
from bwvd.config.rules import GROUPS_IN_LOOP
from bwvd.config.schema import Config

FOLDER = Path(__file__).parent / "profiles"

CAPACITY_HOURS = "storage.hours"  # not a key: what fits on the flash; known only where the flash is (`bwvd check`)

Value = bool | int | float | str


class Clause(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One rule about one key, or about the sum of several.

    A sum is there for upper bounds: standby holds the loop and the GOP that is being replaced, so what
    is held is `loop.seconds` + `video.keyframe_s`.
    """

    keys: list[str]
    text: str  # what the source says, in our words
    source: str  # document and section
    min: float | None = None
    max: float | None = None
    equals: Value | None = None
    unless: Value | None = None  # a value that is good for a reason of its own: 0 = no limit

    @property
    def name(self) -> str:
        return " + ".join(self.keys)

    @property
    def required(self) -> str:
        """`at least 30`, `at most 15`, `exactly 30`, `at least 36000, or 0`, `true`."""
        if self.equals is not None:
            bounds = [shown(self.equals)]
        elif self.min == self.max:
            bounds = [f"exactly {self.min:g}"]
        else:
            bounds = [f"at least {self.min:g}"] if self.min is not None else []
            bounds += [f"at most {self.max:g}"] if self.max is not None else []
        return " and ".join(bounds) + (f", or {shown(self.unless)}" if self.unless is not None else "")


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    document: str
    section: str
    year: int
    note: str = ""  # appeals, later versions, how it was verified


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: str
    title: str
    source: Source
    set: dict[str, Value]
    clause: list[Clause]

    def defaults(self) -> dict[str, Any]:
        """The values that it sets, as tables."""
        tables: dict[str, Any] = {}
        for path, value in self.set.items():
            table, _, key = path.partition(".")
            tables.setdefault(table, {})[key] = value
        return tables


class Row(NamedTuple):
    """A clause held against a configuration, for `bwvd check`."""

    clause: str  # what the source says
    source: str
    key: str
    required: str
    configured: str
    ok: bool | None  # None: can't be known here


def names() -> list[str]:
    """The profiles there are."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def find(name: str) -> Profile:
    """The profile of that name. Raises Problem that names the nearest one."""
    known = names()
    if name not in known:  # and so is no path either
        hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
        raise Problem(f"profile = {shown(name)}", f"unknown profile; {hint}")
    return msgspec.convert(document.tables(document.read(FOLDER / f"{name}.toml")), Profile)


def broken(profile: Profile, config: Config) -> Iterator[Problem]:
    """A Problem for every clause that the configuration breaks."""
    for clause in profile.clause:
        found = _configured(clause, config, None)
        if found is not None and not _holds(clause, found):
            values = " + ".join(shown(_value(config, key)) for key in clause.keys)
            copied = "video.keyframe_s" in clause.keys and config.video.encoder == "copy"
            why = "; a copied camera's key frames may be a fifth of the loop apart" if copied else ""
            yield Problem(
                f"{clause.name} = {values}",
                f"profile {profile.name} requires {clause.required}: {clause.text} ({clause.source}){why}",
            )


def profile_table(config: Config, storage_bytes: int | None = None) -> list[Row]:
    """How the configuration stands to its profile's clauses; empty without a profile.

    `storage_bytes` is the size of the evidence storage, for clauses about how long it must last.
    """
    if not config.profile:
        return []
    rows = []
    for clause in find(config.profile).clause:
        found = _configured(clause, config, storage_bytes)
        ok = None if found is None else _holds(clause, found)
        configured = "unknown" if found is None else shown(found)
        rows.append(Row(clause.text, clause.source, clause.name, clause.required, configured, ok))
    return rows


def _configured(clause: Clause, config: Config, storage_bytes: int | None) -> Value | None:
    if clause.keys == [CAPACITY_HOURS]:
        return None if storage_bytes is None else _hours(config, storage_bytes)
    values = [_value(config, key) for key in clause.keys]
    return values[0] if len(values) == 1 else sum(float(value) for value in values)


def _value(config: Config, path: str) -> Value:
    if path == "video.keyframe_s" and config.video.encoder == "copy":
        # The camera decides when it makes key frames. Only this much is sure: who copies refuses longer groups.
        return config.loop.seconds / GROUPS_IN_LOOP
    table, _, key = path.partition(".")
    value: Value = getattr(getattr(config, table), key)
    return value


def _holds(clause: Clause, found: Value) -> bool:
    if clause.unless is not None and found == clause.unless:
        return True
    if clause.equals is not None and found != clause.equals:
        return False
    if clause.min is None and clause.max is None:
        return True
    number = float(found)
    return (clause.min is None or number >= clause.min) and (clause.max is None or number <= clause.max)


def _hours(config: Config, storage_bytes: int) -> float:
    """How long a recording fits on the storage, from its nominal bitrates."""
    bits = config.video.bitrate + (config.audio.bitrate if config.audio.source else 0)
    room = max(0, storage_bytes - config.storage.reserve_bytes)
    return round(room * 8 / bits / 3600, 1)
