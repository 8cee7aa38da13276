"""The medium of a virtual flash: what it holds for certain, and what only its cache holds.

The model is what ext4 and f2fs promise and nothing more: fdatasync makes a file's content and size certain, fsync of a
folder makes the names in it certain, a rename is one step, and everything else may or may not have reached the medium,
in any order, when the power goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

SECTOR = 512  # bytes that a medium writes whole or not at all


class Fate(Enum):
    """What is known of bytes that lie beyond the certain part of a file."""

    OPEN = "open"  # written, not synced
    DOUBTFUL = "doubtful"  # their fdatasync failed: the kernel has forgotten that they are not on the medium
    KEPT = "kept"  # synced, but behind doubtful ones


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes from `start` to `end` of a file that one write put there."""

    start: int
    end: int
    fate: Fate


@dataclass(frozen=True, slots=True)
class FileNode:
    """A file at one moment. Files only grow, so that all moments of one share `buffer` and differ in `size`."""

    buffer: bytearray
    size: int = 0
    synced: int = 0  # bytes from the start that are certain
    spans: tuple[Span, ...] = ()  # of the rest, in order, without holes

    @property
    def data(self) -> bytes:
        """What a reader sees while the power is on."""
        return bytes(memoryview(self.buffer)[: self.size])

    def written(self, data: memoryview) -> FileNode:
        self.buffer.extend(data)
        end = self.size + len(data)
        return replace(self, size=end, spans=(*self.spans, Span(self.size, end, Fate.OPEN)))

    def after_sync(self) -> FileNode:
        """All that was open is certain now; what an earlier failure made doubtful stays so."""
        if all(span.fate is Fate.OPEN for span in self.spans):
            return replace(self, synced=self.size, spans=())
        return self._with_open(Fate.KEPT)

    def after_failed_sync(self) -> FileNode:
        return self._with_open(Fate.DOUBTFUL)

    def _with_open(self, fate: Fate) -> FileNode:
        return replace(self, spans=tuple(replace(s, fate=fate) if s.fate is Fate.OPEN else s for s in self.spans))


@dataclass(frozen=True, slots=True)
class Change:
    """One name of a folder set to an inode, or taken away. Changes of one `step` (a rename) happen together."""

    step: int
    name: str
    inode: int | None

    def apply(self, names: dict[str, int]) -> None:
        if self.inode is None:
            names.pop(self.name, None)
        else:
            names[self.name] = self.inode


@dataclass(frozen=True, slots=True)
class FolderNode:
    """A folder at one moment: the names that are certain, and the changes since."""

    certain: dict[str, int]
    changes: tuple[Change, ...] = ()

    def after(self, steps: frozenset[int]) -> dict[str, int]:
        """The names when of the changes only those of these steps have reached the medium."""
        names = dict(self.certain)
        for change in self.changes:
            if change.step in steps:
                change.apply(names)
        return names

    def with_change(self, change: Change) -> FolderNode:
        return replace(self, changes=(*self.changes, change))

    def settled(self, last: int, *, in_place: bool) -> FolderNode:
        """All changes up to step `last` are certain now; the later ones stay as they are.

        `in_place` spares the copy of a large folder where nobody keeps its earlier moments.
        """
        certain = self.certain if in_place else dict(self.certain)
        for change in self.changes:
            if change.step <= last:
                change.apply(certain)
        return FolderNode(certain, tuple(change for change in self.changes if change.step > last))


@dataclass(frozen=True, slots=True)
class SpecialNode:
    """Something that has no business on the flash: a planted "link" or "fifo"."""

    kind: str


Tree = Mapping[str, bytes | None]
"""The content of a medium: path to content, None for a folder."""

Node = FileNode | FolderNode | SpecialNode

ROOT = 0  # the inode of the root folder


@dataclass(frozen=True, slots=True)
class Moment:
    """All that is known of the medium after an operation."""

    index: int  # of the operation; 0 = before the first
    nodes: Mapping[int, Node]
