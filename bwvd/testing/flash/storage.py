"""The virtual flash: a verified fake of `Volume` and `Storage`, with faults, latency and power cuts.

`VirtualVolume` is held against the same conformance suite as the real one (`bwvd.testing.conformance.storage`).
`bwvd.testing.flash.crash` tells what may be on the medium after a power cut at any of its operations.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar

import trio

from bwvd.evidence.flash.volume import Volume
from bwvd.testing.flash.faults import Fault, Gate, Operation
from bwvd.testing.flash.file import VirtualFile, error_at
from bwvd.testing.flash.medium import ROOT, Change, FileNode, FolderNode, Moment, Node, SpecialNode, Tree

T = TypeVar("T")

BLOCK = 4096  # bytes: the unit of room on the flash
UNLIMITED = 1 << 40  # bytes that a volume without a capacity says it has


class VirtualVolume:
    """`bwvd.evidence.flash.volume.Volume` in memory.

    Args:
        capacity: bytes of room, counted in blocks as a file system does; None = no limit.
        files: how many files and folders it can have; None = it does not count them.
        trace: keep a `Moment` after every operation that changes something.
        max_write: bytes that one write operation takes; a longer write is several operations, each with its own fate.
        omit: see `Gate`.

    **Synchronization:** blocking in name only; one caller at a time.
    """

    def __init__(
        self,
        *,
        capacity: int | None = None,
        files: int | None = None,
        trace: bool = False,
        max_write: int | None = None,
        omit: Callable[[Operation], bool] | None = None,
    ) -> None:
        self.gate = Gate(omit)
        self.capacity = capacity
        self.files = files
        self.max_write = max_write
        self.moments: list[Moment] = []
        self._trace = trace
        self._step = 0
        self._nodes: dict[int, Node] = {ROOT: FolderNode({})}
        self._live: dict[int, dict[str, int]] = {ROOT: {}}  # the names as a reader sees them, by folder
        self._handles: dict[int, int] = {}  # open files by inode: a removed one keeps its room while it is open
        self._linked: set[int] = set()
        self._blocks: dict[int, int] = {}
        self._used = 0  # blocks
        self._remember()

    @classmethod
    def from_state(
        cls,
        state: Tree,
        *,
        capacity: int | None = None,
        trace: bool = False,
        max_write: int | None = None,
        omit: Callable[[Operation], bool] | None = None,
    ) -> VirtualVolume:
        """The volume after the next boot: everything in `state` is certain (path to content, None for a folder)."""
        volume = cls(max_write=max_write, omit=omit)
        inodes = {"": ROOT}
        for path in sorted(state, key=lambda path: path.split("/")):
            content = state[path]
            folder, _, name = path.rpartition("/")
            inode = inodes[path] = volume._add(
                FolderNode({}) if content is None else FileNode(bytearray(content), len(content), len(content))
            )
            volume._link(inodes[folder], name, inode)
        volume.capacity = capacity
        volume._settle_all()
        volume._trace = trace
        volume._remember()
        return volume

    def killed(self, *, trace: bool = False, omit: Callable[[Operation], bool] | None = None) -> VirtualVolume:
        """The volume as the next process finds it after a kill: readers see all that was written, nothing is synced."""
        after = VirtualVolume(capacity=self.capacity, files=self.files, max_write=self.max_write, omit=omit)
        after._nodes = dict(self._nodes)
        for inode, node in self._nodes.items():
            if isinstance(node, FileNode):
                after._nodes[inode] = FileNode(bytearray(node.data), node.size, node.synced, node.spans)
            elif isinstance(node, FolderNode):
                after._live[inode] = dict(self._live[inode])
        after._linked, after._step = set(self._linked), self._step
        for inode in self._linked:
            after._take(inode, self._blocks.get(inode, 0))
        after._trace = trace
        after._remember()
        self.gate.dead = True
        return after

    # --- what goes wrong ---------------------------------------------------------------------------------------------

    def fail(
        self, error: int, *, kind: str = "", path: str = "", nth: int = 1, times: float = 1, partial: int = 0
    ) -> None:
        """Let operations raise this errno; the arguments are those of `Fault`. A failed sync leaves doubtful bytes."""
        self.gate.set(Fault(error=error, kind=kind, path=path, nth=nth, times=times, partial=partial))

    def stall(self, seconds: float, *, kind: str = "", path: str = "", nth: int = 1, times: float = 1) -> None:
        """Let operations take longer, as a card that tidies up does."""
        self.gate.set(Fault(delay_s=seconds, kind=kind, path=path, nth=nth, times=times))

    def read_only_from(self, nth: int = 1) -> None:
        """From the nth next operation on, whatever would change the medium raises EROFS."""
        self.gate.read_only_from(nth)

    def power_cut_at(self, nth: int = 1) -> None:
        """The nth next operation, and all after it, raise PowerCut. How much of it was done is not known."""
        self.gate.power_cut_at(nth)

    def heal(self) -> None:
        """No more faults, writable again. What became doubtful stays so."""
        self.gate.heal()

    def plant(self, path: str, kind: str) -> None:
        """Put a "link" or a "fifo" at `path`, as somebody with the card in hand could."""
        folder, name = self._parent(path)
        self._link(folder, name, self._add(SpecialNode(kind)))
        self._settle_all()

    def tree(self) -> dict[str, bytes | None]:
        """What a reader sees, without an operation: path to content, None for a folder."""
        found: dict[str, bytes | None] = {}
        folders = [("", ROOT)]
        while folders:
            path, inode = folders.pop()
            for name, child in self._live[inode].items():
                node, below = self._nodes[child], f"{path}/{name}".lstrip("/")
                if isinstance(node, FolderNode):
                    folders.append((below, child))
                found[below] = node.data if isinstance(node, FileNode) else None
        return found

    # --- Volume ------------------------------------------------------------------------------------------------------

    def create(self, path: str) -> VirtualFile:
        self._enter("create", path)
        folder, name = self._parent(path)
        if name in self._live[folder]:
            raise error_at(errno.EEXIST, path)
        self._count(path)
        self._link(folder, name, inode := self._add(FileNode(bytearray())))
        self._leave()
        return self._opened(path, inode)

    def append(self, path: str) -> VirtualFile:
        self._enter("append", path)
        return self._opened(path, self._file(path)[0])

    def make_dir(self, path: str) -> None:
        self._enter("make_dir", path)
        folder, name = self._parent(path)
        if name in self._live[folder]:
            raise error_at(errno.EEXIST, path)
        if self._free() < 1:
            raise error_at(errno.ENOSPC, path)
        self._count(path)
        self._link(folder, name, self._add(FolderNode({})))
        self._leave()

    def sync_dir(self, path: str) -> None:
        operation = self._enter("sync_dir", path)
        folder = self._nodes[self._folder(path)]
        assert isinstance(folder, FolderNode)  # noqa: S101  # narrows the type: _folder has looked
        if not self.gate.omits(operation):
            self._settle({change.step for change in folder.changes})
        self._leave()

    def read(self, path: str, offset: int = 0, size: int = -1) -> bytes:
        self._enter("read", path)
        node = self._file(path)[1]
        end = node.size if size < 0 else min(node.size, offset + size)
        return bytes(memoryview(node.buffer)[min(offset, end) : end])

    def size(self, path: str) -> int:
        self._enter("size", path)
        return self._file(path)[1].size

    def sizes(self, path: str) -> dict[str, int]:
        self._enter("sizes", path)
        names = self._live[self._folder(path)].items()
        return {name: node.size for name, inode in names if isinstance(node := self._nodes[inode], FileNode)}

    def names(self, path: str) -> list[str]:
        self._enter("names", path)
        names = self._live[self._folder(path)]
        return sorted(
            f"{name}/" if isinstance(self._nodes[inode], FolderNode) else name for name, inode in names.items()
        )

    def rename(self, old: str, new: str) -> None:
        self._enter("rename", old, target=new)
        source, name = self._parent(old)
        target, new_name = self._parent(new)
        moved = self._inode(source, name, old)
        replaced = self._live[target].get(new_name)
        if replaced == moved:
            return
        if replaced is not None:
            self._check_replace(self._nodes[moved], replaced, old)
        self._change((source, name, None), (target, new_name, moved))
        self._leave()

    def remove(self, path: str) -> None:
        self._enter("remove", path)
        folder, name = self._parent(path)
        inode = self._inode(folder, name, path)
        if self._live.get(inode):
            raise error_at(errno.ENOTEMPTY, path)
        self._change((folder, name, None))
        self._leave()

    def reserve(self, path: str, size: int) -> None:
        self._enter("reserve", path, size)
        folder, name = self._parent(path)
        if name not in self._live[folder]:
            self._count(path)
            self._link(folder, name, self._add(FileNode(bytearray())))
        inode, node = self._file(path)
        if _blocks(size) - _blocks(node.size) > self._free():
            raise error_at(errno.ENOSPC, path)
        kept = node.data[:size]
        self._nodes[inode] = FileNode(bytearray(kept) + bytearray(size - len(kept)), size, size)
        self._take(inode, _blocks(size))
        self._leave()

    def free_bytes(self) -> int:
        self._enter("free", "")
        return self._free() * BLOCK

    def total_bytes(self) -> int:
        self._enter("total", "")
        return self._total()

    def free_files(self) -> int | None:
        self._enter("files", "")
        return self._free_files()

    # --- files -------------------------------------------------------------------------------------------------------

    def write_some(self, path: str, inode: int, data: memoryview) -> int:
        """One write operation, of as much of `data` as one takes; returns how much that was."""
        data = data[: self.max_write]
        _, fault = self.gate.enter("write", path, len(data))
        if fault is not None:
            self._grow(path, inode, data[: fault.partial])
            raise error_at(fault.error, path)
        written = self._grow(path, inode, data)
        self._leave()
        return written

    def sync_file(self, path: str, inode: int) -> None:
        operation, fault = self.gate.enter("sync", path)
        node = self._nodes[inode]
        assert isinstance(node, FileNode)  # noqa: S101  # narrows the type: only files have handles
        if fault is not None:
            self._nodes[inode] = node.after_failed_sync()
        elif not self.gate.omits(operation):
            self._nodes[inode] = node.after_sync()
        self._leave()
        if fault is not None:
            raise error_at(fault.error, path)

    def closed(self, path: str, inode: int) -> None:
        self._handles[inode] -= 1
        self._free_if_unused(inode)
        self._enter("close", path)  # the descriptor is gone even where that is an error, as with close(2)

    def _opened(self, path: str, inode: int) -> VirtualFile:
        self._handles[inode] = self._handles.get(inode, 0) + 1
        return VirtualFile(self, path, inode)

    def _free_files(self) -> int | None:
        taken = self._linked.union(inode for inode, handles in self._handles.items() if handles)
        return None if self.files is None else max(self.files - len(taken), 0)

    def _count(self, path: str) -> None:
        if self._free_files() == 0:
            raise error_at(errno.ENOSPC, path)

    def _grow(self, path: str, inode: int, data: memoryview) -> int:
        """Put as much of `data` into the file as there is room for, as a real write does; none at all is an error."""
        node = self._nodes[inode]
        assert isinstance(node, FileNode)  # noqa: S101  # narrows the type: only files have handles
        room = (_blocks(node.size) + self._free()) * BLOCK - node.size
        if data and not room:
            raise error_at(errno.ENOSPC, path)
        data = data[:room]
        self._nodes[inode] = grown = node.written(data)
        self._take(inode, _blocks(grown.size))
        return len(data)

    # --- operations --------------------------------------------------------------------------------------------------

    def _enter(self, kind: str, path: str, size: int = 0, target: str = "") -> Operation:
        operation, fault = self.gate.enter(kind, path, size, target)
        if fault is not None:
            raise error_at(fault.error, path)
        return operation

    def _leave(self) -> None:
        self._remember()
        self.gate.leave()

    def _remember(self) -> None:
        if self._trace:
            self.moments.append(Moment(self.gate.count, dict(self._nodes)))

    # --- names -------------------------------------------------------------------------------------------------------

    def _parent(self, path: str) -> tuple[int, str]:
        """The folder that holds `path`, and its last component."""
        parts = path.split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise error_at(errno.EINVAL, path, "not a path inside the storage")
        return self._folder("/".join(parts[:-1]), path), parts[-1]

    def _folder(self, path: str, wanted: str = "") -> int:
        inode = ROOT
        for part in path.split("/") if path else ():
            if part in ("", ".", ".."):
                raise error_at(errno.EINVAL, wanted or path, "not a path inside the storage")
            inode = self._inode(inode, part, wanted or path)
            node = self._nodes[inode]
            if isinstance(node, SpecialNode) and node.kind == "link":
                raise error_at(errno.ELOOP, wanted or path)
            if not isinstance(node, FolderNode):
                raise error_at(errno.ENOTDIR, wanted or path)
        return inode

    def _inode(self, folder: int, name: str, path: str) -> int:
        if name not in self._live[folder]:
            raise error_at(errno.ENOENT, path)
        return self._live[folder][name]

    def _file(self, path: str) -> tuple[int, FileNode]:
        inode = self._inode(*self._parent(path), path)
        node = self._nodes[inode]
        if isinstance(node, SpecialNode) and node.kind == "link":
            raise error_at(errno.ELOOP, path)
        if not isinstance(node, FileNode):
            raise error_at(errno.EPERM, path)
        return inode, node

    def _check_replace(self, moved: Node, replaced: int, old: str) -> None:
        if isinstance(self._nodes[replaced], FolderNode):
            if not isinstance(moved, FolderNode):
                raise error_at(errno.EISDIR, old)
            if self._live[replaced]:
                raise error_at(errno.ENOTEMPTY, old)
        elif isinstance(moved, FolderNode):
            raise error_at(errno.ENOTDIR, old)

    def _add(self, node: Node) -> int:
        inode = len(self._nodes)  # inodes are never taken out, so that old moments keep their meaning
        self._nodes[inode] = node
        if isinstance(node, FolderNode):
            self._live[inode] = {}
        self._take(inode, _blocks(node.size) if isinstance(node, FileNode) else 1)
        return inode

    def _link(self, folder: int, name: str, inode: int) -> None:
        self._change((folder, name, inode))

    def _change(self, *changes: tuple[int, str, int | None]) -> None:
        """Set or take away names, in one step."""
        self._step += 1
        gone = []
        for folder, name, inode in changes:
            before = self._live[folder].pop(name, None)
            if before is not None:
                self._linked.discard(before)
                gone.append(before)
            if inode is not None:
                self._live[folder][name] = inode
                self._linked.add(inode)
            node = self._nodes[folder]
            assert isinstance(node, FolderNode)  # noqa: S101  # narrows the type: names live in folders
            self._nodes[folder] = node.with_change(Change(self._step, name, inode))
        for inode in gone:
            self._free_if_unused(inode)

    def _settle(self, steps: set[int]) -> None:
        """These steps are certain now, on both sides of a rename, with all that happened before them in a folder."""
        for inode, node in list(self._nodes.items()):
            if isinstance(node, FolderNode) and node.changes:
                last = max((change.step for change in node.changes if change.step in steps), default=0)
                if last:
                    self._nodes[inode] = node.settled(last, in_place=not self._trace)

    def _settle_all(self) -> None:
        self._settle(
            {change.step for node in self._nodes.values() if isinstance(node, FolderNode) for change in node.changes}
        )

    # --- room --------------------------------------------------------------------------------------------------------

    def _free(self) -> int:
        return max(0, self._total() // BLOCK - self._used)

    def _total(self) -> int:
        return UNLIMITED if self.capacity is None else self.capacity // BLOCK * BLOCK

    def _take(self, inode: int, blocks: int) -> None:
        self._used += blocks - self._blocks.get(inode, 0)
        self._blocks[inode] = blocks

    def _free_if_unused(self, inode: int) -> None:
        if inode not in self._linked and not self._handles.get(inode):
            self._take(inode, 0)


class VirtualStorage:
    """`bwvd.evidence.flash.volume.Storage` in virtual time: a job runs at once, then its caller sleeps what it took.

    So the effect of a job is complete when `run` returns, and no thread hides from an autojump clock.
    """

    def __init__(self, volume: VirtualVolume) -> None:
        self.volume = volume
        self._one = trio.CapacityLimiter(1)

    async def run(self, job: Callable[[Volume], T]) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        async with self._one:
            try:
                return job(self.volume)
            finally:
                elapsed_s, self.volume.gate.elapsed_s = self.volume.gate.elapsed_s, 0.0
                with trio.CancelScope(shield=True):
                    await trio.sleep(elapsed_s)


def _blocks(size: int) -> int:
    return -(-size // BLOCK)
