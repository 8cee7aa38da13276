"""Text of a configuration file to a checked `Config`: tables, profile, keys, values, rules, in this order."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bwvd.config import keys, rules, toml, values
from bwvd.config.problem import Problem
from bwvd.config.schema import Config, ConfigError
from bwvd.text import printable

if TYPE_CHECKING:
    from bwvd.config import profile


def load(path: Path) -> Config:
    """Read and check a configuration file. Blocking; raises ConfigError, one line."""
    return parse(read(path), str(path))


def read(path: Path) -> str:
    """The text of a configuration file, for `parse` and `digest`. Blocking; raises ConfigError, one line."""
    try:
        return toml.read(path)
    except Problem as found:
        raise ConfigError(_line(str(path), found)) from None


def parse(text: str, where: str) -> Config:
    """The configuration that TOML `text` describes; `where` is what messages call it, usually its path.

    Raises ConfigError: the file, the key and what is wrong, on one line. Nothing is asked of the machine: whether a
    device, a key or a folder is there is what `bwvd check` finds out.
    """
    try:
        return _build(text)
    except Problem as found:
        raise ConfigError(_line(where, found)) from None


def digest(text: str) -> str:
    """SHA-256 (hex) of the file's bytes, by which the journal says with which configuration the device ran."""
    from bwvd import hashing  # here: only the daemon asks

    return hashing.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _line(where: str, found: Exception) -> str:
    return printable(f"{where}: {found}")


def _build(text: str) -> Config:
    """The configuration that `text` describes. Raises Problem, for the first thing that is wrong."""
    written = toml.tables(text)
    keys.build(written)  # judged before anything is laid under it, so that messages speak of what was written
    policy = _policy(written)
    config = keys.build(_under(written, _defaults(written, policy)))
    for problem in chain(values.problems(config), rules.problems(config, written)):
        raise _with_origin(problem, written, policy)
    if policy is not None:
        from bwvd.config.profile import broken

        for problem in broken(policy, config):
            raise problem
    return config


def _policy(written: dict[str, Any]) -> profile.Profile | None:
    if not written.get("profile"):
        return None
    from bwvd.config.profile import find  # here: only a file that names one pays for it

    return find(written["profile"])


def _with_origin(problem: Problem, written: dict[str, Any], policy: profile.Profile | None) -> Problem:
    """The problem, and the profile that set a key in it, if nobody wrote that key in the file."""
    for path in policy.set if policy is not None else {}:
        table, _, key = path.partition(".")
        if path in problem.where and key not in written.get(table, {}):
            return Problem(problem.where, f"{problem.what} ({path} is set by the profile)")
    return problem


def _defaults(written: dict[str, Any], policy: profile.Profile | None) -> dict[str, Any]:
    defaults = policy.defaults() if policy is not None else {}
    if written.get("video", {}).get("encoder") == "copy":
        defaults.setdefault("video", {})["stamp"] = False  # frames that are copied can't be drawn on
    return defaults


def _under(written: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """What was written, with `defaults` where it says nothing. Tables are merged, everything else is replaced."""
    merged = dict(defaults)
    for key, value in written.items():
        below = merged.get(key)
        merged[key] = _under(value, below) if isinstance(value, dict) and isinstance(below, dict) else value
    return merged
