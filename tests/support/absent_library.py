"""A library that is not installed, for one test."""

from __future__ import annotations

import sys

import pytest


def take_away(monkeypatch: pytest.MonkeyPatch, library: str, *users: str) -> None:
    """Let importing `library` fail, and let its `users`, modules by the beginnings of their names, be imported anew.

    Behind the test each module is what it was before, also as an attribute of the package that it lies in.
    """
    for name in [name for name in sys.modules if name.startswith((library, *users))]:
        module = sys.modules[name]
        package, _, own = name.rpartition(".")
        if getattr(sys.modules.get(package), own, None) is module:
            monkeypatch.setattr(sys.modules[package], own, module)  # what a new import puts there goes with the test
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
