"""Crash states: all that a traced `VirtualVolume` could leave on its medium after a power cut.

After the power cut at an operation, each file that was not synced may have any of its sizes since the last sync, with
whole sectors of the new bytes there or zero; each name that was changed since its folder was synced may be old or new,
independently of the others; all of it in any combination. `crash_states` takes every combination where they are few,
and where they are many the extremes, every deviation by one choice from them, and a seeded sample of the rest.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bwvd.testing.flash.medium import ROOT, SECTOR, Fate, FileNode, FolderNode, Moment, Node, Tree

_ALL_SUBSETS_UP_TO = 4  # changes of a folder: 16 subsets


@dataclass(frozen=True, slots=True, eq=False)
class CrashState:
    """One possible content of the medium."""

    tree: Tree
    first: int  # the earliest operation after which it is possible
    last: int  # the latest: whatever was acknowledged up to this one must be in `tree`


def crash_states(moments: Sequence[Moment], *, per_moment: int = 64, seed: int = 0) -> list[CrashState]:
    """The different states that a power cut during or after each of these moments' operations can leave.

    The moments follow each other without one left out: a state lasts through the operations that change nothing.
    At most about `per_moment` combinations are taken of each moment. Deterministic for a seed.
    """
    rng = random.Random(seed)  # noqa: S311  # a reproducible sample, not a secret
    enumeration = _Enumeration(per_moment, rng)
    found: dict[frozenset[tuple[str, bytes | None]], CrashState] = {}
    for moment, after in itertools.zip_longest(moments, moments[1:]):
        last = moment.index if after is None else max(moment.index, after.index - 1)
        for tree in enumeration.states(moment):
            key = frozenset(tree.items())  # bytes remember their hash
            before = found.get(key)
            found[key] = CrashState(tree, before.first if before else moment.index, last)
    return list(found.values())


class _Enumeration:
    """The states of one moment after the other; what a file can become is kept for as long as it is not written to."""

    def __init__(self, per_moment: int, rng: random.Random) -> None:
        self._per_moment = per_moment
        self._rng = rng
        self._contents: dict[int, tuple[FileNode, list[bytes]]] = {}
        self._same: dict[bytes, bytes] = {}  # equal contents become one object, so that comparing them is free

    def states(self, moment: Moment) -> Iterator[dict[str, bytes | None]]:
        reachable = _reachable(moment.nodes)
        names = [self._subsets(steps) for steps in _steps_together(moment.nodes[inode] for inode in reachable)]
        files = {
            inode: self._variants(inode, node)
            for inode in reachable
            if isinstance(node := moment.nodes[inode], FileNode)
        }
        for chosen in self._combinations([*map(len, names), *map(len, files.values())]):
            happened = frozenset[int]().union(*(choice[i] for choice, i in zip(names, chosen, strict=False)))
            content = {
                inode: variants[i] for (inode, variants), i in zip(files.items(), chosen[len(names) :], strict=True)
            }
            yield _tree(moment.nodes, happened, content)

    def _subsets(self, steps: Sequence[int]) -> list[frozenset[int]]:
        """Which of these steps have happened: nothing first, everything last."""
        if len(steps) <= _ALL_SUBSETS_UP_TO:
            sizes = range(len(steps) + 1)
            return [frozenset(subset) for size in sizes for subset in itertools.combinations(steps, size)]
        everything = frozenset(steps)
        prefixes = [frozenset(steps[:end]) for end in range(len(steps))]
        suffixes = [frozenset(steps[start:]) for start in range(1, len(steps))]
        without_one = [everything - {step} for step in steps]
        only_one = [frozenset({step}) for step in steps]
        sampled = [frozenset(s for s in steps if self._rng.random() < 0.5) for _ in steps]
        return [*dict.fromkeys([*prefixes, *only_one, *suffixes, *sampled, *without_one]), everything]

    def _variants(self, inode: int, node: FileNode) -> list[bytes]:
        known = self._contents.get(inode)
        if known is None or known[0] is not node:
            contents = [self._same.setdefault(content, content) for content in contents_after_cut(node)]
            self._contents[inode] = known = (node, contents)
        return known[1]

    def _combinations(self, sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
        """One index per choice; in each the first index is the least that may be left, the last is everything."""
        if math.prod(sizes) <= self._per_moment:
            yield from itertools.product(*(range(size) for size in sizes))
            return
        least, most = tuple(0 for _ in sizes), tuple(size - 1 for size in sizes)
        yield least
        yield most
        for i, size in enumerate(sizes):
            if size > 1:
                yield (*most[:i], 0, *most[i + 1 :])
                yield (*least[:i], size - 1, *least[i + 1 :])
        for _ in range(self._per_moment):
            base = self._rng.choice((least, most, None))
            if base is None:
                yield tuple(self._rng.randrange(size) for size in sizes)
            else:
                i = self._rng.choice([i for i, size in enumerate(sizes) if size > 1])
                yield (*base[:i], self._rng.randrange(sizes[i]), *base[i + 1 :])


def contents_after_cut(node: FileNode) -> list[bytes]:
    """Everything that a file may hold after a power cut, the least first and all that was written last."""
    data = node.data
    if not node.spans:
        return [data]
    kept = [span for span in node.spans if span.fate is Fate.KEPT]
    floor = max([node.synced, *(span.end for span in kept)])
    sectors = range((floor // SECTOR + 1) * SECTOR, node.size, SECTOR)
    torn = {sectors[0], sectors[len(sectors) // 2], sectors[-1]} if sectors else set()
    sizes = sorted({floor, node.size, *torn, *(span.end for span in node.spans if span.end > floor)})
    found: dict[bytes, None] = {}
    for size in sizes:
        for lost in _lost(node, size):
            content = bytearray(data[:size])
            for start, end in lost:
                content[start:end] = bytes(end - start)
            found.setdefault(bytes(content))
    found.pop(data)
    return [*found, data]


def _lost(node: FileNode, size: int) -> list[list[tuple[int, int]]]:
    """Which ranges may read as zeros when the file has this size: of its uncertain sectors all, some, or none.

    A sector that several writes share is as it was after one of them: never the later without the earlier.
    """
    pieces: list[tuple[int, int]] = []
    for span in node.spans:
        if span.fate is not Fate.KEPT:
            cuts = [span.start, *range((span.start // SECTOR + 1) * SECTOR, span.end, SECTOR), span.end]
            pieces.extend((a, min(b, size)) for a, b in itertools.pairwise(cuts) if a < size)
    sectors = [list(shared) for _, shared in itertools.groupby(pieces, key=lambda piece: piece[0] // SECTOR)]
    some = [sectors[:1], sectors[-1:], sectors[len(sectors) // 2 :][:1], sectors[1:], sectors]
    stale = [shared[later:] for shared in sectors for later in range(1, len(shared))]
    return [*([piece for sector in lost for piece in sector] for lost in some), *stale, []]


def _reachable(nodes: Mapping[int, Node]) -> list[int]:
    """Every inode that some name in some state may lead to, the root first."""
    found = {ROOT: None}
    new = [ROOT]
    while new:
        node = nodes[new.pop()]
        if isinstance(node, FolderNode):
            named = [*node.certain.values(), *(change.inode for change in node.changes if change.inode is not None)]
            new += [inode for inode in dict.fromkeys(named) if inode not in found]
            found.update(dict.fromkeys(named))
    return list(found)


def _steps_together(nodes: Iterable[Node]) -> list[list[int]]:
    """The pending steps, folder by folder; folders that a rename ties together are one."""
    groups: list[set[int]] = []
    for node in nodes:
        if isinstance(node, FolderNode) and node.changes:
            steps = {change.step for change in node.changes}
            tied = [group for group in groups if group & steps]
            groups = [group for group in groups if not group & steps]
            groups.append(steps.union(*tied))
    return [sorted(group) for group in groups]


def _tree(nodes: Mapping[int, Node], happened: frozenset[int], content: Mapping[int, bytes]) -> dict[str, bytes | None]:
    tree: dict[str, bytes | None] = {}
    folders = [("", ROOT)]
    while folders:
        path, inode = folders.pop()
        node = nodes[inode]
        assert isinstance(node, FolderNode)  # noqa: S101  # narrows the type: only folders are put on the list
        for name, child in node.after(happened).items():
            below = f"{path}/{name}" if path else name
            tree[below] = content.get(child)
            if isinstance(nodes[child], FolderNode):
                folders.append((below, child))
    return tree
