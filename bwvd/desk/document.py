"""Timeline and verdict of a recording as JSON, for the page's modules. Pure.

Times are microseconds since the first frame. What people, devices and files are called is text for a text node: nothing
in it is markup, and what a terminal or a page would obey is escaped.
"""

from __future__ import annotations

from typing import Any

from bwvd.clock import NS
from bwvd.desk.chain import chain
from bwvd.desk.hls import Media
from bwvd.desk.placing import placed
from bwvd.desk.receipts import Taken
from bwvd.desk.timeline import LONGEST_NS, Lasting, Timeline
from bwvd.evidence.export.private_text import PrivateText
from bwvd.evidence.format import records
from bwvd.evidence.verify.report import Report, Severity
from bwvd.text import printable, readable


def document(line: Timeline, media: Media) -> dict[str, Any]:
    """All of the timeline but for what a verification finds."""
    opening = line.open
    video = _video(line)
    rate = video.rate if video is not None and 0.1 <= video.rate <= 1000 else 30.0
    found: dict[str, Any] = {
        "id": printable(opening.recording) if opening else "",
        "device": printable(opening.device) if opening else "",
        "serial": opening.serial if opening else None,
        "software": printable(opening.software) if opening else "",
        "length_us": _us(line.end_ns, line),
        "press_us": _us(line.press_ns, line) if opening else None,
        "press_source": printable(opening.press.source) if opening else "",
        "frame_us": round(1_000_000 / rate),
        "encrypted": bool(opening and opening.recipients),
        "sealed": bool(opening and opening.recipients and not media.identities),
        "spans": [
            [
                _us(span.begin_ns, line),
                _us(span.end_ns, line),
                span.number,
                span.why,
                span.record.epoch if span.record else 0,
            ]
            for span in line.spans
        ],
        "misplaced": line.misplaced,
        "clock": [
            [_us(one.at_ns, line), None if one.utc_us is None else one.utc_us / 1000, one.quality, one.uncertainty_us]
            for one in line.clock
        ],
        "marks": [{"at_us": _us(mark.at_ns, line), **_text(text)} for mark, text in line.marks],
        "officers": [{"at_us": _us(one.at_ns, line), **_text(text)} for one, text in line.officers],
        "gaps": [
            {
                "from_us": _us(gap.from_ns, line),
                "to_us": _us(gap.to_ns, line),
                "track": printable(gap.track),
                "cause": _words(gap.cause),
                "frames": gap.frames,
            }
            for gap in line.gaps()
        ],
        "mutes": [_lasting(one, line) for one in line.mutes],
        "faults": [_lasting(one, line) for one in line.faults],
        "steps": [
            {"at_us": _us(one.at_ns, line), "step_us": one.step_ns // 1000, "utc": printable(one.stamp.utc)}
            for one in line.steps
        ],
        "power": [
            {
                "at_us": _us(one.at_ns, line),
                "percent": one.percent,
                "supply": printable(one.supply),
                "flags": [_words(flag) for flag in one.flags],
            }
            for one in line.power
        ],
        "states": [
            {"at_us": _us(one.at_ns, line), "state": _words(one.state), "source": printable(one.source)}
            for one in line.states
        ],
        "epochs": [_epoch(number, line) for number in range(1, len(line.index.tracks) + 1)],
        "end": _end(line.end),
        "maps": [_map(epoch, line, media) for epoch in media.epochs()],
    }
    if opening is not None:
        before = opening.pre_event
        found["pre_event"] = {
            "asked_s": before.asked_s,
            "got_s": before.got_s,
            "reason": _words(before.reason),
            "audio": before.audio,
        }
    return found


def verdict(line: Timeline, report: Report | None, taken: Taken | None = None) -> dict[str, Any]:
    """What is known of the verification, its findings placed on the axis. `taken`: by the receipt that is known."""
    if report is None:
        return {"known": False}
    return {
        "known": True,
        "verdict": report.verdict,
        "good": report.good,
        "standing": report.standing,
        "why": report.why,
        "problems": [
            {
                **one.finding.as_dict(),
                "grave": one.finding.severity is Severity.ALTERED,
                "follows": one.finding.follows,
                "from_us": _us(one.span[0], line) if one.span else None,
                "to_us": _us(one.span[1], line) if one.span else None,
            }
            for one in placed(report.findings, line)
        ],
        "notes": [note.as_dict() for note in report.notes],
        "chain": [step.as_dict() for step in chain(line, report, taken)],
        "excerpt": report.excerpt.as_dict() if report.excerpt else None,
    }


def _us(ns: int, line: Timeline) -> int:
    """On the axis; a time that lies is put at its very end."""
    return (min(max(ns, -LONGEST_NS), LONGEST_NS) - line.first_ns + 500) // 1000


def _words(text: str) -> str:
    return printable(text.replace("_", " "))


def _text(text: PrivateText) -> dict[str, str]:
    return {"text": readable(text.text), "unknown": printable(text.unknown)}


def _lasting(one: Lasting, line: Timeline) -> dict[str, Any]:
    return {
        "name": _words(one.name),
        "from_us": _us(one.from_ns, line),
        "to_us": None if one.to_ns is None else _us(one.to_ns, line),
        "detail": printable(one.detail),
    }


def _video(line: Timeline) -> records.TrackInfo | None:
    return next((track for tracks in line.index.tracks for track in tracks if track.kind == "video"), None)


def _epoch(number: int, line: Timeline) -> dict[str, Any]:
    """What the tracks of an epoch are."""
    began = line.epochs[number - 2] if 1 < number <= len(line.epochs) + 1 else None
    tracks = line.index.tracks[number - 1]
    video = next((track for track in tracks if track.kind == "video"), None)
    audio = next((track for track in tracks if track.kind == "audio"), None)
    return {
        "epoch": number,
        "at_us": _us(began.at_ns, line) if began else 0,
        "reason": _words(began.reason) if began else "",
        "video": f"{video.codec} {video.width}×{video.height} {video.rate:g}/s" if video else "",  # noqa: RUF001  a size
        "encoder": printable(video.encoder) if video else "",
        "audio": f"{audio.codec} {audio.rate:g} Hz" if audio else "",
        "codec": printable(video.codec) if video else "",
        "stamped": any(track.stamped for track in tracks),
    }


def _map(epoch: int, line: Timeline, media: Media) -> dict[str, Any]:
    """What a player needs to put an init segment's media where the axis has them."""
    heads = media.heads(epoch)
    head = heads.video or heads.audio
    scale = head.timescale if head is not None else NS
    return {
        "epoch": epoch,
        "timescale": scale,
        "track": head.track_id if head is not None else 0,
        "base": line.first_ns * scale / NS,  # media time of the first frame, in ticks
    }


def _end(end: records.Close | records.Recovered | None) -> dict[str, str]:
    if end is None:
        return {"kind": "none", "reason": ""}
    return {"kind": "close" if isinstance(end, records.Close) else "recovered", "reason": _words(end.reason)}
