"""What an exported MP4 says of itself: tags in its metadata, and the claims of its credentials."""

from __future__ import annotations

from pathlib import Path

from bwvd.clock import NS
from bwvd.evidence.export.credentials import Told
from bwvd.evidence.export.exif import exif_position
from bwvd.evidence.export.media_index import Outline, Span
from bwvd.evidence.export.track import Track
from bwvd.evidence.verify.report import Report
from bwvd.media.text_track import location_box
from bwvd.text import printable


def metadata(
    report: Report, outline: Outline, spans: list[Span], begin_ns: int | None, number: tuple[int, int]
) -> dict[str, str]:
    """Tags that say what the file was made from.

    Args:
        spans: what it was made of.
        begin_ns: media time of its first frame; None = of the first span's.
        number: which of how many files of one export it is.
    """
    first = spans[0]
    begin_ns = first.begin_ns if begin_ns is None else begin_ns
    signer = report.signer.fingerprint if report.signer else ""
    which = f"{first.record.segment}-{spans[-1].record.segment}"
    created = first.utc_at(begin_ns)
    return {
        "creation_time": created,
        "com.apple.quicktime.creationdate": created,
        "title": outline.open.recording,
        "comment": f"Copy of bwvd recording {outline.open.recording}, segments {which}, "
        f"verified as {report.standing}; SHA-512 of its manifest: {outline.manifest_sha512}",
        "bwvd_recording": outline.open.recording,
        "bwvd_device": outline.open.device,
        "bwvd_serial": str(outline.open.serial),
        "bwvd_verdict": report.verdict,
        "bwvd_manifest_sha512": outline.manifest_sha512,
        "bwvd_segments": which,
        "bwvd_signer": signer,
        "bwvd_from_s": f"{(begin_ns - outline.first_ns) / NS:.6f}",
        "bwvd_part": f"{number[0]}/{number[1]}",
    }


def customary(tags: dict[str, str], software: str) -> dict[bytes, str]:
    """The same under iTunes' names."""
    return {
        b"\xa9nam": tags["title"],
        b"\xa9day": tags["creation_time"],
        b"\xa9cmt": tags["comment"],
        b"\xa9too": software,
    }


def location(track: Track, begin_ns: int | None, end_ns: int) -> bytes:
    """The box that says where a file was recorded; nothing where no position of it is known. Times are media time."""
    found = track.place_of(begin_ns or 0, end_ns)
    if found is None:
        return b""
    fix, which = found
    # Its altitude can't be left out; that it is none is said beside it.
    notes = f"{which}, {printable(fix.stamp.utc)}" + (", no altitude" if fix.altitude_m is None else "")
    return location_box(fix.latitude, fix.longitude, fix.altitude_m or 0.0, notes)


def told(
    outline: Outline,
    tags: dict[str, str],
    path: Path,
    span_s: tuple[float, float],
    *,
    whole: bool,
    track: Track | None = None,
) -> Told:
    """What the credentials of a file say.

    Args:
        tags: those that `metadata` has made.
        span_s: from and to, in seconds of the recording.
        whole: it is all of the recording.
        track: where it was recorded, if the credentials are to say that.
    """
    opened = outline.open
    claims = {
        **{name: tags[f"bwvd_{name}"] for name in ("recording", "device", "verdict", "signer", "manifest_sha512")},
        "serial": opened.serial,
        "segments": tags["bwvd_segments"],
        "started_utc": tags["creation_time"],
        "from_s": span_s[0],
        "to_s": span_s[1],
        "press_utc": opened.press.stamp.utc,
        "press_by": opened.press.source,
        "press_s": round((opened.press.stamp.mono_ns - opened.origin_mono_ns - outline.first_ns) / NS, 6),
        "pre_event_s": opened.pre_event.got_s,
    }
    from_ns, to_ns = (outline.first_ns + round(second * NS) for second in span_s)
    found = None if track is None else track.place_of(from_ns, to_ns)
    if found is None:
        return Told(path.name, opened.recording, claims, *span_s, whole)
    fix, which = found
    claims |= {"position": which, "position_utc": fix.stamp.utc}
    return Told(path.name, opened.recording, claims, *span_s, whole, exif_position(fix))
