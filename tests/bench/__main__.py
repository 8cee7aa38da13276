"""`python -m tests.bench [--quick] [--profile] [--json FILE] [--write] [NAME…]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import av
from rich.console import Console

from tests.bench import commands, explaining, exporting, full_card, growth, pressing, stamp, starting, work
from tests.bench.figures import Findings
from tests.bench.pairing import FULL, QUICK, Plan
from tests.bench.showing import explain, show
from tests.bench.sources import LITTLE_NOISE, MUCH_NOISE, Clip, Clips
from tests.bench.subjects import Bwvd, configuration
from tests.bench.writing import PAGE, SHORT, write

COPIED_REPEATS = 8  # of its clip, so that neither side has to begin it anew while it is watched


@dataclass(slots=True)
class Bench:
    """One run of the benchmark."""

    plan: Plan
    ffmpeg: str
    folder: Path
    clips: Clips
    found: Findings = field(default_factory=Findings)

    @property
    def hd(self) -> str:
        return "320x240" if self.plan.quick else "1280x720"

    @property
    def full_hd(self) -> str:
        return "480x270" if self.plan.quick else "1920x1080"

    def take(self, found: Findings) -> None:
        self.found.rows += found.rows
        self.found.threads += found.threads
        self.found.compared += found.compared


def _jpegs(bench: Bench, name: str) -> Clip:
    """A group's MJPEG: its name says the size and whether there is much noise in it."""
    size = bench.full_hd if "1080p" in name else bench.hd
    return bench.clips.mjpeg(size, bench.plan.clip_s, MUCH_NOISE if name.endswith("-noisy") else LITTLE_NOISE)


def _encoded(bench: Bench, name: str) -> None:
    clip = _jpegs(bench, name)
    bench.take(work.measure(work.encoded(name, clip, bench.plan), bench.plan, bench.ffmpeg, bench.folder / name))


def _stamp(bench: Bench, name: str) -> None:
    clip = bench.clips.mjpeg(bench.hd, bench.plan.clip_s)
    bench.take(stamp.measure_stamp(name, clip, bench.plan, bench.ffmpeg, bench.folder / name))


def _copied(bench: Bench, name: str) -> None:
    clip = bench.clips.repeated(bench.clips.h264(bench.hd, bench.plan.clip_s), COPIED_REPEATS)
    bench.take(work.measure(work.copied(name, clip), bench.plan, bench.ffmpeg, bench.folder / name))


def _start(bench: Bench, name: str) -> None:
    clip = bench.clips.mjpeg(bench.hd, bench.plan.clip_s)
    bench.take(starting.measure(name, clip, bench.plan, bench.ffmpeg, bench.folder / name))


def _full_card(bench: Bench, name: str) -> None:
    bench.take(full_card.measure(name, bench.ffmpeg, bench.plan, bench.folder / name))


def _press(bench: Bench, name: str) -> None:
    clip = bench.clips.h264(bench.hd, bench.plan.clip_s)
    bench.take(pressing.measure(name, clip, bench.plan, bench.folder / name))


def _press_beside_work(bench: Bench, name: str) -> None:
    clip = bench.clips.h264(bench.hd, bench.plan.clip_s)
    bench.take(pressing.measure(name, clip, bench.plan, bench.folder / name, busy=True))


def _commands(bench: Bench, name: str) -> None:
    clip = bench.clips.h264(bench.hd, bench.plan.clip_s)
    bench.take(commands.measure(name, clip, bench.plan, bench.folder / name))


def _growth(bench: Bench, name: str) -> None:
    bench.take(growth.measure(name, bench.clips, bench.plan, bench.ffmpeg, bench.folder / name))


def _export(bench: Bench, name: str) -> None:
    bench.take(exporting.measure(name, bench.clips, bench.plan, bench.ffmpeg, bench.folder / name))


GROUPS: dict[str, Callable[[Bench, str], None]] = {
    "encoded-720p30": _encoded,
    "encoded-720p30-noisy": _encoded,
    "encoded-1080p30": _encoded,
    "encoded-1080p30-noisy": _encoded,
    "stamp": _stamp,
    "copied": _copied,
    "start": _start,
    "full-card": _full_card,
    "press": _press,
    "press-beside-work": _press_beside_work,
    "commands": _commands,
    "growth": _growth,
    "export": _export,
}


