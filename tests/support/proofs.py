"""A proof in the hands of a stranger: unpacked, and checked with the very commands of its README."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

from tests.support.stock import need

MADE_BY_IT = ("manifest.sig", "next.sig", "listed", "trusted_key.pub", "trusted_signers")  # by the README's commands


def unpack(proof: Path, to: Path) -> Path:
    with zipfile.ZipFile(proof) as archive:
        archive.extractall(to)
    return to


def run_readme(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run every command of README.txt with sh, one after the other, stopping at the first that fails."""
    for tool in ("ssh-keygen", "sha256sum", "sed", "awk", "ffmpeg", "fold", "xargs"):
        need(tool)
    lines = (folder / "README.txt").read_text().splitlines()
    script = "set -e\n" + "\n".join(line[4:] for line in lines if line.startswith("    "))
    return subprocess.run(["sh", "-c", script], cwd=folder, capture_output=True, text=True, check=False)


def good(done: subprocess.CompletedProcess[str]) -> bool:
    return (
        done.returncode == 0 and 'Good "bwvd-manifest" signature for BWV-0001 with' in done.stdout and not done.stderr
    )
