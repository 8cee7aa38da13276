"""What is written into a recording's folder after its last record: an HLS presentation, and checksums for stock tools.

All of it is made from the manifest, is convenience, and may be made again: the manifest stays the authority.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from bwvd.evidence import records
from bwvd.evidence.chain import SUMS_NAMESPACE, Signer
from bwvd.evidence.layout import MANIFEST as MANIFEST
from bwvd.evidence.lines import LineReader, lines_before
from bwvd.evidence.manifest import MAX_LINE, SIGNATURE_BEGIN, signature_of
from bwvd.evidence.sign import armour
from bwvd.evidence.storage import Volume
from bwvd.messages import NS

PLAYLIST = "index.m3u8"
SUMS = "SHA256SUMS"
SUMS_SIGNATURE = "SHA256SUMS.sig"
CONVENIENCES = (PLAYLIST, SUMS, SUMS_SIGNATURE)  # and init.mp4, init-2.mp4 …

_CHUNK = 1_048_576  # bytes read at once


@dataclass(slots=True)
class _Outline:
    """What the conveniences need of a manifest, in its order."""

    open: records.Open | None = None
    inits: list[str] = field(default_factory=list)  # base64, by epoch
    entries: list[records.Segment | records.Gap | records.Mark] = field(default_factory=list)
    sums: list[tuple[str, str]] = field(default_factory=list)  # sha256, name
    sha256: str = ""  # of the manifest itself

    @property
    def clear(self) -> bool:
        return self.open is not None and not self.open.recipients


def init_name(epoch: int) -> str:
    """The init segment of an epoch: `init.mp4`, `init-2.mp4`, …"""
    return "init.mp4" if epoch == 1 else f"init-{epoch}.mp4"


def finish_recording(volume: Volume, folder: str, signer: Signer) -> None:
    """Write init segments, playlist, SHA256SUMS and its signature beside a manifest that has its last record.

    Files of these names that an interrupted attempt left are made anew. Blocking; may raise OSError.
    """
    outline = _outline(volume, folder)
    there = set(volume.names(folder))
    old = [
        name for name in sorted(there) if name in CONVENIENCES or (name.startswith("init") and name.endswith(".mp4"))
    ]
    for name in old:
        volume.remove(f"{folder}/{name}")
    if old:
        # Durable before the new ones are written: an old signature must never lie beside new sums.
        volume.sync_dir(folder)
    made: list[tuple[str, bytes]] = []
    if outline.clear:
        for epoch, init in enumerate(outline.inits, start=1):
            made.append((init_name(epoch), base64.b64decode(init)))
        made.append((PLAYLIST, playlist(outline.entries, outline.open).encode()))
    present = {name for name in there if name not in CONVENIENCES}
    sums = [entry for entry in outline.sums if entry[1] in present]
    listed = {name for _, name in sums}
    # Leftovers that a recovery named, and whatever else lies here: the sums are over every other file.
    sums += [
        (_sha256(volume, f"{folder}/{name}"), name)
        for name in sorted(present - listed)
        if name != MANIFEST and not name.endswith("/") and not (name.startswith("init") and name.endswith(".mp4"))
    ]
    sums += [(hashlib.sha256(data).hexdigest(), name) for name, data in made]
    sums.append((outline.sha256, MANIFEST))
    text = "".join(f"{digest}  {name}\n" for digest, name in sorted(sums, key=lambda entry: entry[1])).encode()
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


def _outline(volume: Volume, folder: str) -> _Outline:
    """Read our own manifest, line by line; torn regions decode to nothing and are passed over."""
    outline = _Outline()
    digest = hashlib.sha256()
    decoder = msgspec.json.Decoder(records.ManifestRecord)
    file = _Hashed(volume, f"{folder}/{MANIFEST}", digest)
    for unsigned, signature in lines_before(LineReader(file, MAX_LINE), SIGNATURE_BEGIN):
        # A record counts with its signature's line behind it: without, it is what a power cut left.
        if signature_of(signature if signature.endswith(b"\n") else signature + b"\n") is not None:
            with contextlib.suppress(msgspec.DecodeError):
                _note(outline, decoder.decode(unsigned))
    outline.sha256 = digest.hexdigest()
    return outline


def _note(outline: _Outline, record: records.ManifestRecord) -> None:
    match record:
        case records.Open():
            outline.open = record
            outline.inits.append(record.init)
        case records.Init():
            outline.inits.append(record.init)
        case records.Segment():
            outline.entries.append(record)
            outline.sums.append((record.sha256, record.file))
        case records.Gap() | records.Mark():
            outline.entries.append(record)
    if isinstance(record, records.Mark | records.Officer) and record.sealed is not None:
        outline.sums.append((record.sealed.sha256, record.sealed.file))


class _Hashed:
    """A file of a volume that is read once, and hashed as it is."""

    def __init__(self, volume: Volume, path: str, digest: hashlib._Hash) -> None:
        self._pieces = _chunks(volume, path)
        self._digest = digest

    def read(self, _: int, /) -> bytes:
        """The next piece, of a size that suits the volume; b"" at the end. Raises: OSError."""
        piece = next(self._pieces, b"")
        self._digest.update(piece)
        return piece


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
