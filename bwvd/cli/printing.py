"""Status of the daemon as a person reads it, and warnings.

Texts that come from outside (labels, ids, fault details) are shown without control characters: a terminal obeys them.
Imports little: `bwvd status` has to answer at once on a small board.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from bwvd.text import clean


def print_status(status: Mapping[str, Any]) -> None:
    """`bwvd status`: what matters, a line each."""
    loop, video, storage, recording = status["loop"], status["video"], status["storage"], status["recording"]
    rows = [
        ("state", str(status["state"]).replace("_", " ")),
        ("device", f"{status['device']}, up {status['uptime_s']:.0f} s"),
        ("loop", f"{loop['seconds']:.1f} of {loop['capacity_s']:g} s, {loop['bytes'] / 1e6:.1f} MB in RAM"),
        ("video", f"{video['source']} by {video['encoder'] or '-'}: {video['frames']} frames, {video['dropped']} lost"),
        ("storage", _storage(storage)),
    ]
    if recording:
        on_flash = f"{recording['committed_s']:.1f} s in {recording['segments']} segments on flash"
        rows.insert(1, ("recording", f"{recording['id']}, {recording['seconds']:.1f} s, {on_flash}"))
    details = status.get("fault_details", {})
    rows += [("fault", f"{name}: {details.get(name, {}).get('detail', '')}") for name in status["faults"]]
    rows += [("control", str(control)) for control in status["controls"]]
    for name, value in rows:
        click.echo(f"{name:10} {clean(value)}")


def _storage(storage: Mapping[str, Any]) -> str:
    minutes = storage["minutes_left"]
    left = f", about {minutes} minutes" if minutes is not None else ""
    return f"{storage['free_bytes'] / 1e9:.2f} GB free{left}, {storage['backlog_bytes'] / 1e6:.1f} MB waiting"


def warn(text: str) -> None:
    """One line on stderr."""
    click.echo(f"bwvd: {clean(text)}", err=True)
    sys.stderr.flush()
