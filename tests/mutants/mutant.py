"""What a mutant is, and how one is made in a copy of the tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class NotApplicable(Exception):
    """The source has changed: what the mutant replaces is not there, or not only once. One line."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One deliberate defect.

    `invariant` is DESIGN.md's number of the promise that it breaks; `before` stands exactly once in `file`, which is
    relative to the package; `tests` are the files, relative to the tests, of which at least one must fail.
    """

    name: str
    invariant: int
    file: str
    before: str
    after: str
    tests: tuple[str, ...]

    def applied(self, text: str) -> str:
        """The source with the defect. Raises: NotApplicable."""
        count = text.count(self.before)
        if count != 1:
            raise NotApplicable(f"{self.name}: {self.file} holds {count} times what is to be replaced: {self.before!r}")
        return text.replace(self.before, self.after)

    def infest(self, package: Path) -> str:
        """Write the defect into the copy of the package at `package`; returns what the file held before."""
        path = package / self.file
        whole = path.read_text("utf-8")
        path.write_text(self.applied(whole), "utf-8")
        return whole
