"""The line that the demo shows: the loop as a bar, the state, what is on flash. Pure."""

from __future__ import annotations

from rich.text import Text

from bwvd.service.status_document import Status
from bwvd.text import counted

BAR_CELLS = 12  # state, refusal and a fault fit into 80 columns; what is behind them may be cut off
# Reasons in the words of the protocols, and in those of a person.
REASONS = {"recording": "a recording runs", "not recording": "nothing is being recorded"}
COLOURS = {"asleep": "blue", "standby": "green", "recording": "bold red", "post_roll": "bold yellow"}


def status_line(status: Status, answer: str = "", refused: str = "") -> Text:
    """A status on one line, with the answer to the last key, or why it was refused."""
    loop, video, storage, recording = status.loop, status.video, status.storage, status.recording
    filled = round(BAR_CELLS * min(1.0, loop.seconds / loop.capacity_s)) if loop.capacity_s else 0
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append("█" * filled + "░" * (BAR_CELLS - filled), style="cyan")
    line.append(f" {loop.seconds:5.1f} s {loop.bytes / 1e6:5.1f} MB  ")
    line.append(status.state.replace("_", " ").upper(), style=COLOURS.get(status.state, ""))
    if refused:
        line.append(f"  refused: {REASONS.get(refused, refused)}", style="bold red")
    if status.stop_asked:
        line.append("  stop asked: space confirms", style="bold yellow")
    elif answer:
        line.append(f"  {answer}", style="italic")
    for fault in status.faults:  # before what a narrow terminal cuts off
        line.append(f"  ! {fault}", style="bold red")
    if recording:
        line.append(f"  {recording.committed_s:.1f} s on flash in {counted(recording.segments, 'segment')}")
    line.append(f"  {counted(video.frames, 'frame')}")
    if video.dropped:
        line.append(f" ({video.dropped} lost)", style="red")
    minutes = storage.minutes_left
    line.append(f"  room for {minutes:.0f} min" if minutes is not None else f"  {storage.free_bytes / 1e9:.1f} GB free")
    return line
