"""The figures for a person."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from tests.bench.figures import Findings, Row

_VERDICTS = {True: "met", False: "MISSED", None: ""}


def show(found: Findings, console: Console) -> None:
    """One table, the wake-ups, and what was compared."""
    table = Table(title="bwvd beside ffmpeg: median (min..max)")
    for name in ("figure", "bwvd", "ffmpeg", "ratio", "goal", ""):
        table.add_column(name, overflow="fold")
    group = ""
    for row in found.rows:
        if row.group != group:
            group = row.group
            table.add_section()
            table.add_row(f"[bold]{group}[/bold]")
        table.add_row(*_cells(row))
    console.print(table)
    for number, row in enumerate((row for row in found.rows if row.note), 1):
        console.print(f"  [{number}] {row.group}, {row.what}: {row.note}", markup=False, highlight=False)
    for one in found.threads:
        console.print(f"\nwake-ups per second in standby, {one['group']}:", highlight=False)
        for thread, rate in sorted(one["wakeups_per_s"].items(), key=lambda pair: -pair[1]):
            console.print(f"  {rate:7.2f}  {thread}", markup=False, highlight=False)
    console.print("\nffmpeg's commands:", highlight=False)
    for line in found.compared:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def _cells(row: Row) -> list[str]:
    ratio = row.ratio
    return [
        f"{row.what}, {row.unit}" if row.unit else row.what,
        row.ours.text(row.digits),
        row.theirs.text(row.digits) if row.theirs else "",
        ratio.text(2) if ratio else "",
        row.goal.text if row.goal else "",
        _VERDICTS[row.met],
    ]


def explain(title: str, lines: list[str], console: Console) -> None:
    """A profile under its title."""
    console.print(f"\n{title}", style="bold", markup=False)
    for line in lines:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
