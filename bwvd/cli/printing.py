"""Status of the daemon as a person reads it, and warnings.

Texts that come from outside (labels, ids, fault details) are shown without control characters: a terminal obeys them.
Imports little: `bwvd status` has to answer at once on a small board.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from bwvd.cli.offload_state import offload_rows
from bwvd.text import clean, counted

# What is known of the wall clock, by its quality in the status.
CLOCK_QUALITIES = {
    "synchronised": "synchronised",
    "free": "not synchronised: set once, and running free since",
    "not_set": "never set",
}
KEEPERS = ("chrony", "systemd-timesyncd")  # of the clock; what is not known is not said


def _video(video: Mapping[str, Any]) -> str:
    way = f" over {video['transport'].upper()}" if video.get("transport") else ""
    return f"{video['source']}{way} by {video['encoder'] or '-'}: {video['frames']} frames, {video['dropped']} lost"


def print_status(status: Mapping[str, Any]) -> None:
    """`bwvd status`: what matters, a line each."""
    loop, video, recording = status["loop"], status["video"], status["recording"]
    rows = [
        ("state", str(status["state"]).replace("_", " ")),
        ("device", f"{status['device']}, up {status['uptime_s']:.0f} s"),
        ("loop", f"{loop['seconds']:.1f} of {loop['capacity_s']:g} s, {loop['bytes'] / 1e6:.1f} MB in RAM"),
        ("video", _video(video)),
        ("audio", _audio(status.get("audio"))),
        ("storage", _storage(status["storage"])),
        ("clock", clock_words(status.get("clock", {}))),
        *([("position", position_words(status["position"]))] if status.get("position") else []),
        ("officer", "assigned" if status.get("officer_assigned") else "none assigned"),
    ]
    if recording:
        on_flash = f"{recording['committed_s']:.1f} s in {counted(recording['segments'], 'segment')} on flash"
        rows.insert(1, ("recording", f"{recording['id']}, {recording['seconds']:.1f} s, {on_flash}"))
    details = status.get("fault_details", {})
    faults = ((name, details.get(name, {}).get("detail", "")) for name in status["faults"])
    rows += [("fault", f"{name}: {detail}" if detail else name) for name, detail in faults]
    rows += [("control", str(control)) for control in status["controls"]]
    rows += offload_rows(status)
    for name, value in rows:
        click.echo(f"{name:10} {clean(value)}")


def clock_words(clock: Mapping[str, Any]) -> str:
    """The time of day and how far it can be trusted."""
    quality = clock.get("quality", "")
    if not quality:
        return "-"
    bound = clock.get("uncertainty_us")
    within = "" if bound is None else f" within {bound / 1000:g} ms"
    by, reference = clock.get("by", ""), clock.get("reference", "")
    keeper = f", by {by}" if by in KEEPERS else ""
    origin = f" from {reference}" if keeper and reference else ""
    return f"{clock.get('utc', '')}, {CLOCK_QUALITIES.get(quality, quality)}{within}{keeper}{origin}"


def position_words(position: Mapping[str, Any]) -> str:
    """What the satellite receiver gives. Where that is, only recordings say."""
    source, mode = position.get("source", ""), position.get("mode", 0)
    if position.get("receiver") == "lost":
        return f"{source}: the receiver does not answer"
    if not mode:
        return f"{source}: no position"
    satellites, error_m, age_s = (position.get(name) for name in ("satellites", "error_m", "age_s"))
    by = "" if satellites is None else f" by {counted(satellites, 'satellite')}"
    within = "" if error_m is None else f" ±{error_m:.0f} m"
    ago = "" if age_s is None else f", {age_s:.1f} s ago"
    return f"{source}: in {'three' if mode == 3 else 'two'} dimensions{by}{within}{ago}"


def audio_words(*, up: bool, muted: bool, pre_event: bool) -> str:
    """What becomes of the sound of a source that is configured."""
    if not up:
        return "no audio arrives"
    if muted:
        return "muted"
    return "in the loop and in recordings" if pre_event else "in recordings from the press on, not in the loop"


def _audio(audio: Mapping[str, Any] | None) -> str:
    if not audio or not audio.get("source"):
        return "none configured"
    known = {name: bool(audio.get(name)) for name in ("up", "muted", "pre_event")}
    return f"{audio['source']}: {audio_words(**known)}"


def _storage(storage: Mapping[str, Any]) -> str:
    minutes = storage["minutes_left"]
    left = f", about {minutes} minutes" if minutes is not None else ""
    refused = f"; {storage['refuses']}" if storage.get("refuses") else ""
    return (
        f"{storage['free_bytes'] / 1e9:.2f} GB free for recordings{left}, "
        f"{storage['backlog_bytes'] / 1e6:.1f} MB waiting for the flash{refused}"
    )


def warn(text: str) -> None:
    """One line on stderr."""
    click.echo(f"bwvd: {clean(text)}", err=True)
    sys.stderr.flush()