def _compile(bench: Bench) -> None:
    """Start a daemon that nobody looks at: what compiles its byte code takes 7 MB more, and its time."""
    clip = bench.clips.h264(bench.hd, bench.plan.clip_s)
    folder = bench.folder / "compiled"
    folder.mkdir()
    with Bwvd(folder, configuration(clip, bench.plan, encoder="copy")) as bwvd:
        bwvd.wait_for_loop(bench.plan.keyframe_s / 2)
        bwvd.press()
        bwvd.stop()


def _profiles(bench: Bench, names: list[str]) -> dict[str, list[str]]:
    """Where the time goes, for these groups. Growth and presses have none of their own."""
    found = {}
    for name in names:
        folder = bench.folder / f"{name}-profile"
        if name == "start":
            clip = bench.clips.mjpeg(bench.hd, bench.plan.clip_s)
            found["imports at the start"] = explaining.start(clip, bench.plan, folder)
        elif name in ("copied", "stamp") or name.startswith("encoded"):
            if name == "copied":
                clip = bench.clips.h264(bench.hd, bench.plan.clip_s)
            elif name == "stamp":
                clip = bench.clips.mjpeg(bench.hd, bench.plan.clip_s)
            else:
                clip = _jpegs(bench, name)
            encoder = "copy" if name == "copied" else "libx264"
            title = f"CPU of the daemon in standby, {name}"
            found[title] = explaining.standby(clip, encoder, name == "stamp", bench.plan, folder)
    return found


def machine(ffmpeg: str) -> dict[str, Any]:
    """What the figures were measured on."""
    version = subprocess.run([ffmpeg, "-version"], capture_output=True, text=True, check=True).stdout
    model = re.search(r"^(?:model name|Model)\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "processor": model[1] if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "pyav": av.__version__,
        "libav": ".".join(map(str, av.library_versions["libavcodec"])),
        "ffmpeg": version.splitlines()[0].removeprefix("ffmpeg version ").partition(" Copyright")[0],
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure and print. Exit code 0, also when a goal is missed; 1 when a group could not be measured; 2 for usage."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one or more of: {', '.join(GROUPS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="small and short: tries the benchmark, gives no figures")
    parser.add_argument("--profile", action="store_true", help="show where the time goes also where no goal is missed")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures as one JSON document too")
    parser.add_argument(
        "--write", action="store_true", help=f"write the figures of this run into {PAGE.name} and {SHORT.name}"
    )
    options = parser.parse_args(arguments)
    if options.write and (options.quick or options.names):
        parser.error("--write takes a whole run, of all groups: figures of different runs are not to be compared")
    if unknown := [name for name in options.names if name not in GROUPS]:
        parser.error(f"there is no {unknown[0]!r}; there are {', '.join(GROUPS)}")
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        parser.error("the ffmpeg command is not installed: there is nothing to compare with")
    console = Console(width=None if sys.stdout.isatty() else 140)
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bwvd-bench-") as temporary:
        folder = Path(temporary)
        # An installed recorder has its byte code: it is not compiled at each start, nor is its memory left with that.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
        plan = QUICK if options.quick else FULL
        bench = Bench(plan, ffmpeg, folder, Clips(folder, ffmpeg, plan.keyframe_s))
        names = options.names or list(GROUPS)
        _compile(bench)
        failed: dict[str, str] = {}
        for name in names:
            print(f"{time.monotonic() - begun_s:4.0f} s  {name}", file=sys.stderr, flush=True)
            try:
                GROUPS[name](bench, name)
            except (AssertionError, OSError, subprocess.SubprocessError) as error:
                # A process that did not do its part on a busy machine: the other groups' figures stand.
                failed[name] = str(error) or type(error).__name__
        missed = {row.group for row in bench.found.rows if row.met is False}
        explained = [name for name in names if options.profile or (name in missed and not options.quick)]
        profiles = _profiles(bench, explained)
    about = machine(ffmpeg)
    console.print(", ".join(f"{key} {value}" for key, value in about.items()), highlight=False)
    if options.quick:
        console.print("--quick: these are no figures", style="bold")
    show(bench.found, console)
    for title, lines in profiles.items():
        explain(title, lines, console)
    for name, reason in failed.items():
        console.print(f"\nNOT MEASURED: {name}: {reason}", markup=False, highlight=False)
    console.print(f"\ntook {time.monotonic() - begun_s:.0f} s", highlight=False)
    if options.json:
        document = {
            "machine": about,
            "plan": asdict(bench.plan),
            "rows": [row.document() for row in bench.found.rows],
            "threads": bench.found.threads,
            "compared": bench.found.compared,
            "profiles": profiles,
            "failed": failed,
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if options.write and not failed:
        write(bench.found, about)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
