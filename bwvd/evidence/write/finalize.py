"""Conveniences in a recording's folder, made after its last record: an HLS presentation, checksums for stock tools.

All of it is made from the manifest, is convenience, and may be made again: the manifest stays the authority.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bwvd import hashing
from bwvd.evidence.flash.new_file import synced
from bwvd.evidence.flash.steps import STEP_BYTES, STEP_NAMES, Steps, at_once, digest_steps
from bwvd.evidence.flash.volume import NOT_A_FILE, Volume
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import MANIFEST_NAMESPACE, SUMS_NAMESPACE, Signer
from bwvd.evidence.format.chain_tail import ending_steps
from bwvd.evidence.format.decode import Unknown
from bwvd.evidence.format.file_names import harmless
from bwvd.evidence.format.layout import MANIFEST, PLAYLIST, SUMS, SUMS_SIGNATURE, init_name, is_convenience, is_litter
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
    """All of `finish_steps` in one. Blocking; may raise OSError."""
    at_once(finish_steps(volume, folder, signer))


def finish_steps(volume: Volume, folder: str, signer: Signer) -> Steps[None]:
    """Write init segments, playlist, SHA256SUMS and its signature beside a manifest that has its last record.

    Only what is signed is taken from the manifest: a damaged line must not find its way into what players read.
    Files of these names that an interrupted attempt left are made anew. In steps; may raise OSError.
    """
    path = f"{folder}/{MANIFEST}"
    _, outline = yield from ending_steps(volume, path, MANIFEST, MANIFEST_NAMESPACE, _Outline)
    names = [name for name in volume.names(folder) if not (name.endswith("/") or is_litter(name))]
    old = [name for name in names if is_convenience(name)]
    if SUMS_SIGNATURE in old:
        # Where the signature lies, all that it vouches for does: it goes first and comes last, whatever the power does.
        volume.remove(f"{folder}/{SUMS_SIGNATURE}")
        volume.sync_dir(folder)
        old.remove(SUMS_SIGNATURE)
    for name in old:
        volume.remove(f"{folder}/{name}")
    if old:
        volume.sync_dir(folder)
    yield
    sums = yield from _sums(volume, folder, [name for name in names if not is_convenience(name)], outline)
    media = outline.media
    if media.open is not None and not media.open.recipients:
        for epoch, init in enumerate(media.inits, start=1):
            sums[init_name(epoch)] = yield from _write(volume, f"{folder}/{init_name(epoch)}", [init])
        lines = playlist(media.entries, media.open, media.inits)
        sums[PLAYLIST] = yield from _write(volume, f"{folder}/{PLAYLIST}", map(str.encode, lines))
    sums[MANIFEST] = yield from digest_steps(hashing.sha256(), volume, path)
    sha512 = hashing.sha512()
    sha512.update(text := "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode())
    yield
    yield from _write(volume, f"{folder}/{SUMS}", [text])
    volume.sync_dir(folder)
    blob = signer.sign(sha512.digest(), SUMS_NAMESPACE)
    yield from _write(volume, f"{folder}/{SUMS_SIGNATURE}", [armour(blob).encode()])
    volume.sync_dir(folder)


def _sums(volume: Volume, folder: str, names: list[str], outline: _Outline) -> Steps[dict[str, str]]:
    """SHA-256 of every file but the manifest and what is made from it, as its record has it or as it is."""
    # Leftovers that a recovery named, and whatever else lies here: the sums are over every other file, but for those
    # whose names a line can't hold.
    sums: dict[str, str] = {}
    for number, name in enumerate(names, start=1):
        if not number % STEP_NAMES:
            yield
        if name == MANIFEST or harmless(name) != name:
            continue
        if not (sha256 := outline.sha256(name)):
            try:
                volume.size(f"{folder}/{name}")
            except OSError as error:
                if error.errno not in NOT_A_FILE:
                    raise
                continue
            sha256 = yield from digest_steps(hashing.sha256(), volume, f"{folder}/{name}")
        sums[name] = sha256
    # A file that a signed line names and that is gone stays listed: no tool may find the rest to be all.
    for number, name in enumerate(outline.contents.files, start=1):
        if not number % STEP_NAMES:
            yield
        if name not in sums and harmless(name) == name and "/" not in name and (sha256 := outline.sha256(name)):
            sums[name] = sha256
    return sums


def _write(volume: Volume, path: str, parts: Iterable[bytes]) -> Steps[str]:
    """A new file, durable piece by piece; returns its SHA-256 in hex."""
    sha256 = hashing.sha256()
    with synced(volume.create(path)) as file:
        piece = bytearray()
        for number, part in enumerate(parts, start=1):
            sha256.update(part)
            for at in range(0, len(part), STEP_BYTES):
                piece += part[at : at + STEP_BYTES]
                if len(piece) >= STEP_BYTES:
                    file.write(piece)
                    file.sync()
                    piece.clear()
                    yield
            if not number % STEP_NAMES:
                yield
        file.write(piece)
    return sha256.hexdigest()
