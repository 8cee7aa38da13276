"""Runs tests against a copy of the tree that holds a mutant."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType

from tests.mutants.mutant import Mutant
from tests.support.source_tree import ROOT

PARTS = ("bwvd", "tests", "systemd", "udev", "pyproject.toml", "README.md")
LONGEST_S = 300.0  # a mutant that hangs has been noticed by whoever waits for the tests

_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
_TESTS_FAILED = 1  # pytest's exit code; others mean that it could not run them


class Verdict(Enum):
    NOTICED = "noticed"
    SURVIVED = "SURVIVED"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one run; `by` names the test that noticed."""

    verdict: Verdict
    by: str


class Copy:
    """A copy of the tree, to be broken and mended; gone at the end of the `with`.

    **Synchronization:** blocking; one caller at a time.
    """

    def __enter__(self) -> Copy:
        self._scratch = tempfile.TemporaryDirectory(prefix="mutants-")
        self.root = Path(self._scratch.name)
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, self.root / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, self.root / part)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._scratch.cleanup()

    def hunt(self, mutant: Mutant) -> Outcome:
        """Break the copy, run the mutant's tests, mend the copy. Raises: NotApplicable; RuntimeError as `run`."""
        path = self.root / "bwvd" / mutant.file
        whole = mutant.infest(self.root / "bwvd")
        try:
            return self.run(mutant.tests)
        finally:
            path.write_text(whole, "utf-8")

    def run(self, tests: Sequence[str]) -> Outcome:
        """Run test files until one fails. Raises: RuntimeError where pytest could not run them at all."""
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *(f"tests/{t}" for t in tests)]
        # Before the installed package, and without compiled files: a mutant may be as old and as long as the original.
        environment = {**os.environ, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=LONGEST_S, check=False
            )
        except subprocess.TimeoutExpired:
            return Outcome(Verdict.NOTICED, f"the tests did not end within {LONGEST_S:.0f} s")
        if done.returncode == 0:
            return Outcome(Verdict.SURVIVED, "no test noticed")
        failed = _FAILED.findall(done.stdout)
        if done.returncode != _TESTS_FAILED or not failed:
            raise RuntimeError(f"pytest ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
        return Outcome(Verdict.NOTICED, failed[0])
