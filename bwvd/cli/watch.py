"""`bwvd status --watch`: the camera at a glance, for a person at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.align import Align
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bwvd.service.status_document import Status, read_status
from bwvd.text import clean

_STYLES = {
    "asleep": "white on grey30",
    "standby": "bold black on green",
    "recording": "bold white on red",
    "post_roll": "bold black on yellow",
}


def show(documents: Iterable[Mapping[str, Any]], console: Console | None = None) -> None:
    """Show each status as it comes, until there are no more or somebody presses Ctrl-C. Blocking.

    Raises: what `documents` raises, StatusUnreadable.
    """
    with Live(console=console or Console(), auto_refresh=False, screen=False) as live:
        try:
            for document in documents:
                live.update(view(read_status(document)), refresh=True)
        except KeyboardInterrupt:
            pass  # how one leaves a live view


def view(status: Status) -> RenderableType:
    """One status as a panel. Whatever a text holds, it can't move the cursor or colour the terminal."""
    title = Text(f"{clean(status.device, 40)}  bwvd {clean(status.version, 20)}  up {_span(status.uptime_s)}")
    return Panel(Group(_state(status), Text(), _parts(status), *_faults(status)), title=title, border_style="dim")


def _state(status: Status) -> RenderableType:
    """The state, large enough to be read across a room."""
    name = clean(status.state, 20)
    text = Text(f"\n   {' '.join(name.replace('_', ' ').upper())}   \n", justify="center")
    text.stylize(_STYLES.get(status.state, "reverse"))
    lines: list[RenderableType] = [Align.center(text)]
    if status.stop_asked:
        lines.append(Align.center(Text("press again to confirm the stop", style="bold yellow")))
    return Group(*lines)


def _parts(status: Status) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column()
    loop, video, audio, storage, recording = status.loop, status.video, status.audio, status.storage, status.recording
    full = max(loop.capacity_s, 0.001)
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(total=full, completed=min(max(loop.seconds, 0.0), full), width=40, finished_style="green"),
        Text(f"{loop.seconds:.1f} of {loop.capacity_s:g} s, {_size(loop.bytes)}"),
    )
    table.add_row("loop", bar)
    if recording is not None:
        on_flash = f"{_span(recording.committed_s)} on flash in {recording.segments} segments"
        table.add_row("recording", Text(f"{_span(recording.seconds)}, {on_flash}\n{clean(recording.id, 80)}"))
    stream = f"{clean(video.source, 80)}, {clean(video.encoder, 30) or 'no picture'}"
    if video.width:
        stream += f", {video.width}x{video.height}"
    frames = Text(f"{stream}\n{video.frames} frames")
    frames.append(f", {video.dropped} dropped", style="red" if video.dropped else "")
    table.add_row("video", frames)
    if audio is not None and audio.source:
        heard = "muted" if audio.muted else "on" if audio.up else "off"
        before = ", in the loop too" if audio.pre_event else ""
        table.add_row("audio", Text(f"{clean(audio.source, 80)}, {heard}{before}"))
    table.add_row("storage", _storage(status))
    if storage.commit_ms is not None:
        table.add_row("commit", Text(f"{storage.commit_ms.p50:g} ms, one in a hundred {storage.commit_ms.p99:g} ms"))
    if status.clock.quality:
        bound = "" if status.clock.uncertainty_us is None else f", within {status.clock.uncertainty_us / 1000:g} ms"
        table.add_row("clock", Text(f"{clean(status.clock.utc, 40)}, {clean(status.clock.quality, 20)}{bound}"))
    if status.power is not None:
        charge = "" if status.power.percent is None else f"{status.power.percent} %, "
        flags = "".join(f", {clean(flag, 30)}" for flag in status.power.flags)
        table.add_row("power", Text(f"{charge}{clean(status.power.supply, 20)}{flags}"))
    table.add_row("controls", Text("\n".join(clean(name, 80) for name in status.controls) or "none"))
    table.add_row("worn by", Text("assigned" if status.officer_assigned else "nobody"))
    return table


def _storage(status: Status) -> Text:
    storage = status.storage
    text = Text(f"{_size(storage.free_bytes)} free")
    if storage.minutes_left is not None:
        text.append(f", {_span(storage.minutes_left * 60)} left")
    if storage.backlog_bytes:
        text.append(f", {_size(storage.backlog_bytes)} waiting", style="yellow")
    if storage.refuses:
        text.append(f"\n{clean(storage.refuses, 200)}", style="bold red")
    return text


def _faults(status: Status) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for name in status.faults:
        detail = status.fault_details.get(name)
        line = Text(f" ! {clean(name, 80)}", style="bold red")
        if detail is not None and detail.detail:
            line.append(f"  {clean(detail.detail, 200)}", style="red")
        lines.append(line)
    return [Text(), *lines] if lines else []


def _span(seconds: float) -> str:
    """`42 s`, `12:05`, `3:07:00`."""
    whole = int(max(seconds, 0))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"


def _size(count: int) -> str:
    """`4.2 MB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
