"""MP4s with Content Credentials (C2PA) in ffprobe, ffmpeg and mpv: frame for frame what they are without."""

from __future__ import annotations

import functools
import itertools
import json
import subprocess
from pathlib import Path
from typing import Any

import c2pa
import pytest

from bwvd.evidence.export.clip import export_clip
from bwvd.evidence.export.credentials import Credentials
from bwvd.evidence.format.moment import Elapsed, Given
from tests.players.test_mpv import CASES, nearest, raw, shown
from tests.support.certificates import Chain, make_chain
from tests.support.desk import export_mp4
from tests.support.evidence_folder import RATE, make_recording, make_storage
from tests.support.stock import need

pytestmark = [pytest.mark.players, pytest.mark.short]


@functools.cache
def chain_in(root: Path) -> Chain:
    return make_chain(root / "pki")


def exported(tmp_path: Path, **options: Any) -> tuple[list[Path], list[Path]]:
    """One recording's MP4s, without credentials and with them."""
    folder = make_recording(make_storage(tmp_path / "storage"), **options)
    chain = chain_in(tmp_path)
    plain = export_mp4(folder, tmp_path / "plain.mp4")
    signed = export_mp4(folder, tmp_path / "signed.mp4", credentials=Credentials(chain.certs, chain.key))
    return [Path(file.path) for file in plain.files], [Path(file.path) for file in signed.files]


def probed(path: Path) -> Any:
    """Every packet and frame, chapter and track, by ffprobe; nothing may be complained of."""
    entries = "packet=stream_index,pts,dts,duration,size,flags,data_hash:frame=media_type,pts,duration,pict_type"
    command = [
        need("ffprobe"),
        "-v",
        "error",
        "-show_data_hash",
        "sha256",
        "-show_entries",
        f"{entries}:chapter:stream",
    ]
    command += ["-of", "json", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return json.loads(done.stdout)


def decoded(path: Path) -> str:
    """The digest and the time of each decoded frame of each track, by ffmpeg; nothing may be complained of."""
    command = [need("ffmpeg"), "-v", "warning", "-i", str(path), "-map", "0:v", "-map", "0:a?", "-f", "framemd5", "-"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout


def state(path: Path, tmp_path: Path) -> str:
    trust = {"trust": {"trust_anchors": chain_in(tmp_path).anchors.read_text()}}
    return str(c2pa.Reader(path, context=c2pa.Context.from_dict(trust)).get_validation_state())


@pytest.mark.parametrize("case", CASES)
def test_a_signed_one_is_played_as_the_unsigned_one(case: str, tmp_path: Path) -> None:
    """Invariant 4: what is put into the file for C2PA moves no frame, hides none, and troubles no player."""
    [plain], [signed] = exported(tmp_path, **CASES[case])
    assert signed.stat().st_size > plain.stat().st_size + 1000
    assert probed(signed) == probed(plain)
    assert decoded(signed) == decoded(plain)
    frames = raw(plain)
    assert [nearest(one, frames) for one in shown(signed, tmp_path / "all")] == list(range(40))
    [one] = shown(signed, tmp_path / "one", f"--start={15 / RATE - 0.03:.3f}", "--frames=1")
    assert nearest(one, frames) == (15)


def test_a_clip_with_b_frames(tmp_path: Path) -> None:
    """Invariant 4: from the key frame on, in the order of showing, without a frame that lacks what it refers to."""
    [plain], [signed] = exported(tmp_path, **CASES["B-frames"])
    chain, clip = chain_in(tmp_path), tmp_path / "clip.mp4"
    begin, end = (Given(str(seconds), "", Elapsed(seconds * 1_000_000_000)) for seconds in (1, 3))
    done = export_clip(signed, clip, Credentials(chain.certs, chain.key), begin, end)
    whole, frames = raw(plain), raw(clip)
    assert done.frames == len(frames)
    assert frames == whole[10 : 10 + len(frames)]
    assert len(frames) == 20
    read = probed(clip)
    video = [
        packet for packet in read["packets_and_frames"] if packet["type"] == "packet" and not packet["stream_index"]
    ]
    assert any(packet["pts"] != packet["dts"] for packet in video)
    times = [frame["pts"] for frame in read["packets_and_frames"] if frame.get("media_type") == "video"]
    assert all(one < other for one, other in itertools.pairwise(times))
    assert [nearest(one, frames) for one in shown(clip, tmp_path / "all")] == list(range(len(frames)))
    assert state(clip, tmp_path) == "Trusted"


def test_several_epochs_are_several_files_each_signed(tmp_path: Path) -> None:
    """Invariant 4: a camera that became another one ends a file; each is played, and each is vouched for by itself."""
    plain, signed = exported(tmp_path, other_camera_from=2, sound_from=0)
    assert [path.name for path in signed] == ["signed.mp4", "signed-2.mp4"]
    for one, other in zip(plain, signed, strict=True):
        assert state(other, tmp_path) == "Trusted"
        assert probed(other) == probed(one)
        assert decoded(other) == decoded(one)
        claims = [
            each["data"] for each in c2pa.Reader(other).get_active_manifest()["assertions"]
            if each["label"] == "bwvd.recording"
        ]  # fmt: skip
        assert claims[0]["segments"] == ("1-2" if other is signed[0] else "3-4")
        actions = str(c2pa.Reader(other).get_active_manifest()["assertions"])
        assert "c2pa.trimmed" in actions  # one of two files is not all of the recording
