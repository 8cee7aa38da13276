"""Every parser keeps its promise for its seeds, and for whatever fuzzing has once found to break it."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

FINDINGS = Path(__file__).parents[1] / "fuzz" / "findings"


def inputs() -> list[tuple[str, Path]]:
    return [(path.parent.name, path) for path in sorted(FINDINGS.glob("*/*"))]


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_seeds(target: Target) -> None:
    for seed in target.seeds():
        target.check(seed)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_seeds_cut_and_altered(target: Target) -> None:
    """A few steps of what the fuzzer does, the same ones every time."""
    chosen = random.Random(target.name)
    seeds = [seed for seed in target.seeds() if len(seed) < 10_000]
    for _ in range(30):
        data = bytearray(chosen.choice(seeds))
        if target.mutate is not None:
            data = bytearray(target.mutate(bytes(data), chosen.getrandbits(32)))
        else:
            at = chosen.randrange(len(data) + 1)
            data[at : at + chosen.choice((0, 1, 50))] = chosen.randbytes(chosen.choice((0, 1, 4)))
        target.check(bytes(data))


@pytest.mark.parametrize(("name", "path"), inputs(), ids=lambda value: value if isinstance(value, str) else value.name)
def test_findings(name: str, path: Path) -> None:
    TARGETS[name].check(path.read_bytes())


def test_findings_belong_to_targets() -> None:
    assert {name for name, _ in inputs()} <= set(TARGETS)


@pytest.mark.parametrize("zone", ["UTC", "XXX-14", "XXX+12"])
def test_in_every_time_zone(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A time without a zone is one of this machine's, and the first and last days of the calendar have no other."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for name in ("signers", "records"):
            for seed in TARGETS[name].seeds():
                TARGETS[name].check(seed)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_without_the_fuzzer_one_line_says_how_to_get_it() -> None:
    code = "import sys; sys.modules['atheris'] = None; from tests.fuzz.__main__ import main; sys.exit(main(['all']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install atheris" in done.stderr
