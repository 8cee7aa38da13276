"""What a camera that is copied leaves in memory: nothing of ours that is not overwritten, nothing of the driver's."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import av
import pytest

from bwvd.capture.source import DeviceLost, SourceRefused
from bwvd.capture.timestamps import Moment, TimeBase
from bwvd.media.nal import START_CODE, annexb_units
from bwvd.testing.clip import numbered_clip
from tests.capture.video.test_passthrough import RATE, START, Camera

SUFFIX = pytest.mark.parametrize("suffix", ["mp4", "ts"])  # units with their lengths before them, and Annex B
SETS = (7, 8)


class Lent(bytearray):
    """A packet whose buffer is a driver's: it can't grow while somebody still looks at it."""

    pts: int | None = None
    dts: int | None = None
    is_corrupt = False

    @property
    def size(self) -> int:
        return len(self)

    def goes_back(self) -> None:
        """Raises: BufferError while a view of it lives."""
        self.append(0)


def lent(packet: av.Packet[Any]) -> Lent:
    made = Lent(bytes(packet))
    made.pts, made.dts = packet.pts, packet.dts
    return made


def give(camera: Camera, packet: Lent) -> None:
    """As `Camera.feed` does."""
    base = camera.stream.time_base or Fraction(1)
    if packet.dts is not None:
        camera.playback.due(int(packet.dts * base * 10**9))
    camera.path.feed(cast("av.Packet[Any]", packet), TimeBase.of(base), Moment(START, 0), camera.listener.send)


def give_all(camera: Camera, packets: list[Lent]) -> None:
    for packet in packets:
        give(camera, packet)


def held(trace: TracebackType | None) -> Iterator[bytearray]:
    """The buffers in the frames that an error came through."""
    while trace is not None:
        for value in trace.tb_frame.f_locals.values():
            if isinstance(value, bytearray) and not isinstance(value, Lent):
                yield value
        trace = trace.tb_next


@SUFFIX
def test_the_drivers_buffer_goes_back_at_once(tmp_path: Path, suffix: str) -> None:
    """Invariant 10: a camera whose buffers are kept from it loses frames."""
    clip = tmp_path / f"clip.{suffix}"
    numbered_clip(clip, 60, rate=RATE, gop_s=0.5)
    camera = Camera(clip)
    for index, packet in enumerate(camera.packets()):
        one = lent(packet)
        if index == 20:
            del one[len(one) // 2 :]
        one.is_corrupt = index == 40
        give(camera, one)
        one.goes_back()
    assert len(camera.finish().batches()) == 4


def test_a_copy_of_ours_is_overwritten_when_the_camera_is_refused(tmp_path: Path) -> None:
    """Invariant 2: also where an error ends the feeding of a packet."""
    clip = tmp_path / "clip.ts"
    numbered_clip(clip, RATE * 4, rate=RATE, gop_s=2)
    camera = Camera(clip, loop_s=5)
    with pytest.raises(SourceRefused, match="key frames") as caught:
        give_all(camera, [lent(packet) for packet in camera.packets()])
    copies = list(held(caught.tb))
    assert copies
    assert not any(any(copy) for copy in copies)


def test_a_copy_of_ours_is_overwritten_when_the_camera_is_lost(tmp_path: Path) -> None:
    """Invariant 2: the same, where it gives nothing that can be decoded."""
    clip = tmp_path / "clip.ts"
    numbered_clip(clip, RATE * 4, rate=RATE, gop_s=0.5)
    camera = Camera(clip)
    packets = [lent(packet) for packet in camera.packets()]
    for one in packets[RATE:]:
        one[:] = one.replace(START_CODE + b"\x67", START_CODE + b"\x67\0\x40")
    with pytest.raises(DeviceLost) as caught:
        give_all(camera, packets)
    copies = list(held(caught.tb))
    assert copies
    assert not any(any(copy) for copy in copies)


def test_parameter_sets_that_wait_are_overwritten(tmp_path: Path) -> None:
    """Invariant 2: when their frame has come, when others come, and at the end."""
    clip = tmp_path / "clip.ts"
    numbered_clip(clip, RATE, rate=RATE, gop_s=0.5)
    camera = Camera(clip)
    waited = []
    for packet in camera.packets():
        data = bytes(packet)
        sets = [b"\0" + START_CODE + data[a:b] for a, b in annexb_units(data) if data[a] & 31 in SETS]
        for one in sets:
            alone = lent(packet)
            alone[:] = one
            give(camera, alone)
            waited.append(camera.path._waiting)
            assert any(waited[-1])
            assert not any(any(before) for before in waited[:-1])
        if len(waited) == 4:
            break
        give(camera, lent(packet))
        assert not any(any(before) for before in waited)
    camera.path.close()
    assert len(waited) == 4
    assert not any(any(before) for before in waited)


@SUFFIX
def test_a_camera_that_is_gone_leaves_nothing_to_the_collector(tmp_path: Path, suffix: str) -> None:
    """A daemon that makes little rubbish waits long for that, and each opening has a GOP's buffer."""
    clip = tmp_path / f"clip.{suffix}"
    numbered_clip(clip, RATE, rate=RATE, gop_s=0.5)
    gc.collect()
    gc.disable()
    try:
        camera = Camera(clip)
        camera.feed_all()
        camera.finish()
        parts = [weakref.ref(part) for part in (camera.path, camera.path._assembler, camera.path._parameters)]
        del camera
        assert [part() for part in parts] == [None, None, None]
    finally:
        gc.enable()
