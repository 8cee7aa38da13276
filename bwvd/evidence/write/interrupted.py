"""A recording that an I/O error left without an end, and how it is made fit for recovery in this boot."""

from __future__ import annotations

from dataclasses import dataclass

from bwvd.evidence.flash.new_file import replace_file
from bwvd.evidence.flash.pieces import pieces
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format.layout import MANIFEST, RECORDINGS


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A recording that an I/O error left without an end."""

    recording: str
    uncommitted: tuple[str, ...]  # files whose commit did not return: their media goes on in the next recording
    durable: int  # bytes of the manifest that a sync has confirmed
    closed: bool = False  # it has its end; only what is made from the manifest is missing

    def make_recoverable(self, volume: Volume) -> None:
        """Leave nothing doubtful, so that recovery can go on from here in this boot. Blocking; may raise OSError.

        After a failed sync the page cache shows what the medium may not have, and a second sync would succeed without
        writing it. So the manifest is written anew as far as it was durable, nothing behind that was acknowledged, and
        what was not committed is removed.
        """
        if self.closed:
            return
        folder = f"{RECORDINGS}/{self.recording}"
        names = volume.names(folder)
        if MANIFEST in names:
            # First: a power cut in between leaves a file without a line, never a line without its file.
            path = f"{folder}/{MANIFEST}"
            replace_file(volume, path, pieces(volume, path, 0, self.durable))
        uncommitted = [name for name in self.uncommitted if name in names]
        for name in uncommitted:
            volume.remove(f"{folder}/{name}")
        if uncommitted:
            volume.sync_dir(folder)
