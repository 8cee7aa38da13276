"""`bwvd status --watch`: the camera at a glance, for a person at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from bwvd.cli.printing import audio_words, clock_words, position_words
from bwvd.service.status_document import Status, read_status
from bwvd.text import clean, counted

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


@dataclass(frozen=True, slots=True)
class _View:
    """The panel, flatter on a terminal that is too short for it, and then without what makes faults long.

    What is still too much is cut off at its end: the state and the faults come first.
    """

    status: Status

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = options.height or console.size.height
        lines: list[list[Segment]] = []
        for margin, short in ((2, False), (1, False), (0, False), (0, True)):
            panel = _panel(self.status, margin, rows if short else None)
            lines = console.render_lines(panel, options.update(height=None), new_lines=False)
            if len(lines) <= rows:
                break
        for line in lines:
            yield from line
            yield Segment.line()


def view(status: Status) -> RenderableType:
    """One status as a panel. Whatever a text holds, it can't move the cursor or colour the terminal."""
    return _View(status)


def _panel(status: Status, margin: int, rows: int | None) -> Panel:
    """rows: of a terminal on which the faults are to take as few as they can; None = they may take what they need."""
    title = Text()
    if status.faults:  # first: a narrow terminal cuts off the end
        title.append(f"{counted(len(status.faults), 'fault')}  ", style="bold red")
    title.append(f"{clean(status.device, 40)}  bwvd {clean(status.version, 20)}  up {_span(status.uptime_s)}")
    gap = [Text()] if margin else []
    faults = _faults(status) if rows is None else _short_faults(status, rows)
    return Panel(Group(_state(status, margin), *faults, *gap, _parts(status)), title=title, border_style="dim")


def _state(status: Status, margin: int) -> RenderableType:
    """The state as one block of colour across the panel, to be read across a room; `margin` rows above and below."""
    name = clean(status.state, 20)
    text = Text(" ".join(name.replace("_", " ").upper()), justify="center", overflow="ellipsis", no_wrap=True)
    if status.stop_asked:
        text.append("\npress again to confirm the stop")
    return Padding(text, (margin, 1), style=_STYLES.get(status.state, "reverse"))


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
        on_flash = f"{_span(recording.committed_s)} on flash in {counted(recording.segments, 'segment')}"
        table.add_row("recording", Text(f"{_span(recording.seconds)}, {on_flash}\n{clean(recording.id, 80)}"))
    way = f" over {clean(video.transport, 10).upper()}" if video.transport else ""
    stream = f"{clean(video.source, 80)}{way}, {clean(video.encoder, 30) or 'no video'}"
    if video.width:
        stream += f", {video.width}x{video.height}"
    frames = Text(f"{stream}\n{counted(video.frames, 'frame')}")
    frames.append(f", {video.dropped} dropped", style="red" if video.dropped else "")
    table.add_row("video", frames)
    if audio is not None and audio.source:
        heard = audio_words(up=audio.up, muted=audio.muted, pre_event=audio.pre_event)
        table.add_row("audio", Text(f"{clean(audio.source, 80)}\n{heard}"))
    else:
        table.add_row("audio", Text("none configured"))
    table.add_row("storage", _storage(status))
    if storage.commit_ms is not None:
        table.add_row("commit", Text(f"{storage.commit_ms.p50:g} ms, one in a hundred {storage.commit_ms.p99:g} ms"))
    if status.clock.quality:
        table.add_row("clock", Text(clean(clock_words(msgspec.to_builtins(status.clock)), 120)))
    if status.power is not None:
        charge = "" if status.power.percent is None else f"{status.power.percent} %, "
        flags = "".join(f", {clean(flag, 30)}" for flag in status.power.flags)
        table.add_row("power", Text(f"{charge}{clean(status.power.supply, 20)}{flags}"))
    if status.position is not None:
        table.add_row("position", Text(clean(position_words(msgspec.to_builtins(status.position)), 160)))
    table.add_row("controls", Text("\n".join(clean(name, 80) for name in status.controls) or "none"))
    table.add_row("officer", Text("assigned" if status.officer_assigned else "none assigned"))
    return table


def _storage(status: Status) -> Text:
    storage = status.storage
    text = Text(f"{_size(storage.free_bytes)} free for recordings")
    if storage.minutes_left is not None:
        text.append(f", {_span(storage.minutes_left * 60)} left")
    if storage.backlog_bytes:
        text.append(f", {_size(storage.backlog_bytes)} waiting for the flash", style="yellow")
    if storage.strays:
        text.append(f"\nbeside the evidence: {clean(', '.join(storage.strays), 120)}", style="dim")
    if storage.refuses:
        text.append(f"\n{clean(storage.refuses, 200)}", style="bold red")
    return text


def _faults(status: Status) -> list[Text]:
    lines: list[Text] = []
    for name in status.faults:
        detail = status.fault_details.get(name)
        line = Text(f" ! {clean(name, 80)}", style="bold red")
        if detail is not None and detail.detail:
            line.append(f"  {clean(detail.detail, 200)}", style="red")
        lines.append(line)
    return lines


def _short_faults(status: Status, rows: int) -> list[RenderableType]:
    """A row for each fault, its detail cut off; where there are not so many rows, their names in a row."""
    lines = _faults(status)
    taken = 3 + status.stop_asked  # the frame, the state, and the last row, in which it is said that more was cut off
    if len(lines) > rows - taken:
        return [Text("".join(f" ! {clean(name, 80)} " for name in status.faults), style="bold red")]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return list(lines)


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
