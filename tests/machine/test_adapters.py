"""The adapters of the controls against the machine's own gpio-sim and uinput: the tests of `adapters.py`, run there."""

from __future__ import annotations

import re

from tests.machine.installed import Installed
from tests.machine.results import Results
from tests.support.source_tree import ROOT

WHERE = "/run/source"  # in RAM
PYTHON = f"cd {WHERE} && PYTHONPATH=/opt/bwvd/venv/lib/python3.11/site-packages:{WHERE} /opt/bed/bin/python"


def test_the_controls_adapters_on_the_kernels_own_lines(standby: Installed, results: Results) -> None:
    machine = standby.machine
    machine.sh("systemctl stop bwvd")
    machine.put(ROOT / "tests", ROOT / "pyproject.toml", to=WHERE)
    done = machine.run(f"{PYTHON} -m pytest -q -m machine -p no:cacheprovider tests/machine/adapters.py", limit_s=900)
    said = done.stdout.strip().splitlines()
    machine.sh(f"rm -rf {WHERE}")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", said[-1])
    assert passed, said[-1]
    assert "skipped" not in said[-1]
    results.add("controls' adapters, conformance", passed[1], said[-1])
