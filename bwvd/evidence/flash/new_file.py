"""New files on the flash, and files that are replaced whole: the one place for the order of the syncs.

The content is durable before the name that counts points to it, and the name before anything is built on it. A sync
that fails is not repeated: the kernel calls the pages clean after it, and a second one would succeed without writing
them. To have the content durable after that, write it anew under another name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from bwvd.evidence.flash.volume import File, Volume
from bwvd.evidence.format.layout import NEW


@contextmanager
def synced(file: File) -> Iterator[File]:
    """Sync `file` after the body, and close it in any case: what was written is durable then, its name may not be."""
    try:
        yield file
        file.sync()
    finally:
        file.close()


def new_file(volume: Volume, path: str, pieces: Iterable[bytes]) -> None:
    """Make a file that was not there, its content durable. Its name becomes durable with a `sync_dir` of its folder.

    Blocking. Raises OSError: FileExistsError if the name is taken; after another one a piece of it may be there.
    """
    with synced(volume.create(path)) as file:
        for piece in pieces:
            file.write(piece)


def replace_file(volume: Volume, path: str, pieces: Iterable[bytes]) -> None:
    """Give `path` a new content, durable when this returns; a power cut leaves the old one or the new one, whole.

    It is written beside it first, under the name with NEW behind it: what a cut left there is removed. `pieces` may be
    read from the old file.

    Blocking. Raises OSError; then `path` has its old content, or, if only the last sync failed, the new one.
    """
    new = path + NEW
    with suppress(FileNotFoundError):
        volume.remove(new)
    new_file(volume, new, pieces)
    volume.rename(new, path)
    volume.sync_dir(path.rpartition("/")[0])
