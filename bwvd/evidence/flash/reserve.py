"""Reserve of the flash: the room that is kept for closing a recording in order.

Nothing is ever deleted to make room (invariant 8): a flash without room refuses to begin a recording. One that is in
progress goes on until the flash is full, and is closed and signed on the reserve (invariant 12). Room is bytes, and
files where the file system counts those: an end is of no use without the sums, which are files of their own.
"""

from __future__ import annotations

from contextlib import suppress

from bwvd.evidence.flash.volume import NO_ROOM, Volume
from bwvd.evidence.format.layout import RESERVE, SPARES


class Reserve:
    """Bytes and files of the flash that nothing else can take: a file with allocated blocks and some empty ones,
    removed when they are needed.

    **Synchronization:** inside jobs of the volume's `Storage`; `held` may be read anywhere.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self.held = False

    def restore(self, volume: Volume) -> bool:
        """Set the room aside if it is not; False if there is not enough. Blocking; raises OSError."""
        try:
            volume.reserve(RESERVE, self._size)
            if volume.free_files() is not None:
                there = set(volume.names(""))
                for name in SPARES:
                    if name not in there:
                        volume.create(name).close()
            volume.sync_dir("")
        except OSError as error:
            self.held = False
            if error.errno not in NO_ROOM:
                raise
            # A smaller one of an earlier configuration stays: it is better than nothing when something must be closed.
            with suppress(FileNotFoundError):
                if not volume.size(RESERVE):
                    volume.remove(RESERVE)
            return False
        self.held = True
        return True

    def spend(self, volume: Volume) -> None:
        """Free the room. Blocking; raises OSError."""
        self.held = False
        with suppress(FileNotFoundError):
            volume.remove(RESERVE)
        if volume.free_files() is not None:
            for name in set(SPARES).intersection(volume.names("")):
                volume.remove(name)
        # f2fs gives freed blocks out again after a checkpoint, ext4 after a commit: this is one.
        volume.sync_dir("")
