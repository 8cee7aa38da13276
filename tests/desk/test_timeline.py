"""The timeline covers its axis, whatever a manifest says; and what it says is what the records say."""

from __future__ import annotations

import datetime
import io
from collections.abc import Sequence
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from bwvd.clock import NS
from bwvd.desk.placing import placed
from bwvd.desk.timeline import (
    CLOCK_NS,
    LONGEST_NS,
    NO_FILE,
    NO_VIDEO,
    NOTHING,
    WITHHELD,
    Line,
    Timeline,
    signed_lines,
    timeline,
    without_files,
)
from bwvd.evidence.format import records
from bwvd.evidence.format.layout import MANIFEST
from bwvd.evidence.verify.recording import verify_recording
from bwvd.evidence.verify.report import Finding, Severity
from bwvd.media.audio_line import HOLE_NS
from tests.support.evidence_folder import make_recording, make_storage

ORIGIN_NS = 1000 * NS


def stamp(
    mono_ns: int = ORIGIN_NS, utc: str = "2026-11-22T07:15:03.000Z", quality: str = "synchronised"
) -> records.Stamp:
    return records.Stamp(mono_ns=mono_ns, utc=utc, quality=quality, uncertainty_us=500)


def opening(*, audio: bool = True) -> records.Open:
    return records.Open(
        n=0, format=1, recording="20261122T071505Z-BWV-0001-000001", device="BWV-0001", serial=1, software="bwvd",
        boot="", signer="", press=records.Press(source="gpio", stamp=stamp(ORIGIN_NS + 2 * NS), handled_mono_ns=0),
        pre_event=records.PreEvent(asked_s=2.0, got_s=2.0, audio=audio), origin_mono_ns=ORIGIN_NS, origin_utc="",
        segment_s=1.0, tracks=[], init="AAAA", recipients=[],
    )  # fmt: skip


def segment(
    number: int, pts_ns: int, duration_ns: int = NS, frames: int = 30, at: records.Stamp | None = None
) -> records.Segment:
    return records.Segment(
        n=number, segment=number, file=f"{number:06d}.m4s", bytes=1, sha256="", plain_bytes=1, plain_sha256="", epoch=1,
        pts_ns=pts_ns, duration_ns=duration_ns, frames=frames, audio_frames=0, gops=1,
        stamp=at or stamp(ORIGIN_NS + pts_ns),
    )  # fmt: skip


def made(*found: records.Record, first: records.Record | None = None) -> Timeline:
    every = [first or opening(), *found]
    return timeline(Line(2 * number + 1, 100 * number, record) for number, record in enumerate(every))


times = st.integers(min_value=-(2**63), max_value=2**63 - 1) | st.integers(min_value=-NS, max_value=30 * NS)
segments = st.tuples(times, times, st.integers(0, 2))
gaps = st.tuples(st.sampled_from(["video", "audio", "both", "x"]), times, times)


@given(st.lists(segments, max_size=12), st.lists(gaps, max_size=4))
@example([(0, NS, 1), (2 * NS, NS, 1)], [("both", NS, 2 * NS)])
@example([(0, 2 * NS, 1), (NS, NS, 1)], [])
@example([(5 * NS, NS, 1), (0, NS, 1)], [])
def test_the_spans_cover_the_axis(
    found: Sequence[tuple[int, int, int]], lacking: Sequence[tuple[str, int, int]]
) -> None:
    """Invariant 4: no moment has two pictures, none has nothing that is said of it, whatever the times are."""
    line = made(
        *(segment(number, pts, duration, frames) for number, (pts, duration, frames) in enumerate(found, start=1)),
        *(records.Gap(n=0, track=track, from_ns=begin, to_ns=end, cause="lost") for track, begin, end in lacking),
    )
    for before, behind in zip(line.spans, line.spans[1:], strict=False):
        assert before.end_ns == behind.begin_ns
    for span in line.spans:
        assert 0 <= span.begin_ns < span.end_ns <= LONGEST_NS
        assert (span.record is None) == (span.why == NOTHING)
        if span.record is not None:
            assert span.begin_ns == span.record.pts_ns
            assert (span.why == NO_VIDEO) == (span.record.frames <= 0)
        else:
            assert span.end_ns - span.begin_ns >= HOLE_NS
        assert line.span_at(span.begin_ns) is span
        assert line.span_at(span.end_ns - 1) is span
    numbers = [span.number for span in line.spans if span.number]
    assert sorted([*numbers, *line.misplaced]) == list(range(1, len(found) + 1))
    assert line.span_at(line.end_ns) is None


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(-3_600_000, 3_600_000), st.booleans()), max_size=20))
def test_the_time_of_day_is_that_of_the_segments_stamp(steps: Sequence[tuple[int, int, bool]]) -> None:
    """Invariant 9: within what two stamps of one clock may differ by, also across steps of it."""
    at_ns, utc_ms, found = 0, 1_795_331_703_000, []
    for number, (millis, shift_ms, steps_now) in enumerate(steps, start=1):
        utc_ms += shift_ms if steps_now else 0
        text = f"{_iso(utc_ms)}Z"
        found.append(
            segment(number, at_ns, NS, at=stamp(ORIGIN_NS + at_ns, text, "free" if steps_now else "synchronised"))
        )
        at_ns += NS + millis * 1_000_000
        utc_ms += 1000 + millis
    line = made(*found)
    for one in found:
        told = line.utc_us_at(one.pts_ns)
        assert told is not None
        assert abs(told - _us(one.stamp.utc)) * 1000 <= CLOCK_NS
        reading = line.reading_at(one.pts_ns)
        assert reading is not None
        assert reading.quality == one.stamp.quality


