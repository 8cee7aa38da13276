"""A source that changes the form of its frames again and again: a fault, and a recording that goes on in few epochs."""

from __future__ import annotations

import re
from itertools import chain, pairwise
from pathlib import Path

import pytest

from bwvd.capture.device.libav_source import open_camera
from bwvd.capture.program.annexb import AccessUnitSplitter
from bwvd.capture.source import AudioGate, SourceEnded
from bwvd.capture.video.form_damper import FORM_CHANGES, HELD_NS, MOST, WINDOW_NS, FormDamper
from bwvd.clock import NS, SystemClock
from bwvd.config.schema import Config, Video
from bwvd.messages import FaultChanged, MediaEvent
from tests.support.capture_listen import Listener
from tests.support.meanings import RATE, clip

STEP_NS = NS // 30
SIZES = ((192, 96), (96, 64))


def kept(damper: FormDamper, forms: str, told: list[MediaEvent], begin_ns: int = 0, step_ns: int = STEP_NS) -> str:
    """The forms of the frames that are kept, of one after the other."""
    return "".join(
        form for number, form in enumerate(forms) if damper.takes(form, begin_ns + number * step_ns, told.append)
    )


def test_a_change_now_and_then_is_kept() -> None:
    told: list[MediaEvent] = []
    slow_ns = WINDOW_NS // MOST
    assert kept(FormDamper(), "ab" * 50, told, step_ns=slow_ns) == "ab" * 50
    assert told == []


def test_what_flips_at_every_frame_keeps_one_form() -> None:
    """Invariant 4: of the two the one that was there is kept; the fault is told once."""
    told: list[MediaEvent] = []
    damper = FormDamper()
    assert kept(damper, "ab" * 300, told) == "ababa" + "a" * 297
    assert [(event.name, event.active) for event in told if isinstance(event, FaultChanged)] == [("camera", True)]
    assert not damper.has_calmed()


@pytest.mark.parametrize("last", "ab")
def test_a_form_that_lasts_ends_it(last: str) -> None:
    told: list[MediaEvent] = []
    damper = FormDamper()
    kept(damper, "ab" * 100, told)
    held = HELD_NS // STEP_NS
    steady = kept(damper, last * 300, told, 200 * STEP_NS)
    assert len(steady) == (300 if last == "a" else pytest.approx(300 - held, abs=2))
    assert damper.has_calmed()
    assert not damper.has_calmed()
    assert len(told) == 1
    # And the next time it is told again.
    kept(damper, "ab" * 100, told, 500 * STEP_NS)
    assert len(told) == 2


