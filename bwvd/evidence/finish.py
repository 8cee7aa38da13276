"""What is written into a recording's folder after its last record: an HLS presentation, and checksums for stock tools.

All of it is made from the manifest, is convenience, and may be made again: the manifest stays the authority.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bwvd.clock import NS
from bwvd.evidence import records
from bwvd.evidence.chain import MANIFEST_NAMESPACE, SUMS_NAMESPACE, Signer
from bwvd.evidence.ending import read_ending
from bwvd.evidence.layout import MANIFEST as MANIFEST
from bwvd.evidence.manifest import Unknown
from bwvd.evidence.names import harmless
from bwvd.evidence.sign import armour
from bwvd.evidence.storage import Volume

PLAYLIST = "index.m3u8"
SUMS = "SHA256SUMS"
SUMS_SIGNATURE = "SHA256SUMS.sig"
CONVENIENCES = (PLAYLIST, SUMS, SUMS_SIGNATURE)  # and init.mp4, init-2.mp4 …

_CHUNK = 1_048_576  # bytes read at once
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(slots=True)
class _Outline:
    """What the conveniences need of a manifest, in its order (a fold)."""

    open: records.Open | None = None
    inits: list[bytes] = field(default_factory=list)  # by epoch
    entries: list[records.Segment | records.Gap | records.Mark] = field(default_factory=list)
    sums: dict[str, str] = field(default_factory=dict)  # name -> sha256

    @property
    def clear(self) -> bool:
        return self.open is not None and not self.open.recipients

    def take(self, record: records.Record | Unknown) -> None:
        match record:
            case records.Open():
                self.open = self.open or record
                self.inits.append(base64.b64decode(record.init))
            case records.Init():
                self.inits.append(base64.b64decode(record.init))
            case records.Segment():
                self.entries.append(record)
                self._sum(record.file, record.sha256)
            case records.Gap() | records.Mark():
                self.entries.append(record)
        if isinstance(record, records.Mark | records.Officer) and record.sealed is not None:
            self._sum(record.sealed.file, record.sealed.sha256)

    def _sum(self, name: str, sha256: str) -> None:
        if _SHA256.fullmatch(sha256):  # signed by somebody, which does not make it a digest
            self.sums[name] = sha256


def init_name(epoch: int) -> str:
    """The init segment of an epoch: `init.mp4`, `init-2.mp4`, …"""
    return "init.mp4" if epoch == 1 else f"init-{epoch}.mp4"


def finish_recording(volume: Volume, folder: str, signer: Signer) -> None:
    """Write init segments, playlist, SHA256SUMS and its signature beside a manifest that has its last record.

    Only what is signed is taken from the manifest: a damaged line must not find its way into what players read.
    Files of these names that an interrupted attempt left are made anew. Blocking; may raise OSError.
    """
    path = f"{folder}/{MANIFEST}"
    _, outline = read_ending(volume, path, MANIFEST, MANIFEST_NAMESPACE, _Outline)
    old = [name for name in volume.names(folder) if _is_made(name)]
    for name in old:
        volume.remove(f"{folder}/{name}")
    if old:
        # Durable before the new ones are written: an old signature must never lie beside new sums.
        volume.sync_dir(folder)
    made: list[tuple[str, bytes]] = []
    if outline.clear:
        for epoch, init in enumerate(outline.inits, start=1):
            made.append((init_name(epoch), init))
        made.append((PLAYLIST, playlist(outline.entries, outline.open).encode()))
    # Leftovers that a recovery named, and whatever else lies here: the sums are over every other file, but for those
    # whose names a line can't hold.
    files = [name for name in volume.sizes(folder) if name != MANIFEST and harmless(name) == name]
    sums = {name: outline.sums.get(name) or _sha256(volume, f"{folder}/{name}") for name in files}
    sums |= {name: hashlib.sha256(data).hexdigest() for name, data in made}
    sums[MANIFEST] = _sha256(volume, path)
    text = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()
    blob = signer.sign(hashlib.sha512(text).digest(), SUMS_NAMESPACE)
    made += [(SUMS, text), (SUMS_SIGNATURE, armour(blob).encode())]
    for name, data in made:
        file = volume.create(f"{folder}/{name}")
        try:
            file.write(data)
            file.sync()
        finally:
            file.close()
    volume.sync_dir(folder)


def playlist(entries: Sequence[records.Segment | records.Gap | records.Mark], opening: records.Open | None) -> str:
    """An HLS media playlist (RFC 8216) of a closed recording.

    EXT-X-PROGRAM-DATE-TIME at each segment, EXT-X-DISCONTINUITY at gaps and changes of parameters, EXT-X-DATERANGE for
    the pre-event part and the markers.
    """
    segments = [entry for entry in entries if isinstance(entry, records.Segment)]
    longest_s = max((segment.duration_ns for segment in segments), default=NS) / NS
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{math.ceil(longest_s)}",
        "#EXT-X-MEDIA-SEQUENCE:1",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
    ]
    if opening is not None and segments:
        lines.append(
            f'#EXT-X-DATERANGE:ID="pre-event",CLASS="bwvd.pre-event",START-DATE="{segments[0].stamp.utc}",'
            f"DURATION={opening.pre_event.got_s:.3f}"
        )
    marks = 0
    epoch = 0
    gap = False
    for entry in entries:
        if isinstance(entry, records.Mark):
            marks += 1
            lines.append(f'#EXT-X-DATERANGE:ID="mark-{marks}",CLASS="bwvd.mark",START-DATE="{entry.stamp.utc}"')
        elif isinstance(entry, records.Gap):
            gap = gap or entry.track != "audio"
        else:
            if epoch and (gap or entry.epoch != epoch):
                lines.append("#EXT-X-DISCONTINUITY")
            if entry.epoch != epoch:
                lines.append(f'#EXT-X-MAP:URI="{init_name(entry.epoch)}"')
                epoch = entry.epoch
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{entry.stamp.utc}")
            lines.append(f"#EXTINF:{entry.duration_ns / NS:.6f},")
            lines.append(entry.file)
            gap = False
    lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def _is_made(name: str) -> bool:
    """Whether `finish_recording` makes a file of this name."""
    return name in CONVENIENCES or (name.startswith("init") and name.endswith(".mp4"))


def _chunks(volume: Volume, path: str) -> Iterator[bytes]:
    offset = 0
    while chunk := volume.read(path, offset, _CHUNK):
        offset += len(chunk)
        yield chunk


def _sha256(volume: Volume, path: str) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(volume, path):
        digest.update(chunk)
    return digest.hexdigest()
