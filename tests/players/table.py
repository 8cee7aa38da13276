"""The table of bwvd/docs/players.md: `python -m tests.players.table --write` plays everything for half an hour."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from tests.players.judge import PLAYERS, judged
from tests.players.scenarios import CASES, FORMS, HEVC, MP4, Recording, recorded
from tests.support.documents import DOCS

PAGE = DOCS / "players.md"
BEGIN, END = "<!-- players -->\n", "<!-- /players -->\n"

TRIES = 3

Cells = dict[tuple[str, str, str], str]  # case, form, player


def rows() -> Iterator[tuple[str, str]]:
    """Case and form."""
    for case in CASES:
        yield from ((case, form) for form in FORMS)
    yield HEVC, MP4


def expected() -> Cells:
    """What the page says. Raises: LookupError where it has no table."""
    _, begin, rest = PAGE.read_text("utf-8").partition(BEGIN)
    table, end, _ = rest.partition(END)
    if not (begin and end):
        raise LookupError(f"{PAGE.name} has no {BEGIN.strip()} … {END.strip()}")
    head, _, *lines = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.split("\n") if line]
    return {
        (case, form, player): cell for case, form, *cells in lines for player, cell in zip(head[2:], cells, strict=True)
    }


def rendered(cells: Cells) -> str:
    """The table in Markdown."""
    lines = [f"| recording | form | {' | '.join(PLAYERS)} |", f"| --- | --- |{' --- |' * len(PLAYERS)}"]
    lines += [f"| {case} | {form} | {' | '.join(cells[case, form, one] for one in PLAYERS)} |" for case, form in rows()]
    return "\n".join(lines) + "\n"


def agreed(judge: Callable[[], str], said: str) -> str:
    """What is observed; again where that isn't what is said: on a busy machine a player is late now and then."""
    for _ in range(TRIES - 1):
        if judge() == said:
            return said
    return judge()


def _observed(recording: Recording, form: str, player: str, root: Path) -> str:
    def once() -> str:
        return judged(player, recording, form, Path(tempfile.mkdtemp(dir=root)))

    cell = agreed(once, "yes")
    click.echo(f"{player}: {recording.case}: {form}: {cell}", err=True)
    return cell


@click.command(help="Print the table of players, or write it into bwvd/docs/players.md.")
@click.option("--write", is_flag=True)
@click.option("--jobs", default=1, show_default=True, help="Players at a time.")
@click.option("--case", "only", multiple=True, help="Play these alone; the rest stays as it is.")
@click.option("--player", "by", multiple=True, type=click.Choice(list(PLAYERS)), help="In these alone.")
def main(write: bool, jobs: int, only: tuple[str, ...], by: tuple[str, ...]) -> None:
    keys = [(case, form, player) for case, form in rows() for player in by or PLAYERS if not only or case in only]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        root = Path(folder)
        root.chmod(0o755)
        recordings = {case: recorded(case, root / case) for case in dict.fromkeys(case for case, _, _ in keys)}
        cells = pool.map(lambda key: _observed(recordings[key[0]], key[1], key[2], root), keys)
        found = dict(zip(keys, cells, strict=True))
    table = rendered((expected() if only or by else {}) | found)
    if write:
        before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
        PAGE.write_text(before + BEGIN + table + END + rest.partition(END)[2], "utf-8")
    else:
        click.echo(table, nl=False)


if __name__ == "__main__":
    main()
