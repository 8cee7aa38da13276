"""Text to a checked `Config`: document, profile, shape, values, relations, wiring, bounds, in this order."""

from __future__ import annotations

from itertools import chain
from typing import Any

from bwvd import profile
from bwvd.config import Config
from bwvd.settings import document, relations, shape, values, wiring
from bwvd.settings.problem import Problem


def build(text: str) -> Config:
    """The configuration that `text` describes. Raises Problem, for the first thing that is wrong."""
    written = document.tables(text)
    shape.build(written)  # judged before anything is laid under it, so that messages speak of what was written
    rules = profile.find(written["profile"]) if written.get("profile") else None
    config = shape.build(_under(written, _defaults(written, rules)))
    for problem in chain(
        values.problems(config), relations.problems(config, written), wiring.problems(config, written)
    ):
        raise _with_origin(problem, written, rules)
    if rules is not None:
        for problem in profile.broken(rules, config):
            raise problem
    return config


def _with_origin(problem: Problem, written: dict[str, Any], rules: profile.Profile | None) -> Problem:
    """The problem, and the profile that set a key in it, if nobody wrote that key in the file."""
    for path in rules.set if rules is not None else {}:
        table, _, key = path.partition(".")
        if path in problem.where and key not in written.get(table, {}):
            return Problem(problem.where, f"{problem.what} ({path} is set by the profile)")
    return problem


def _defaults(written: dict[str, Any], rules: profile.Profile | None) -> dict[str, Any]:
    defaults = rules.defaults() if rules is not None else {}
    if written.get("video", {}).get("encoder") == "copy":
        defaults.setdefault("video", {})["stamp"] = False  # pictures that are copied can't be drawn on
    return defaults


def _under(written: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """What was written, with `defaults` where it says nothing. Tables are merged, everything else is replaced."""
    merged = dict(defaults)
    for key, value in written.items():
        below = merged.get(key)
        merged[key] = _under(value, below) if isinstance(value, dict) and isinstance(below, dict) else value
    return merged
