"""The picture of a session in the README: what `bwvd status --watch` shows of a demo that records.

`python -m tests.support.session_picture --write` runs the demo for about ten seconds, asks it over its socket as the
command does, and writes bwvd/docs/session.svg.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bwvd.cli.watch import view
from bwvd.controls.client import Unreachable, watch
from bwvd.service.status_document import read_status
from tests.support.documents import DOCS

PICTURE = DOCS / "session.svg"
COLUMNS = 96
LOOP_S, RECORD_S = 5, 6


def drawn(status: Mapping[str, Any], rows: int = 60) -> str:
    """The watch view of a status as an SVG that loads nothing."""
    console = Console(
        width=COLUMNS, height=rows, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(view(read_status(status)))
    svg = console.export_svg(title="bwvd status --watch", unique_id="session")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # from a server of somebody else


def session() -> Mapping[str, Any]:
    """The status of a real daemon in the middle of a recording: `bwvd demo`, pressed after its loop is full."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bwvd", "demo", "--headless", "--keep", folder]
        command += ["--loop", str(LOOP_S), "--record", str(RECORD_S)]
        demo = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "TZ": "UTC"})
        try:
            while demo.poll() is None:
                try:
                    for reply in watch(str(Path(folder, "control.sock"))):
                        status: Mapping[str, Any] = reply["status"]
                        recording = status["recording"]
                        if recording and recording["committed_s"] > LOOP_S + RECORD_S / 2:
                            return status
                except Unreachable:  # not yet, or the demo is over
                    continue
        finally:
            demo.wait()
    raise RuntimeError("the demo recorded nothing")


@click.command(help="Print the picture of a demo's session, or write it into bwvd/docs/session.svg.")
@click.option("--write", is_flag=True)
def main(write: bool) -> None:
    svg = drawn(session())
    if write:
        PICTURE.write_text(svg, encoding="utf-8")
    else:
        click.echo(svg)


if __name__ == "__main__":
    main()
