"""Where the time goes, for a goal that was missed."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.pairing import FILLED, Plan
from tests.bench.sources import Clip
from tests.bench.subjects import Bwvd, configuration
from tests.support.process import write_configuration
from tests.support.source_tree import ROOT

LINES = 12
START_S = 120  # at most, under the profiler and on a busy machine
_IMPORT_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|( *)(\S+)")


def standby(clip: Clip, encoder: str, stamp: bool, plan: Plan, folder: Path) -> list[str]:
    """Shares of the daemon's CPU time in standby, by thread and function."""
    folder.mkdir()
    out = folder / "profile.json"
    text = configuration(clip, plan, encoder=encoder, stamp=stamp)
    with Bwvd(folder, text, ("tests.bench.profiled", str(out))) as bwvd:
        bwvd.wait_for_loop(FILLED * plan.loop_s, START_S)
        bwvd.process.send_signal(signal.SIGRTMIN)
        # Nobody asks it anything from here on: that would be in the profile.
        time.sleep(plan.windows * plan.window_s)
    threads = json.loads(out.read_text())
    whole = sum(spent for functions in threads.values() for _, spent in functions)
    lines = []
    for thread, functions in sorted(threads.items(), key=lambda one: -sum(spent for _, spent in one[1])):
        mine = sum(spent for _, spent in functions)
        if mine < whole / 100:
            continue
        lines.append(f"{mine / whole:6.1%}  thread {thread}")
        lines += [f"  {spent / whole:6.1%}  {name}" for name, spent in functions[:LINES]]
    return lines


def start(clip: Clip, plan: Plan, folder: Path) -> list[str]:
    """The dearest imports of the daemon's start, each with all that it brought along."""
    folder.mkdir()
    config = write_configuration(folder, configuration(clip, plan, encoder="libx264"))
    code = f"import sys; sys.argv[1:] = ['run', '-c', {str(config)!r}]; import bwvd.cli.main, bwvd.daemon.process"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    found = [
        (int(match[2]) / 1000, int(match[1]) / 1000, match[4])
        for match in map(_IMPORT_LINE.match, done.stderr.splitlines())
        if match
    ]
    own = sum(alone for _, alone, _ in found)
    lines = [f"{own:7.0f} ms  all imports, with the cost of timing them"]
    lines += [f"{whole:7.1f} ms  {name} and what it imports ({alone:.1f} ms alone)"
              for whole, alone, name in sorted(found, reverse=True)[: 2 * LINES]]  # fmt: skip
    return lines
