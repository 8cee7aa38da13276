"""How fast a recording is verified: twelve hours at 4 Mbit/s must take less than five minutes."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from pathlib import Path

import pytest

from bwvd.clock import NS
from bwvd.evidence.format.chain import MANIFEST_NAMESPACE, Chain
from bwvd.evidence.format.records import FORMAT, Close, Open, PreEvent, Press, Segment, Stamp, TrackInfo
from bwvd.testing.clip import numbered_video
from tests.support.desk import verify_recording
from tests.support.rig import KEY

SECOND_BYTES = 500_000  # of media at 4 Mbit/s
TWELVE_HOURS = 12 * 3600
ALLOWED_S = 300
RECORDING = "20261122T071503Z-BWV-0001-000001"
STAMP = Stamp(mono_ns=0, utc="2026-11-22T07:15:03.250Z", quality="synchronised")


def _recording(folder: Path, seconds: int) -> Path:
    """A signed recording whose segments are one file under many names, so that any length fits on this machine."""
    path = folder / RECORDING
    path.mkdir()
    data = os.urandom(SECOND_BYTES)
    sha256 = hashlib.sha256(data).hexdigest()
    (path / "000001.m4s").write_bytes(data)
    chain = Chain(KEY, MANIFEST_NAMESPACE)
    track = TrackInfo(
        id=1, kind="video", codec="h264", encoder="copy", source="virtual", timescale=90000, width=64, height=48
    )
    with (path / "manifest.jsonl").open("wb") as manifest:
        manifest.write(
            chain.line(
                Open(
                    n=0,
                    format=FORMAT,
                    recording=RECORDING,
                    device="BWV-0001",
                    serial=1,
                    software="bwvd",
                    boot="boot",
                    signer=KEY.public_key,
                    press=Press(source="test", stamp=STAMP, handled_mono_ns=0),
                    pre_event=PreEvent(asked_s=30, got_s=30),
                    origin_mono_ns=0,
                    origin_utc=STAMP.utc,
                    segment_s=1.0,
                    tracks=[track],
                    init=base64.b64encode(numbered_video().init).decode(),
                    recipients=[],
                )
            )
        )
        for number in range(1, seconds + 1):
            name = f"{number:06d}.m4s"
            if number > 1:
                os.link(path / "000001.m4s", path / name)
            manifest.write(
                chain.line(
                    Segment(
                        n=chain.n,
                        segment=number,
                        file=name,
                        bytes=SECOND_BYTES,
                        sha256=sha256,
                        plain_bytes=SECOND_BYTES,
                        plain_sha256=sha256,
                        epoch=1,
                        pts_ns=(number - 1) * NS,
                        duration_ns=NS,
                        frames=30,
                        audio_frames=0,
                        gops=1,
                        stamp=STAMP,
                    )
                )
            )
        manifest.write(
            chain.line(
                Close(
                    n=chain.n,
                    reason="stop",
                    segments=seconds,
                    frames=30 * seconds,
                    audio_frames=0,
                    bytes=SECOND_BYTES * seconds,
                    duration_ns=seconds * NS,
                    gaps=0,
                    stamp=STAMP,
                )
            )
        )
    return path


def _rate(folder: Path, seconds: int, capsys: pytest.CaptureFixture[str]) -> float:
    """Seconds that twelve hours would take."""
    path = _recording(folder, seconds)
    begun = time.perf_counter()
    report = verify_recording(path)
    took_s = time.perf_counter() - begun
    assert report.segments == seconds
    assert not [finding for finding in report.findings if ".m4s" in finding.where], report.findings[:3]
    with capsys.disabled():
        megabytes = seconds * SECOND_BYTES / 1e6 / took_s
        print(f"\nverify: {seconds} s in {took_s:.1f} s: {megabytes:.0f} MB/s, {seconds / took_s:.0f} segments/s")
    return took_s * TWELVE_HOURS / seconds


def test_ten_minutes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _rate(tmp_path, 600, capsys) <= ALLOWED_S


@pytest.mark.complete
def test_twelve_hours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _rate(tmp_path, TWELVE_HOURS, capsys) <= ALLOWED_S
