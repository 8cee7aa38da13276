"""Whatever a manifest holds, its page gets a document: numbers that a browser can read, and texts that are text."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bwvd.desk.document import document, verdict
from bwvd.desk.hls import HOLD_NS, Media
from bwvd.desk.receipts import Taken
from bwvd.desk.timeline import Timeline, signed_lines, timeline
from bwvd.evidence.format.layout import MANIFEST
from bwvd.evidence.verify.recording import verify_recording
from bwvd.evidence.verify.report import Existed
from tests.support.evidence_folder import make_recording, make_storage

HOSTILE = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-5, 5),
    st.sampled_from(
        ["", "<img src=x>", "\u202e", "\x00", "9" * 30, "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z"]
    ),
    st.floats(allow_nan=False),
    st.none(),
    st.just([]),
)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Of a manifest with one record of nearly every kind."""
    storage = make_storage(tmp_path_factory.mktemp("evidence") / "storage")
    folder = make_recording(storage, seconds=6, gap_after=2, other_camera_from=4, muted=(3, 5), step_after=1)
    return (folder / MANIFEST).read_bytes().splitlines(keepends=True)


def read(lines: list[bytes]) -> Timeline:
    return timeline(signed_lines(io.BytesIO(b"".join(lines))))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_manifest_that_lies_has_a_page(lines: list[bytes], data: st.DataObject) -> None:
    changed = list(lines)
    for _ in range(data.draw(st.integers(1, 6))):
        number = 2 * data.draw(st.integers(0, len(lines) // 2 - 1))
        record = json.loads(changed[number])
        _put(record, data)
        changed[number] = json.dumps(record).encode() + b"\n"
    line = read(changed)
    media = Media(line)
    made = document(line, media)
    text = json.dumps(made, allow_nan=False, ensure_ascii=False)
    assert "\u202e" not in text
    assert all(-(2**53) < number < 2**53 for number in _numbers(made["spans"]))
    assert json.dumps(verdict(line, None)) == '{"known": false}'
    assert media.playlist().endswith("#EXT-X-ENDLIST\n")
    begin = line.first_ns
    for item in media.items():
        assert item.begin_ns == begin
        assert item.begin_ns < item.end_ns
        assert item.segment or item.end_ns - item.begin_ns <= HOLD_NS
        begin = item.end_ns
    assert begin == line.end_ns


def _put(record: dict[str, Any], data: st.DataObject) -> None:
    """Something else in the place of one of its values."""
    name = data.draw(st.sampled_from(sorted(record)))
    inner = record[name]
    if isinstance(inner, dict) and inner:
        _put(inner, data)
    elif name != "type":
        record[name] = data.draw(HOSTILE)


def _numbers(spans: list[list[Any]]) -> list[int]:
    return [value for span in spans for value in span if isinstance(value, int)]


def test_the_verdict_of_what_holds_names_every_link(tmp_path: Path) -> None:
    """Invariant 14: what nobody vouches for is open, and not broken."""
    folder = make_recording(make_storage(tmp_path / "storage"))
    line = read((folder / MANIFEST).read_bytes().splitlines(keepends=True))
    said = verdict(line, verify_recording(folder))
    assert said["verdict"] == "unvouched"
    assert [(link["text"], link["standing"]) for link in said["chain"]] == [
        ("signed", "holds"),
        ("unvouched", "open"),
        ("lines", "holds"),
        ("files", "holds"),
        ("closed", "holds"),
        ("row_first", "said"),
        ("journal_none", "open"),
        ("existed_none", "open"),
        ("receipt_none", "open"),
    ]


def test_a_receipt_counts_for_the_manifest_that_it_names(tmp_path: Path) -> None:
    """Invariant 8: and one that nobody vouches for is what somebody says."""
    folder = make_recording(make_storage(tmp_path / "storage"))
    line = read((folder / MANIFEST).read_bytes().splitlines(keepends=True))
    report = verify_recording(folder)
    for sha512, vouched, link in (
        (report.manifest_sha512, True, ("receipt", "holds")),
        (report.manifest_sha512, False, ("receipt", "said")),
        ("0" * 128, True, ("receipt_other", "broken")),
    ):
        said = verdict(line, report, Taken("2026-11-23T00:00:00.000Z", "evidence-desk", sha512, vouched))
        assert (said["chain"][-1]["text"], said["chain"][-1]["standing"]) == link


def test_a_time_stamp_says_before_when_it_existed(tmp_path: Path) -> None:
    folder = make_recording(make_storage(tmp_path / "storage"))
    line = read((folder / MANIFEST).read_bytes().splitlines(keepends=True))
    report = verify_recording(folder)
    report.existed = [Existed("2026-11-22T07:16:00.000Z", "CN=An authority", "witness/1.tsr")]
    [link] = [link for link in verdict(line, report)["chain"] if link["text"] == "existed"]
    assert link["standing"] == "holds"
    assert link["parts"] == {"utc": "2026-11-22T07:16:00.000Z", "by": "CN=An authority"}
    report.existed = [replace(report.existed[0], what="its manifest")]
    texts = {link["text"]: link["standing"] for link in verdict(line, report)["chain"]}
    assert "existed" not in texts
    assert texts["existed_manifest"] == "said"


def test_a_manifest_without_a_recording_has_an_empty_axis() -> None:
    line = read([b"{}\n", b"nothing\n"])
    made = document(line, Media(line))
    assert made["spans"] == []
    assert made["length_us"] == 0
    assert Media(line).playlist().count("EXTINF") == 0