def test_ever_new_forms_are_bounded_too() -> None:
    told: list[MediaEvent] = []
    damper = FormDamper()
    seconds = 100
    taken = [damper.takes(number, number * STEP_NS, told.append) for number in range(seconds * RATE)]
    assert sum(taken) == pytest.approx(1 + MOST + seconds * NS // HELD_NS, abs=2)


def test_a_form_that_comes_no_more_is_not_waited_for() -> None:
    """Invariant 5: two others by turns, none of which lasts, had no frame recorded any more."""
    told: list[MediaEvent] = []
    damper = FormDamper()
    kept(damper, "abab" * 5 + "a", told)
    seconds = 30
    others = kept(damper, "bc" * (seconds * RATE // 2), told, 21 * STEP_NS)
    # As soon as one of the two is waited for no longer, it is the one that is kept.
    assert others == others[0] * len(others)
    assert len(others) == pytest.approx((seconds * NS - HELD_NS) // STEP_NS // 2, abs=2)
    assert [(event.name, event.active) for event in told if isinstance(event, FaultChanged)] == [("camera", True)] * 2
    assert not damper.has_calmed()


def flipping(path: Path, codec: tuple[str, ...], frames: int, steady: int = 0) -> None:
    """A raw stream whose frames have one size and the other by turns; then `steady` frames of the second one."""
    films = []
    for width, height in SIZES:
        part = clip(path.with_name(f"{width}{path.suffix}"), *codec, size=f"{width}x{height}", frames=frames + steady)
        films.append(split(part.read_bytes(), path.suffix))
    pairs = zip(films[0][:frames], films[1][:frames], strict=True)
    path.write_bytes(b"".join(chain(*pairs, films[1][frames:])))


def split(film: bytes, suffix: str) -> list[bytes]:
    if suffix == ".h264":
        splitter = AccessUnitSplitter()
        units = splitter.feed(film, 0)
        last = splitter.flush()
        return [unit.data for unit in units] + ([last.data] if last is not None else [])
    return [b"\xff\xd8" + one for one in film.split(b"\xff\xd8\xff")[1:] for one in [b"\xff" + one]]


@pytest.mark.parametrize(
    ("name", "codec", "encoder", "steady"),
    [
        ("a.mjpeg", ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p"), "libx264", 4 * RATE),
        ("a.h264", ("-c:v", "libx264", "-g", "1", "-bf", "0"), "copy", 0),
    ],
)
async def test_a_camera_that_flips_is_recorded_in_few_epochs(
    name: str, codec: tuple[str, ...], encoder: str, steady: int, tmp_path: Path
) -> None:
    """Invariant 4: what is left out is named, frame for frame; the camera's fault ends when it holds its form again."""
    frames = 20
    path = tmp_path / name
    flipping(path, codec, frames, steady)
    listener = Listener()
    video = Video(source=f"file:{path}", encoder=encoder, keyframe_s=0.2, stamp=False)
    with pytest.raises(SourceEnded):
        await open_camera(Config(video=video), SystemClock(), AudioGate()).run(listener.send)
    tracks = [batch.track for batch in listener.batches()]
    epochs = 1 + sum(before is not after for before, after in pairwise(tracks))
    assert epochs == 1 + MOST + bool(steady)
    there = sum(len(batch.samples) for batch in listener.batches())
    gaps = [gap for gap in listener.gaps() if gap.cause == FORM_CHANGES]
    assert there + sum(gap.frames for gap in gaps) == 2 * frames + steady
    faults = [event for event in listener.events if isinstance(event, FaultChanged)]
    assert [(fault.name, fault.active) for fault in faults] == [("camera", True)]
    # SourceUp ends it: one for each epoch, and of the last the one that comes behind the fault.
    assert len(listener.ups()) == epochs
    last_up, fault = listener.events.index(listener.ups()[-1]), listener.events.index(faults[0])
    assert (last_up > fault) == bool(steady)


async def test_key_frames_without_parameters_are_of_those_that_came_last(tmp_path: Path) -> None:
    """Invariant 4: a camera that says its parameters only where they change had frames of the form that is not kept
    recorded under the parameters of the other one."""
    films = []
    for width, height in SIZES:
        film = clip(tmp_path / f"{width}.h264", "-c:v", "libx264", "-g", "1", "-bf", "0", size=f"{width}x{height}")
        films.append(split(film.read_bytes(), ".h264"))
    first, second = films
    flips = list(chain(*zip(first[:MOST], second[:MOST], strict=True)))
    bare = [
        b"".join(b"\0\0\0\1" + unit for unit in units_of(one) if unit[0] & 31 not in (7, 8)) for one in second[4:12]
    ]
    path = tmp_path / "a.h264"
    path.write_bytes(b"".join([*flips, *bare, first[5]]))
    listener = Listener()
    video = Video(source=f"file:{path}", encoder="copy", keyframe_s=0.2, stamp=False)
    with pytest.raises(SourceEnded):
        await open_camera(Config(video=video), SystemClock(), AudioGate()).run(listener.send)
    widths = [batch.track.width for batch in listener.batches() for _ in batch.samples]
    assert widths == [192, 96] * 2 + [192] * (MOST - 1)
    assert sum(gap.frames for gap in listener.gaps() if gap.cause == FORM_CHANGES) == MOST - 2 + len(bare)


def units_of(frame: bytes) -> list[bytes]:
    return [unit for unit in re.split(rb"\0\0\0?\x01", frame) if unit]
