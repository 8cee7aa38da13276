"""The table of bwvd/docs/players.md and the README: `python -m tests.players.table --write` plays for an hour."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from tests.players.control import control
from tests.players.judge import MEASURES, PLAYERS, judged, offset
from tests.players.scenarios import CASES, FOLDER, FORMS, HEVC, MP4, OLD, PLAIN, Recording, recorded
from tests.support.documents import DOCS, README

PAGE = DOCS / "players.md"
BEGIN, END = "<!-- players -->\n", "<!-- /players -->\n"
YES, NO, LIMIT = "yes", "no: ", "limit: "
LEAD = "A/V of the control, ms"

Key = tuple[str, str, str]  # case, form, player
Cells = dict[Key, str]


def rows() -> Iterator[tuple[str, str]]:
    """Case and form."""
    for case in [*CASES, HEVC]:
        yield from ((case, form) for form in FORMS if not (case in (OLD, HEVC) and form == FOLDER))


def expected() -> Cells:
    """What the page says, the offsets of the controls among it. Raises: LookupError where it has no table."""
    head, _, *lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in _between(PAGE)]
    return {
        (case, form, player): cell
        for _, case, form, *cells in lines
        for player, cell in zip(head[3:], cells, strict=True)
    }


def rendered(cells: Cells) -> str:
    """The table in Markdown, the cases numbered."""
    lines = [f"| no. | recording | form | {' | '.join(PLAYERS)} |", f"| --- | --- | --- |{' --- |' * len(PLAYERS)}"]
    lines += [
        f"| {_number(case)} | {case} | {form} | {' | '.join(cells[case, form, one] for one in PLAYERS)} |"
        for case, form in [*rows(), *((LEAD, form) for form in FORMS)]
    ]
    return "".join(f"{line}\n" for line in lines)


def compact(cells: Cells) -> str:
    """What the README says: each player and form, and the exceptions by the numbers of their cases."""
    lines = ["| player | the folder | an exported MP4 |", "| --- | --- | --- |"]
    lines += [
        f"| {player} | {_exceptions(cells, player, FOLDER)} | {_exceptions(cells, player, MP4)} |" for player in PLAYERS
    ]
    return "".join(f"{line}\n" for line in lines)


def cell(missed: frozenset[str], of_control: frozenset[str]) -> str:
    """yes, or what is missed: of the recording alone, and of its control as well."""
    own = [one for one in MEASURES if one in missed - of_control]
    shared = [one for one in MEASURES if one in missed & of_control]
    said = [NO + ", ".join(own)] * bool(own) + [LIMIT + ", ".join(shared)] * bool(shared)
    return "; ".join(said) or YES


class Show:
    """Recordings, their controls, and what players miss of them; each is made and asked for once.

    root: a folder that everybody may read, and nobody else writes to: VLC does not run as root.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._recordings: dict[str, Recording] = {}
        self._controls: dict[tuple[str, str], Recording] = {}
        self._leads: dict[tuple[str, str], float] = {}
        self._limits: dict[Key, frozenset[str]] = {}

    def observed(self, case: str, form: str, player: str) -> str:
        """A cell of the table."""
        missed = judged(player, self.recording(case), form, self.root, self.lead_s(form, player))
        if not missed:
            return YES
        # Stock ffmpeg has made the HEVC file itself.
        return cell(missed, missed if case == HEVC else self.limits(CASES[case].shape, form, player))

    def limits(self, case: str, form: str, player: str) -> frozenset[str]:
        """What the player misses of the case's control."""
        if (case, form, player) not in self._limits:
            made = self.control(case, form)
            self._limits[case, form, player] = judged(player, made, form, self.root, self.lead_s(form, player))
        return self._limits[case, form, player]

    def lead_s(self, form: str, player: str) -> float:
        """The A/V offset of a plain control in the player."""
        if (form, player) not in self._leads:
            film = self.control(PLAIN, form).films(form)[0]
            self._leads[form, player] = offset(player, film, self.root)
        return self._leads[form, player]

    def recording(self, case: str) -> Recording:
        if case not in self._recordings:
            self._recordings[case] = recorded(case, self.root / f"recording-{len(self._recordings)}")
        return self._recordings[case]

    def control(self, case: str, form: str) -> Recording:
        if (case, form) not in self._controls:
            root = self.root / f"control-{len(self._controls)}"
            self._controls[case, form] = control(self.recording(case), form, root)
        return self._controls[case, form]


def _number(case: str) -> str:
    return "" if case == LEAD else str([*CASES, HEVC].index(case) + 1)


def _exceptions(cells: Cells, player: str, form: str) -> str:
    by_cell: dict[str, list[str]] = {}
    for case, of in rows():
        if of == form and (said := cells[case, form, player]) != YES:
            by_cell.setdefault(said, []).append(_number(case))
    said = "; ".join(f"{', '.join(numbers)} ({what})" for what, numbers in by_cell.items())
    return f"all but {said}" if said else "all"


def _between(page: Path) -> list[str]:
    _, begin, rest = page.read_text("utf-8").partition(BEGIN)
    table, end, _ = rest.partition(END)
    if not (begin and end):
        raise LookupError(f"{page.name} has no {BEGIN.strip()} … {END.strip()}")
    return table.splitlines()


def _put(page: Path, table: str) -> None:
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    page.write_text(before + BEGIN + table + END + rest.partition(END)[2], "utf-8")


@click.command(help="Print the table of players, or write it into bwvd/docs/players.md and the README.")
@click.option("--write", is_flag=True)
@click.option("--case", "only", multiple=True, help="Play these alone; the rest stays as it is.")
@click.option("--player", "by", multiple=True, type=click.Choice(list(PLAYERS)), help="In these alone.")
def main(write: bool, only: tuple[str, ...], by: tuple[str, ...]) -> None:
    cells = expected() if only or by else {}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        show = Show(Path(folder))
        for case, form in rows():
            for player in by or PLAYERS:
                if not only or case in only:
                    said = cells[case, form, player] = show.observed(case, form, player)
                    cells[LEAD, form, player] = f"{1000 * show.lead_s(form, player):.0f}"
                    click.echo(f"{player}: {case}: {form}: {said}", err=True)
    if write:
        _put(PAGE, rendered(cells))
        _put(README, compact(cells))
    else:
        click.echo(rendered(cells) + compact(cells), nl=False)


if __name__ == "__main__":
    main()
