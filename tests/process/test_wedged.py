"""A whole process whose camera never returns from a read: it closes the recording and really ends."""

from __future__ import annotations

import base64
import io
import os
import threading
from pathlib import Path

import av
import pytest

from bwvd.evidence.export.catalogue import signed_records
from bwvd.evidence.format import records
from bwvd.evidence.verify.recording import verify_recording
from bwvd.testing.clip import numbered_clip
from bwvd.testing.picture import frame_number
from tests.support.process import Process, signers_of

pytestmark = pytest.mark.slow

FRAMES = 125  # not a whole number of groups


class Pipe:
    """A FIFO that gives some seconds of video, and then nothing, for ever: no read of it ever returns."""

    def __init__(self, folder: Path, frames: int) -> None:
        clip = folder / "clip.mkv"
        numbered_clip(clip, frames, codec="mjpeg")
        self.path = folder / "camera"
        os.mkfifo(self.path)
        self._data = clip.read_bytes()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def _write(self) -> None:
        with self.path.open("wb", buffering=0) as pipe:
            pipe.write(self._data)
            self._over.wait()

    def close(self) -> None:
        self._over.set()
        self._thread.join(5)


@pytest.mark.parametrize("end", ["by itself", "asked to"])
def test_a_read_that_never_returns_ends_in_a_closed_recording(tmp_path: Path, end: str) -> None:
    """Invariant 12. The thread hangs in libav; neither the daemon's end nor the interpreter's waits for it."""
    pipe = Pipe(tmp_path, FRAMES)
    text = f"""\
[video]
source = "file:{pipe.path}"
encoder = "libx264"
size = "64x48"
keyframe_s = 0.4
[loop]
seconds = 2
[recording]
segment_s = 0.4
post_roll_s = 0
"""
    try:
        with Process(tmp_path, text) as daemon:
            daemon.wait_for_loop(1.5)
            assert daemon.ask(cmd="record")["ok"]
            # Three seconds without a frame, and half of one for the thread to come back.
            status = daemon.wait_until(lambda status: "camera" in status["faults"], 15)
            assert "delivered nothing for 3 s" in status["fault_details"]["camera"]["detail"]
            assert status["state"] == "recording"
            if end == "asked to":
                daemon.process.terminate()
            assert daemon.process.wait(40) == (1 if end == "by itself" else 0), daemon.log()
            log = daemon.log()
    finally:
        pipe.close()
    assert "Traceback" not in log
    if end == "by itself":
        assert log.count("device_wedged") >= 1
        assert "a thread hangs in its driver, and it can't be opened again" in log
    (folder,) = (tmp_path / "evidence" / "recordings").iterdir()
    report = verify_recording(folder, signers_of(tmp_path))
    assert report.verdict == "authentic", report.findings
    (close,) = [record for record in signed_records(folder) if isinstance(record, records.Close)]
    assert close.reason == ("device_wedged" if end == "by itself" else "shutdown")
    # The loop's two seconds and what followed, to the very last frame that the pipe gave.
    (opening,) = [record for record in signed_records(folder) if isinstance(record, records.Open)]
    media = base64.b64decode(opening.init) + b"".join(
        (folder / record.file).read_bytes() for record in signed_records(folder) if isinstance(record, records.Segment)
    )
    with av.open(io.BytesIO(media), "r") as container:
        numbers = [frame_number(frame) for frame in container.decode(video=0)]
    assert numbers == list(range(numbers[0], FRAMES))
    assert len(numbers) == close.frames >= 80
