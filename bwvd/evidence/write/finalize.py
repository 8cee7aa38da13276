"""Conveniences in a recording's folder, made after its last record: an HLS presentation, checksums for stock tools.

All of it is made from the manifest, is convenience, and may be made again: the manifest stays the authority.
"""

from __future__ import annotations

import hashlib
import re

from bwvd.evidence.flash.new_file import new_file
from bwvd.evidence.flash.pieces import digest, pieces
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import MANIFEST_NAMESPACE, SUMS_NAMESPACE, Signer
from bwvd.evidence.format.chain_tail import read_ending
from bwvd.evidence.format.decode import Unknown
from bwvd.evidence.format.file_names import harmless
from bwvd.evidence.format.layout import MANIFEST, PLAYLIST, SUMS, SUMS_SIGNATURE, init_name, is_convenience
from bwvd.evidence.format.media_index import MediaIndex
from bwvd.evidence.format.totals import Contents
from bwvd.evidence.keys.sshsig import armour
from bwvd.evidence.write.playlist import playlist

_SHA256 = re.compile(r"[0-9a-f]{64}")


class _Outline:
    """What the conveniences are made of."""

    def __init__(self) -> None:
        self.media = MediaIndex()
        self.contents = Contents()

    def take(self, record: records.Record | Unknown) -> None:
        self.media.take(record)
        self.contents.take(record)

    def sha256(self, name: str) -> str:
        """The digest that a record gives for a file; "" if none does."""
        stored = self.contents.files.get(name)
        # Signed by somebody, which does not make it a digest.
        return stored.sha256 if stored is not None and _SHA256.fullmatch(stored.sha256) else ""


def finish_recording(volume: Volume, folder: str, signer: Signer) -> None:
    """Write init segments, playlist, SHA256SUMS and its signature beside a manifest that has its last record.

    Only what is signed is taken from the manifest: a damaged line must not find its way into what players read.
    Files of these names that an interrupted attempt left are made anew. Blocking; may raise OSError.
    """
    path = f"{folder}/{MANIFEST}"
    _, outline = read_ending(volume, path, MANIFEST, MANIFEST_NAMESPACE, _Outline)
    old = [name for name in volume.names(folder) if is_convenience(name)]
    if SUMS_SIGNATURE in old:
        # Where the signature lies, all that it vouches for does: it goes first and comes last, whatever the power does.
        volume.remove(f"{folder}/{SUMS_SIGNATURE}")
        volume.sync_dir(folder)
        old.remove(SUMS_SIGNATURE)
    for name in old:
        volume.remove(f"{folder}/{name}")
    if old:
        volume.sync_dir(folder)
    made: list[tuple[str, bytes]] = []
    media = outline.media
    if media.open is not None and not media.open.recipients:
        made = [(init_name(epoch), init) for epoch, init in enumerate(media.inits, start=1)]
        made.append((PLAYLIST, playlist(media.entries, media.open).encode()))
    # Leftovers that a recovery named, and whatever else lies here: the sums are over every other file, but for those
    # whose names a line can't hold.
    files = [name for name in volume.sizes(folder) if name != MANIFEST and harmless(name) == name]
    sums = {name: outline.sha256(name) or _sha256(volume, f"{folder}/{name}") for name in files}
    # A file that a signed line names and that is gone stays listed: no tool may find the rest to be all.
    gone = [name for name in outline.contents.files.keys() - sums.keys() if harmless(name) == name and "/" not in name]
    sums |= {name: sha256 for name in gone if (sha256 := outline.sha256(name))}
    sums |= {name: hashlib.sha256(data).hexdigest() for name, data in made}
    sums[MANIFEST] = _sha256(volume, path)
    text = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()
    blob = signer.sign(hashlib.sha512(text).digest(), SUMS_NAMESPACE)
    made.append((SUMS, text))
    for name, data in made:
        new_file(volume, f"{folder}/{name}", [data])
    volume.sync_dir(folder)
    new_file(volume, f"{folder}/{SUMS_SIGNATURE}", [armour(blob).encode()])
    volume.sync_dir(folder)


def _sha256(volume: Volume, path: str) -> str:
    return digest(hashlib.sha256(), pieces(volume, path))
