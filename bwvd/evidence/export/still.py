"""A still: one frame of a recording as a PNG file, with its UTC, its device and what it was taken from.

The frame is as large as it was recorded and nothing is drawn into it. What it is stands beside the pixels, in the
file's text (`exiftool`, `pngcheck -t`): the recording, the moment, and the digests of the segment and of the manifest.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.video.frame import VideoFrame

from bwvd.clock import NS
from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.export.media_index import Outline, SegmentUnusable, Span, read_outline
from bwvd.evidence.export.mp4 import admit, require_key
from bwvd.evidence.export.thumbnails import frames_at
from bwvd.evidence.flash.whole_file import new_files
from bwvd.evidence.format.file_names import harmless
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.verify.decode import NotDecodable
from bwvd.evidence.verify.folder import Where, folder_at, name_at, path_at
from bwvd.evidence.verify.recording import Verification
from bwvd.evidence.verify.report import Report
from bwvd.evidence.verify.trust import Trust
from bwvd.text import printable

_HEAD = b"\x89PNG\r\n\x1a\n"
_IHDR_END = len(_HEAD) + 25


@dataclass(frozen=True, slots=True)
class Still:
    """What was written, and of what."""

    path: str
    at_s: float  # of the frame, since the recording's first
    utc: str
    report: Report  # of the segment


def export_still(
    folder: Where,
    out: str | Path,
    identities: Sequence[Any] = (),
    *,
    at_s: float,
    signers: AllowedSigners | None = None,
) -> Still:
    """Write the frame that was shown at `at_s`, in seconds since the first one, to `out`. Blocking.

    The manifest is verified, and of the files the one segment that the frame is in.

    Raises: ExportRefused, naming why; then no file is left behind. OSError.
    """
    if Path(out).suffix.lower() != ".png":
        raise ExportRefused(f"{out}: a still is a PNG file: name it FILE.png")
    try:
        with folder_at(folder) as opened, read_outline(opened) as outline:
            span = _span(outline, outline.first_ns + round(at_s * NS))
            check = Verification(opened, Trust(signers), only=span.record.file, name=name_at(folder))
            report = check.run()
            admit(report, force=False)
            require_key(report, identities)
            frame, at_ns = _frame(outline, span, identities, outline.first_ns + round(at_s * NS))
            utc = span.utc_at(at_ns)
            texts = {
                "Title": outline.open.recording,
                "Creation Time": utc,
                "Source": outline.open.device,
                "Description": (
                    f"Frame of bwvd recording {outline.open.recording} at {(at_ns - outline.first_ns) / NS:.3f} s, "
                    f"UTC {utc or 'not known'} (clock {span.record.stamp.quality}), verified as {report.standing}"
                ),
                "bwvd_segment": f"{harmless(span.record.file)} SHA-256 {span.record.sha256}",
                "bwvd_manifest_sha512": outline.manifest_sha512,
            }
            data = with_texts(png(frame), texts)
            with new_files([Path(out)]) as (temporary,):
                temporary.write_bytes(data)
    except (SegmentUnusable, NotDecodable) as error:
        raise ExportRefused(f"{path_at(folder)}: {error}") from None
    return Still(str(out), (at_ns - outline.first_ns) / NS, utc, report)


def _span(outline: Outline, at_ns: int) -> Span:
    """The segment that is shown then: in a gap the one before it. Raises: SegmentUnusable."""
    before = [span for span in outline.spans if span.begin_ns <= at_ns]
    if not before or at_ns >= outline.spans[-1].end_ns:
        raise SegmentUnusable(f"is {outline.length_s:.3f} s long: it shows nothing then")
    if at_ns >= before[-1].end_ns:
        raise SegmentUnusable("there is a gap then: it shows nothing")
    return before[-1]


def _frame(outline: Outline, span: Span, identities: Sequence[Any], at_ns: int) -> tuple[VideoFrame, int]:
    plain = outline.plain(span, identities)
    init = outline.inits[span.record.epoch - 1]
    for _, shown_ns, frame, _ in frames_at(init, plain, [at_ns]):
        return frame, shown_ns
    raise NotDecodable("does not decode")


def png(frame: VideoFrame) -> bytes:
    """A frame as PNG, in its own size."""
    encoder = av.VideoCodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "rgb24"
    encoder.time_base = frame.time_base or encoder.time_base
    picture = frame.reformat(format="rgb24")
    picture.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])


def with_texts(picture: bytes, texts: dict[str, str]) -> bytes:
    """A PNG file with texts (`iTXt`, so in any script) behind its head. Pure."""
    chunks = b"".join(
        _chunk(b"iTXt", name.encode("latin-1") + b"\0\0\0\0\0" + printable(text).encode("utf-8"))
        for name, text in texts.items()
    )
    return picture[:_IHDR_END] + chunks + picture[_IHDR_END:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
