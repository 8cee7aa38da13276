"""`python -m tests.bench.desk_player [--minutes N] [--rounds N] [--beside TREE]`: how soon the desk shows a frame.

A recording of an hour at 4 Mbit/s, encrypted, in a local folder, in Debian's Chromium: from the click in the list to
the first frame on the screen; from a jump anywhere to the frame there; and what the desk's process holds meanwhile, and
once four cameras have played beside each other. With `--beside` the desk of another working tree is clicked in turn
with this one's, for the ratio of the two. Needs the extra `browser`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import pyrage
from av.codec.context import Flags
from av.video.frame import PictureType
from rich.console import Console
from rich.table import Table

from bwvd.clock import NS
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.keys.age import AgeSealer
from bwvd.evidence.write.finalize import finish_recording
from bwvd.evidence.write.recording_folder import Device, RecordingFolder
from bwvd.evidence.write.row import Row
from bwvd.media.init_segment import VIDEO_TIMESCALE, InitSegment
from bwvd.media.samples import Batch, Gop, Sample, Track
from bwvd.messages import OpenRecording, PreEvent
from bwvd.testing.clock import VirtualClock
from tests.support.evidence_folder import make_storage
from tests.support.evidence_keys import fixed_signer

if TYPE_CHECKING:
    from tests.desk.chromium import Visit

FIRST_GOAL_S, SEEK_GOAL_S, MEMORY_GOAL_MB = 1.0, 0.5, 150.0

_RATE, _BITRATE, _SIZE = 30, 4_000_000, (1280, 720)
_DISTINCT = 20  # groups of pictures: then they come again
_CAMERAS, _OTHERS_MINUTES = 4, 5  # beside each other; how long the others' recordings are at most
_TOGETHER_S = 30  # they play
_ORIGIN_NS = 1000 * NS


@dataclass(slots=True)
class Measured:
    """Seconds and megabytes."""

    first_s: list[float] = field(default_factory=list)
    beside_s: list[float] = field(default_factory=list)  # the same click in the other tree's desk
    seek_s: list[float] = field(default_factory=list)
    memory_mb: float = 0.0  # of the desk's process at its peak, the verification behind the page included
    four_mb: float = 0.0  # with four cameras beside each other
    load: float = 0.0  # of the machine at the end, over a minute
    bytes: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Exit code 0, also when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.desk_player", description=__doc__)
    parser.add_argument("--minutes", type=int, default=60, help="of the recording (default: 60)")
    parser.add_argument("--rounds", type=int, default=5, help="clicks, and ten jumps each (default: 5)")
    parser.add_argument("--beside", metavar="TREE", type=Path, help="another working tree, for a ratio")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write what was measured as JSON too")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="bwvd-bench-desk-"))
    try:
        identity = pyrage.x25519.Identity.generate()
        (folder / "identity").write_text(f"{identity}\n")
        sealer = AgeSealer([str(identity.to_public())])
        record(make_storage(folder / "storage"), options.minutes * 60, sealer)
        for camera in range(2, _CAMERAS + 1):
            shorter = min(options.minutes, _OTHERS_MINUTES) * 60
            record(make_storage(folder / "others" / str(camera)), shorter, sealer, camera)
        found = measure(folder, options.minutes * 60, options.rounds, options.beside)
    finally:
        shutil.rmtree(folder)
    _print(found, options.minutes)
    if options.json:
        options.json.write_text(json.dumps(asdict(found), indent=1) + "\n")
    return 0


def record(storage: Path, seconds: int, sealer: AgeSealer | None, camera: int = 1) -> Path:
    """A recording of so many segments of a second, as the writer makes it. Returns its folder."""
    device = f"BWV-{camera:04d}"
    recording = f"20261122T071505Z-{device}-000001"
    track, gops = _encoded()
    signer = fixed_signer()
    opening = OpenRecording(
        recording=recording, serial=1, press_source="gpio:record", press_ns=_ORIGIN_NS + 30 * NS,
        handled_ns=_ORIGIN_NS + 30 * NS, pre_event=PreEvent(30 * NS, 30 * NS, ""), video=track, audio=None,
        pre_event_audio=False, officer="4711",
    )  # fmt: skip
    with PosixVolume(storage) as volume:
        clock = VirtualClock(seconds=lambda: 2.0, quality="synchronised")
        made = RecordingFolder(volume, Device(device, "boot-1", 1.0, signer, sealer, Row()), opening, clock)
        for index in range(seconds):
            samples, data = gops[index % len(gops)]
            at = _ORIGIN_NS + index * NS
            moved = tuple(one._replace(pts_ns=one.pts_ns + at, dts_ns=one.dts_ns + at) for one in samples)
            gop = Gop(Batch(track, moved, bytearray(data)), None)
            if index == 0:
                made.create(gop, None)
            made.commit([gop], [])
        made.close("stop")
        finish_recording(volume, f"recordings/{recording}", signer)
    return storage / "recordings" / recording


def _encoded() -> tuple[Track, list[tuple[tuple[Sample, ...], bytes]]]:
    """A track, and its groups of pictures: times relative to the begin of each."""
    segment = InitSegment()
    options = {
        "preset": "ultrafast", "tune": "zerolatency", "nal-hrd": "cbr",
        "x264-params": f"annexb=0:scenecut=0:open-gop=0:keyint={_RATE}:vbv-maxrate=4000:vbv-bufsize=4000",
    }  # fmt: skip
    stream = segment.container.add_stream("libx264", rate=_RATE, options=options)
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = *_SIZE, "yuv420p"
    context.bit_rate = _BITRATE
    context.gop_size = _RATE
    context.time_base = stream.time_base = Fraction(1, _RATE)
    context.flags |= Flags.global_header
    init = segment.finish()
    groups: list[list[tuple[Sample, bytes]]] = []
    graph = f"testsrc2=size={_SIZE[0]}x{_SIZE[1]}:rate={_RATE}:duration={_DISTINCT},noise=alls=12:allf=t"
    with av.open(graph, "r", format="lavfi") as source:
        for number, picture in enumerate(source.decode(video=0)):
            frame = picture.reformat(format="yuv420p")
            frame.pts, frame.time_base = number, context.time_base
            frame.pict_type = PictureType.NONE if number % _RATE else PictureType.I
            for packet in stream.encode(frame):
                if packet.is_keyframe:
                    groups.append([])
                at = len(groups[-1]) * NS // _RATE
                groups[-1].append((Sample(0, packet.size, at, at, NS // _RATE, packet.is_keyframe), bytes(packet)))
    track = Track("video", "h264", VIDEO_TIMESCALE, init, "virtual:camera", "libx264", *_SIZE, float(_RATE))
    packed = []
    for group in groups:
        samples, offset = [], 0
        for sample, data in group:
            samples.append(sample._replace(offset=offset))
            offset += len(data)
        packed.append((tuple(samples), b"".join(data for _, data in group)))
    return track, packed


def measure(folder: Path, seconds: int, rounds: int, beside: Path | None = None) -> Measured:
    """Click and jump in a browser."""
    from tests.desk.chromium import Visit, browser, served  # here: playwright is of an extra

    found = Measured(bytes=sum(path.stat().st_size for path in (folder / "storage").rglob("*.age")))
    options = ("--identity", str(folder / "identity"))
    chance = random.Random(17)
    size: Any = {"width": 1440, "height": 900}
    with contextlib.ExitStack() as stack:
        launched = stack.enter_context(browser())
        visits = []
        for home, tree in (("home", None), *([("beside", beside)] if beside is not None else [])):
            address = stack.enter_context(served(folder / "storage", options=options, home=folder / home, tree=tree))
            visits.append(Visit(launched.new_context(viewport=size), address))
        page = visits[0].page
        for _ in range(rounds):
            for visit, taken in zip(visits, (found.first_s, found.beside_s), strict=False):
                taken.append(_clicked(visit))
            for _ in range(10):
                us = chance.uniform(0, seconds - 1) * 1e6
                found.seek_s.append(page.evaluate(_SOUGHT, us))
        page.evaluate("() => window.desk.player.play()")
        page.wait_for_timeout(5000)
        found.memory_mb = _peak_mb(_process_of(folder / "home"))
    places = (folder / "storage", folder / "others")
    with served(*places, options=options, home=folder / "four") as address, browser() as launched:
        visit = Visit(launched.new_context(viewport=size), address)
        _together(visit)
        found.four_mb = _peak_mb(_process_of(folder / "four"))
    found.load = os.getloadavg()[0]
    return found


def _clicked(visit: Visit) -> float:
    """Seconds from the click in the list to the first frame."""
    page = visit.page
    page.goto(f"{visit.origin}/")
    link = page.locator("main a[href^='/r/']").first
    link.wait_for()
    begin = time.monotonic()
    link.click()
    page.wait_for_selector("video")
    page.evaluate(_SHOWN)
    taken = time.monotonic() - begin
    page.wait_for_selector("#recording[data-ready=true]")
    return taken


def _together(visit: Visit) -> None:
    """Look at each recording, and then at all of them beside each other; the list's verification goes on behind it."""
    page = visit.page
    page.goto(f"{visit.origin}/")
    page.locator("main a[href^='/r/']").first.wait_for()
    links = [link.get_attribute("href") or "" for link in page.locator("main a[href^='/r/']").all()]
    assert len(links) == _CAMERAS
    for link in links:
        page.goto(f"{visit.origin}{link}")
        page.evaluate(_SHOWN)
    page.goto(f"{visit.origin}/several?" + "&".join(f"r={link.removeprefix('/r/')}" for link in links))
    for place in range(_CAMERAS):
        page.evaluate(_SHOWN.replace('querySelector("video")', f'querySelectorAll("video")[{place}]'))
    page.click("#toggle")
    page.wait_for_timeout(_TOGETHER_S * 1000)