def _iso(ms: int) -> str:
    moment = datetime.datetime.fromtimestamp(ms // 1000, tz=datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}"


def _us(text: str) -> int:
    return round(datetime.datetime.fromisoformat(text).timestamp() * 1_000_000)


def test_a_stamp_that_is_no_time_gives_none() -> None:
    line = made(segment(1, 0, at=stamp(utc="tomorrow")))
    assert line.utc_us_at(0) is None


def test_what_lasts_has_its_begin_and_its_end() -> None:
    line = made(
        records.Fault(n=1, name="camera", active=True, at_ns=NS, detail="gone"),
        records.Fault(n=2, name="camera", active=True, at_ns=2 * NS, detail="still"),
        segment(3, 0),
        records.Audio(n=4, on=False, at_ns=NS, reason="mute"),
        records.Fault(n=5, name="camera", active=False, at_ns=3 * NS),
        segment(6, NS, 4 * NS),
        records.Audio(n=7, on=True, at_ns=2 * NS, reason="unmute"),
        records.Audio(n=8, on=False, at_ns=4 * NS, reason="mute"),
        records.Fault(n=9, name="audio", active=True, at_ns=4 * NS),
    )
    assert [(mute.from_ns, mute.to_ns) for mute in line.mutes] == [(NS, 2 * NS), (4 * NS, 5 * NS)]
    assert [(fault.name, fault.from_ns, fault.to_ns) for fault in line.faults] == [
        ("camera", NS, 3 * NS),
        ("audio", 4 * NS, None),
    ]


def test_what_was_kept_without_audio_is_shown_as_such() -> None:
    """Invariant 15: also where no record of the manifest switches it on."""
    line = made(segment(1, 0, 5 * NS), first=opening(audio=False))
    assert [(mute.name, mute.from_ns, mute.to_ns) for mute in line.mutes] == [("pre-event", 0, 2 * NS)]
    assert made(segment(1, 0, 5 * NS), first=opening(audio=True)).mutes == []


def test_a_gap_behind_the_last_segment_is_on_the_axis() -> None:
    """Invariant 4: a camera that never came back."""
    line = made(segment(1, 0), records.Gap(n=2, track="video", from_ns=NS, to_ns=4 * NS, cause="camera_lost"))
    assert [(span.begin_ns, span.end_ns, span.why) for span in line.spans] == [(0, NS, ""), (NS, 4 * NS, NOTHING)]


def test_files_that_are_not_there_are_not_to_be_seen() -> None:
    line = made(segment(1, 0), segment(2, NS), segment(3, 2 * NS))
    lacking = line.lacking(without_files({"000001.m4s", "000003.m4s"}, lambda number: number == 3))
    assert [span.why for span in lacking.spans] == ["", NO_FILE, WITHHELD]


def test_lines_without_a_signature_behind_them_are_passed_over(tmp_path: Path) -> None:
    """Their numbers and places are those that a verification names."""
    folder = make_recording(make_storage(tmp_path / "storage"))
    data = (folder / MANIFEST).read_bytes()
    lines = data.splitlines(keepends=True)
    torn = b"".join([*lines[:4], b'{"type":"mark","n":9\n', *lines[4:]])
    found = list(signed_lines(io.BytesIO(torn)))
    assert [line.number for line in found] == [1, 3, *range(6, len(lines) + 1, 2)]
    for line in found:
        assert torn[line.offset :].splitlines()[0] == torn.splitlines()[line.number - 1]


def test_each_finding_is_placed_where_it_is(tmp_path: Path) -> None:
    """Invariant 7: what was changed is shown on the segment whose it is; of a manifest, from the line on."""
    folder = make_recording(make_storage(tmp_path / "storage"), seconds=6)
    (folder / "000003.m4s").write_bytes(b"something else")
    with (folder / MANIFEST).open("rb") as file:
        line = timeline(signed_lines(file))
    altered = next(one for one in placed(verify_recording(folder).findings, line) if "000003" in one.finding.where)
    span = line.span_of(3)
    assert span is not None
    assert altered.span == (span.begin_ns, span.end_ns)

    data = (folder / MANIFEST).read_bytes().splitlines(keepends=True)
    number = next(index for index, one in enumerate(data) if b'"segment":4' in one)
    data[number] = data[number].replace(b'"frames":10', b'"frames":11')
    (folder / MANIFEST).write_bytes(b"".join(data))
    found = [one for one in placed(verify_recording(folder).findings, line) if one.finding.where.startswith(MANIFEST)]
    ends = line.span_of(3)
    assert ends is not None
    assert (ends.end_ns, line.end_ns) in [one.span for one in found]


def test_what_is_about_the_key_is_about_the_whole() -> None:
    line = made(segment(1, 0))
    finding = Finding("manifest.jsonl line 1 (byte 0)", "nobody vouches", Severity.UNVOUCHED)
    assert placed([finding], line)[0].span is None


@given(st.text(max_size=40), st.sampled_from(list(Severity)))
@example("999999999999.m4s (segment 999999999999, 1.0 s to 2.0 s)", Severity.ALTERED)
@example("manifest.jsonl line 999999999999 (byte 1)", Severity.ALTERED)
@example("sealed-000009.json.age (sealed text)", Severity.ALTERED)
def test_a_finding_of_any_place_is_on_the_axis_or_nowhere(where: str, severity: Severity) -> None:
    line = made(segment(1, 0), segment(2, NS))
    [one] = placed([Finding(where, "what", severity)], line)
    if one.span is not None:
        assert 0 <= one.span[0] <= one.span[1] <= line.end_ns
    [nowhere] = placed([Finding(where, "what", severity)], Timeline())
    assert nowhere.span is None
