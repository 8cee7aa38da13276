"""Coverage-guided fuzzing: `python -m tests.fuzz TARGET [--seconds N] [--corpus FOLDER]`; `all` shares N out by weight.

Needs atheris, which the project does not depend on. An input that breaks a promise is kept as a file in `--findings`;
put it, made as small as it goes (`--minimise FILE`), into `tests/fuzz/findings/TARGET/`, and the tests run it for ever.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from subprocess import run
from typing import Any

from tests.fuzz.target import SCRATCH, scratch

INSTALL = "fuzzing needs atheris, which is not installed here: pip install atheris (into an environment of its own)"
INSTRUMENTED = ["bwvd.evidence", "bwvd.controls", "bwvd.media.nal", "bwvd.config", "tomllib", "json"]
LATE = ["tomllib", "bwvd.config.toml"]  # imported where they are used: too late to be instrumented
HANGS_S = 20  # of wall time: the fuzzer's own limit, behind that of Target.check
RSS_MB = 1500


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz one parser, or all of them.")
    parser.add_argument("target", help="a target's name, or all")
    parser.add_argument("--seconds", type=int, default=60, help="how long (default 60)")
    parser.add_argument("--corpus", type=Path, metavar="FOLDER", help="inputs are read from and added to FOLDER/TARGET")
    parser.add_argument("--findings", type=Path, default=Path(), help="where broken promises are written (default .)")
    parser.add_argument("--minimise", type=Path, metavar="FILE", help="make one finding smaller instead")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    try:
        import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]  # no dependency: only who fuzzes installs it
    except ImportError:
        print(INSTALL, file=sys.stderr)
        return 2
    if asked.inside:
        return fuzz(atheris, asked)
    from tests.fuzz.targets import TARGETS

    if asked.target != "all" and asked.target not in TARGETS:
        print(f"no target {asked.target!r}; there are all, {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    chosen = list(TARGETS.values()) if asked.target == "all" else [TARGETS[asked.target]]
    whole = sum(target.weight for target in chosen)
    worst = 0
    for target in chosen:
        seconds = max(1, round(asked.seconds * target.weight / whole))
        print(f"--- {target.name}, {seconds} s", file=sys.stderr, flush=True)
        # The fuzzer never returns, so it has a process of its own, and what that leaves behind lies in this folder.
        with tempfile.TemporaryDirectory(dir=scratch()) as left:
            extra = ["--inside", "--seconds", str(seconds)]
            for name in ("corpus", "findings", "minimise"):
                if (path := getattr(asked, name)) is not None:
                    extra += [f"--{name}", str(path)]
            command = [sys.executable, "-m", "tests.fuzz", target.name, *extra]
            worst = max(worst, run(command, env={**os.environ, SCRATCH: left}, check=False).returncode)
    return worst


def fuzz(atheris: Any, asked: argparse.Namespace) -> int:
    """Inside the process that does it."""
    with atheris.instrument_imports(include=INSTRUMENTED):
        for name in LATE:
            importlib.import_module(name)
        from tests.fuzz.targets import TARGETS

    target = TARGETS[asked.target]
    seeds = scratch() / "seeds"
    seeds.mkdir()
    for number, seed in enumerate(target.seeds()):
        (seeds / f"{number:03d}").write_bytes(seed)
    asked.findings.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={asked.seconds}",
        "-max_len=65536",
        "-len_control=20",
        f"-timeout={HANGS_S}",
        f"-rss_limit_mb={RSS_MB}",
        f"-artifact_prefix={asked.findings}/{target.name}-",
        "-print_final_stats=1",
    ]
    if asked.minimise is not None:
        options += ["-minimize_crash=1", str(asked.minimise)]
    else:
        folders = [seeds] if asked.corpus is None else [asked.corpus / target.name, seeds]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        options += [str(folder) for folder in folders]
    mutator: dict[str, Any] = {}
    if target.mutate is not None:
        mutator["custom_mutator"] = _mutator(atheris, target.mutate)
    atheris.Setup([sys.argv[0], *options], target.check, **mutator)
    atheris.Fuzz()
    return 0


def _mutator(atheris: Any, mutate: Callable[[bytes, int], bytes]) -> Callable[[bytes, int, int], bytes]:
    """The target's own mutations, one or a few, and the fuzzer's now and then."""

    def mutated(data: bytes, max_size: int, seed: int) -> bytes:
        chosen = random.Random(seed)
        if chosen.random() < 0.25:
            return bytes(atheris.Mutate(data, max_size))
        for _ in range(chosen.choice((1, 1, 2, 4))):
            data = mutate(data, chosen.getrandbits(32))
        return data[:max_size]

    return mutated


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
