"""`bwvd status` as a person reads it."""

from __future__ import annotations

from typing import Any

import pytest

from bwvd.cli.evidence_printing import print_journal
from bwvd.cli.printing import print_status
from bwvd.text import counted

STATUS: dict[str, Any] = {
    "state": "recording",
    "device": "BWV-0001",
    "uptime_s": 62.0,
    "loop": {"seconds": 30.0, "capacity_s": 30.0, "bytes": 15_000_000},
    "recording": {"id": "20261122T071503Z-BWV-0001-000042", "seconds": 1.5, "segments": 1, "committed_s": 1.0},
    "video": {"source": "v4l2:/dev/video0", "encoder": "libx264", "frames": 1800, "dropped": 2},
    "audio": {"source": "alsa:default", "up": True, "muted": False, "pre_event": False},
    "storage": {"free_bytes": 12_000_000_000, "minutes_left": 300, "backlog_bytes": 0, "refuses": ""},
    "clock": {"utc": "2026-11-22T07:15:03.000Z", "quality": "free", "uncertainty_us": None},
    "officer_assigned": True,
    "faults": ["camera", "clock"],
    "fault_details": {"camera": {"detail": "unplugged"}},
    "controls": ["socket"],
}


def printed(capsys: pytest.CaptureFixture[str], **changed: Any) -> list[str]:
    print_status({**STATUS, **changed})
    return capsys.readouterr().out.splitlines()


def test_what_matters_is_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys) == [
        "state      recording",
        "recording  20261122T071503Z-BWV-0001-000042, 1.5 s, 1.0 s in 1 segment on flash",
        "device     BWV-0001, up 62 s",
        "loop       30.0 of 30 s, 15.0 MB in RAM",
        "video      v4l2:/dev/video0 by libx264: 1800 frames, 2 lost",
        "audio      alsa:default: in recordings from the press on, not in the loop",
        "storage    12.00 GB free for recordings, about 300 minutes, 0.0 MB waiting for the flash",
        "clock      2026-11-22T07:15:03.000Z, not synchronised: set once, and running free since",
        "officer    assigned",
        "fault      camera: unplugged",
        "fault      clock",
        "control    socket",
    ]


@pytest.mark.parametrize(
    ("audio", "line"),
    [
        (None, "none configured"),
        ({"source": ""}, "none configured"),
        ({"source": "alsa:x", "up": False}, "alsa:x: no audio arrives"),
        ({"source": "alsa:x", "up": True, "muted": True}, "alsa:x: muted"),
        ({"source": "alsa:x", "up": True, "pre_event": True}, "alsa:x: in the loop and in recordings"),
    ],
)
def test_audio(audio: dict[str, Any] | None, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"audio      {line}" in printed(capsys, audio=audio)


@pytest.mark.parametrize(
    ("clock", "line"),
    [
        ({}, "-"),
        ({"utc": "T", "quality": "synchronised", "uncertainty_us": 1500}, "T, synchronised within 1.5 ms"),
        ({"utc": "T", "quality": "not_set", "uncertainty_us": None}, "T, never set"),
        ({"utc": "T", "quality": "of a later version"}, "T, of a later version"),
    ],
)
def test_clock(clock: dict[str, Any], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"clock      {line}" in printed(capsys, clock=clock)


def test_nobody_and_a_full_flash(capsys: pytest.CaptureFixture[str]) -> None:
    storage = {**STATUS["storage"], "refuses": "the flash is full"}
    lines = printed(capsys, officer_assigned=False, storage=storage)
    assert "officer    none assigned" in lines
    assert any(line.endswith("waiting for the flash; the flash is full") for line in lines)


def test_one_is_one() -> None:
    assert [counted(n, "segment") for n in (0, 1, 2)] == ["0 segments", "1 segment", "2 segments"]


def test_how_far_a_recording_has_come_is_a_sentence_in_the_journal(capsys: pytest.CaptureFixture[str]) -> None:
    """An hour has 120 such entries. One that is made in another way is shown as it is."""
    detail = {"recording": "R", "serial": 1, "segments": 1, "duration_ns": 61_500_000_000, "manifest_bytes": 16_441}
    entry = {"utc": "2026-11-22T07:15:03.000Z", "event": "progress"}
    print_journal([entry | {"detail": detail | {"manifest_sha512": "ab"}}, entry | {"detail": {"segments": "\x1b1"}}])
    assert [line.split(maxsplit=2)[2] for line in capsys.readouterr().out.splitlines()] == [
        "R has 1 segment on flash, 01:01.500 long; the first 16,441 bytes of its manifest have the SHA-512 ab",
        r"segments=\x1b1",
    ]
