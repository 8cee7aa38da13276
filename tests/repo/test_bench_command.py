"""`python -m tests.bench` from one end to the other, in small: every figure is there and makes sense."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench.__main__ import GROUPS
from tests.support.source_tree import ROOT
from tests.support.stock import need

COMPARED = {  # each has ffmpeg's figure beside it
    "encoded-720p30": ("standby: CPU", "recording: CPU", "standby: peak memory less the loop"),
    "copied": ("standby: CPU", "recording: CPU", "recording: bytes in files per byte of video"),
    "start": ("start to the loop turning",),
    "growth": ("CPU, bit rate x 4, copied",),
    "export": ("66 s, 510 MB", "66 s, 510 MB: CPU", "an hour, 3.3 GB", "an hour, 3.3 GB: CPU"),
}
ALONE = {
    "stamp": ("the stamp: of the encode",),
    "start": ("start to an answering control socket",),
    "full-card": ("empty card: CPU to the loop turning", "30 MB of journal in one file: CPU more"),
    "press": ("press to first commit, p50", "press to first commit, p99"),
    "growth": ("memory for a loop of 20 s",),
    "export": ("66 s, 510 MB: memory", "an hour, 3.3 GB: memory"),
}


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.mark.slow
def test_every_figure_is_there(tmp_path: Path) -> None:
    need("ffmpeg")
    out = tmp_path / "figures.json"
    same = {"encoded-1080p30", "encoded-1080p30-noisy", "encoded-720p30-noisy"}  # as 720p30, larger or of more noise
    names = [name for name in GROUPS if name not in same]
    done = _bench("--quick", "--json", str(out), *names)
    assert done.returncode == 0, done.stderr
    document = json.loads(out.read_text())
    rows: dict[tuple[str, str], dict[str, Any]] = {(row["group"], row["what"]): row for row in document["rows"]}
    assert {group for group, _ in rows} == set(names)
    for (group, what), row in rows.items():
        assert what in done.stdout.replace("\n", " ") or len(what) > 40, f"{group}, {what} is not shown"
        for side in ("bwvd", "ffmpeg"):
            if row[side] is not None:
                values = [row[side][key] for key in ("min", "median", "max")]
                assert values == sorted(values)
                assert all(math.isfinite(value) for value in values)
    for groups in (COMPARED, ALONE):
        for group, figures in groups.items():
            for what in figures:
                assert (rows[group, what]["ffmpeg"] is not None) == (groups is COMPARED), f"{group}, {what}"
    for group in ("encoded-720p30", "copied"):
        for when in ("standby: CPU", "recording: CPU"):
            row = rows[group, when]
            ours, theirs, ratio = row["bwvd"], row["ffmpeg"], row["ratio"]
            assert ours["median"] > 0
            if theirs["min"] > 0:  # a copy may take less than can be counted in a window as short as these
                # taken in the same seconds, window by window
                assert 0.99 * ours["min"] / theirs["max"] <= ratio["median"] <= 1.01 * ours["max"] / theirs["min"]
        # More than the video itself is written; how much more depends on how much video a busy machine gets to.
        assert 1 < rows[group, "recording: bytes in files per byte of video"]["bwvd"]["median"] < 2
        assert rows[group, "standby: peak memory less the loop"]["bwvd"]["median"] > 20
    assert rows["copied", "standby: CPU"]["bwvd"]["median"] < rows["encoded-720p30", "standby: CPU"]["bwvd"]["median"]
    assert 0 < rows["press", "press to first commit, p50"]["bwvd"]["median"] < 5000
    assert 0 < rows["start", "start to the loop turning"]["bwvd"]["median"] < 30
    assert "kB a frame" in rows["encoded-720p30", "standby: CPU"]["note"]
    wakeups = {one["group"]: one["wakeups_per_s"] for one in document["threads"]}
    assert any(name.startswith("capture") for name in wakeups["copied"])
    assert document["compared"]
    assert str(tmp_path.parent) not in done.stdout


@pytest.mark.slow
def test_a_profile_names_functions_and_imports(tmp_path: Path) -> None:
    need("ffmpeg")
    out = tmp_path / "figures.json"
    done = _bench("--quick", "--profile", "--json", str(out), "start", "copied")
    assert done.returncode == 0, done.stderr
    profiles = json.loads(out.read_text())["profiles"]
    assert any("trio" in line for line in profiles["imports at the start"])
    lines = profiles["CPU of the daemon in standby, copied"]
    assert any("device/demux.py" in line for line in lines)
    assert not any("importlib" in line for line in lines), "start-up is in the profile of standby"


def test_a_name_that_is_none_is_named() -> None:
    done = _bench("--quick", "nonsense")
    assert done.returncode == 2
    assert "nonsense" in done.stderr
    assert "Traceback" not in done.stderr