# Resolves when a frame is on the screen.
_SHOWN = """() => new Promise((done) => {
  const video = document.querySelector("video");
  if (video.readyState >= 2) requestAnimationFrame(() => done());
  else video.requestVideoFrameCallback(() => done());
})"""

# Jumps, and gives the seconds until the frame there is on the screen.
_SOUGHT = """(us) => new Promise((done) => {
  const begin = performance.now(), video = document.querySelector("video");
  const look = (_, frame) => {
    if (Math.abs(frame.mediaTime * 1e6 - us) < 1e5) done((performance.now() - begin) / 1000);
    else video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
  window.desk.player.seek(us);
})"""


def _process_of(home: Path) -> int:
    """The desk's process: the one that is at work in this folder."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == home.resolve():
                return int(process.name)
    raise ProcessLookupError("the desk has ended")


def _peak_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


def _rows(found: Measured) -> Iterator[tuple[str, str, str, str]]:
    for name, values, goal in (
        ("first frame after the click, s", found.first_s, FIRST_GOAL_S),
        ("frame after a jump, s", found.seek_s, SEEK_GOAL_S),
    ):
        middle, most = statistics.median(values), max(values)
        yield name, f"{middle:.2f} ({most:.2f})", f"{goal:g}", "yes" if middle <= goal else "no"
    goal = MEMORY_GOAL_MB
    for name, peak in (("memory at its peak, MB", found.memory_mb), ("with four cameras, MB", found.four_mb)):
        yield name, f"{peak:.0f}", f"{goal:g}", "yes" if peak <= goal else "no"
    if found.beside_s:
        other = f"{statistics.median(found.beside_s):.2f} ({max(found.beside_s):.2f})"
        yield "first frame in the other tree, s", other, "", ""
        ratios = [one / other for one, other in zip(found.first_s, found.beside_s, strict=True)]
        yield "this tree's of it", f"{statistics.median(ratios):.2f} ({max(ratios):.2f})", "", ""
    yield "load of the machine", f"{found.load:.1f}", "", ""


def _print(found: Measured, minutes: int) -> None:
    table = Table(title=f"{minutes} min, {found.bytes / 1e6:,.0f} MB encrypted; median (largest)")
    for heading in ("", "measured", "goal", "met"):
        table.add_column(heading)
    for row in _rows(found):
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
