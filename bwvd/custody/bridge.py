"""Bridge from a verification, which is blocking and reads folders, to a store, which is asynchronous and has objects.

The verification runs in a worker thread and hashes in threads of its own; each piece that they need is read in trio's
thread and handed over, so nothing is copied to a disk first, and as much is in memory as the threads are reading.

What the store can't answer now is not what is wrong with the evidence: it ends the verification with the store's own
error, and never becomes a finding. Only an object that is not there does.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import trio

from bwvd.evidence.verify.folder import plain_name
from bwvd.store.errors import ObjectMissing, StoreError, StoreUnreachable
from bwvd.store.ports import Store, StoredObject

T = TypeVar("T")

READ_BYTES = 2_097_152  # asked for at once: most segments are less, and so one request


class Stopped(StoreError):
    """The verification was given up."""


class Bridge:
    """Lets threads wait for what trio's thread does.

    **Synchronization:** made and stopped in trio's thread; `call` from any other.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._token = trio.lowlevel.current_trio_token()
        self._scopes: set[trio.CancelScope] = set()
        self._stopped = False

    def call(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """What `function(*args)` returns or raises. Blocking. Raises: Stopped."""
        try:
            return trio.from_thread.run(self._run, function, *args, trio_token=self._token)
        except trio.RunFinishedError:
            raise Stopped("given up") from None

    async def _run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        if not self._stopped:
            with trio.CancelScope() as scope:
                self._scopes.add(scope)
                try:
                    return await function(*args)
                finally:
                    self._scopes.discard(scope)
        raise Stopped("given up")

    def stop(self) -> None:
        """Let every call end now, and every later one at once."""
        self._stopped = True
        for scope in self._scopes:
            scope.cancel()


async def in_thread(store: Store, job: Callable[[Bridge], T], limiter: trio.CapacityLimiter | None = None) -> T:
    """Run `job` in a worker thread, with a bridge to `store`.

    **Cancellation:** at once; the job's next read ends it.
    """
    bridge = Bridge(store)
    try:
        return await trio.to_thread.run_sync(job, bridge, abandon_on_cancel=True, limiter=limiter)
    finally:
        bridge.stop()


class StoreFolder:
    """Objects of a store as the files of one folder: `bwvd.evidence.verify.folder.Folder`.

    Args:
        files: by the name in the folder: the object, as it was listed. Nothing else is opened.
        strange: names of what else lies there, none of which one of ours has.
        path: as a person would name it.
        kept: beginnings of files that need not be read again.

    **Synchronization:** any thread but trio's.
    """

    def __init__(
        self,
        bridge: Bridge,
        files: Mapping[str, StoredObject],
        path: str,
        strange: tuple[str, ...] = (),
        kept: Mapping[str, bytes] | None = None,
    ) -> None:
        self.path = path
        self._kept = kept or {}
        self._bridge = bridge
        self._files = files
        self._strange = strange

    def names(self) -> dict[str, str]:
        return {**dict.fromkeys(self._files, ""), **dict.fromkeys(self._strange, "a name that no file of ours has")}

    def size(self, name: str) -> int:
        return self._object(name).size

    def open(self, name: str) -> io.RawIOBase:
        return _Object(self._bridge, self._object(name), name, self._kept.get(name, b""))

    def open_keeping(self, name: str, keep: bytearray) -> io.RawIOBase:
        """The same; what is read of it from its beginning is added to `keep`."""
        return _Object(self._bridge, self._object(name), name, b"", keep)

    def _object(self, name: str) -> StoredObject:
        found = self._files.get(plain_name(name))
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return found


class _Object(io.RawIOBase):
    """An object's bytes, from its beginning, as many as were listed."""

    def __init__(
        self, bridge: Bridge, stored: StoredObject, name: str, beginning: bytes, keep: bytearray | None = None
    ) -> None:
        self._bridge = bridge
        self._stored = stored
        self._name = name
        self._at = len(beginning)
        self._piece = memoryview(beginning)
        self._keep = keep

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # the type of a writable buffer has a name only from Python 3.12 on
        if not self._piece and self._at < self._stored.size:
            end = min(self._at + READ_BYTES, self._stored.size)
            try:
                data = self._bridge.call(read, self._bridge.store, self._stored.name, self._at, end)
            except ObjectMissing:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._name) from None
            self._piece = memoryview(data)
            self._at = end
            if self._keep is not None:
                self._keep += data
        count = min(len(buffer), len(self._piece))
        buffer[:count], self._piece = self._piece[:count], self._piece[count:]
        return count


async def read(store: Store, name: str, start: int, end: int) -> bytes:
    """The bytes from `start` to `end` of an object that has them.

    Raises: as `Store.get`; StoreUnreachable if there are fewer or more.
    """
    data = bytearray()
    async with store.get(name, start, end) as pieces:
        async for piece in pieces:
            data += piece
            if len(data) > end - start:
                break
    if len(data) != end - start:
        raise StoreUnreachable(f"{name}: {len(data)} bytes came where {end - start} were asked for")
    return bytes(data)


async def read_small(store: Store, name: str, limit: int) -> bytes | None:
    """The whole of an object of at most `limit` bytes; of a larger one `limit` + 1. None if there is none."""
    try:
        data = bytearray()
        async with store.get(name) as pieces:
            async for piece in pieces:
                data += piece
                if len(data) > limit:
                    break
    except ObjectMissing:
        return None
    return bytes(data[: limit + 1])
