"""`bwvd list`: the recordings on this device or at any path, all or those that match."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import click

from bwvd.cli.moments import FROM_TIME, TO_TIME
from bwvd.cli.options import (
    NAME,
    Failure,
    config_option,
    identity_option,
    json_option,
    load_config,
    print_json,
    signers_option,
)
from bwvd.cli.printing import warn
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.export.catalogue import Entry
from bwvd.evidence.export.private_text import Reader, unopened
from bwvd.evidence.export.search import Unsure, Wanted, search
from bwvd.evidence.format.layout import RECORDINGS
from bwvd.evidence.verify.gather import Place, gather
from bwvd.evidence.verify.report import OF_RECORDINGS
from bwvd.text import counted


@click.command("list")
@config_option
@json_option
@click.option(
    "--from", "begin", type=FROM_TIME, metavar="UTC", help="Those of which a part lies at or behind this time."
)
@click.option("--to", "end", type=TO_TIME, metavar="UTC", help="Those that began before it; a day is a whole one.")
@click.option("--officer", metavar="ID", help="Those of this officer.")
@click.option("--marker", metavar="TEXT", help='Those with a marker whose label holds TEXT; "" is any marker.')
@click.option("--device", metavar="ID", help="Those of this device.")
@click.option(
    "--verdict",
    "wanted_verdicts",
    multiple=True,
    type=click.Choice(OF_RECORDINGS),
    help="Verify them, which reads every byte, and show those with this verdict.",
)
@signers_option("For --verdict: allowed_signers file; only these keys count.")
@identity_option("Opens sealed officers and markers.")
@click.argument("paths", type=NAME, nargs=-1, metavar="[PATH…]")
def list_(
    config_path: str,
    as_json: bool,
    begin: datetime.datetime | None,
    end: datetime.datetime | None,
    officer: str | None,
    marker: str | None,
    device: str | None,
    wanted_verdicts: tuple[str, ...],
    signers: str | None,
    identities: tuple[str, ...],
    paths: tuple[str, ...],
) -> None:
    """List the recordings on this device, or at and below each PATH: a card, any folder, a proof."""
    if signers and not wanted_verdicts:
        raise click.UsageError("--signers is for --verdict")
    if begin and end and begin >= end:
        raise click.UsageError("--from is not before --to")
    wanted, unsure = Wanted(begin, end, device, officer, marker), Unsure()
    try:
        places = _places(config_path, paths)
        found = list(search(places, wanted, unsure, _reader_of(identities)))
        if wanted_verdicts:
            found = _judged(config_path, found, wanted_verdicts, signers, quiet=as_json)
    except EvidenceError as error:
        raise Failure(str(error), 2) from None
    entries = [entry for _, entry in found]
    several = len({entry.device for entry in entries}) > 1
    # A device counts its recordings; between devices there is the time alone.
    entries.sort(key=lambda entry: (entry.started if several else "", entry.serial or 0, entry.id))
    for place in places:
        if place.why:
            warn(f"{place}: {place.why.removeprefix(f'{place}: ')}")
    _warn(unsure, identities)
    if as_json:
        print_json([asdict(entry) for entry in entries])
        return
    from bwvd.cli.evidence_printing import print_list

    print_list(entries, anywhere=bool(paths), marker=marker or "")


def _places(config_path: str, paths: Sequence[str]) -> list[Place]:
    """Raises: NothingThere."""
    if paths:
        return list(dict.fromkeys(place for path in paths for place in gather(Path(path))))
    recordings = Path(load_config(config_path).storage.path) / RECORDINGS
    return gather(recordings) if recordings.exists() else []  # a device that has recorded nothing yet


def _reader_of(identities: Sequence[str]) -> Callable[[Place], Reader]:
    """Raises: IdentityUnusable."""
    if not identities:
        return lambda _: unopened
    from bwvd.evidence.export.sealed_text import reader_at  # here: who has no identity needs no cryptography
    from bwvd.evidence.keys.age import load_identities

    keys = load_identities(identities)
    return lambda place: reader_at(place, keys)


def _judged(
    config_path: str, found: list[tuple[Place, Entry]], wanted: Sequence[str], signers: str | None, *, quiet: bool
) -> list[tuple[Place, Entry]]:
    """Those with one of the verdicts. Raises: SignersUnusable."""
    from bwvd.cli.progress import progress_bar, size_of  # from here on: what verifies is heavy, and few ask for it
    from bwvd.cli.vouching import vouching
    from bwvd.evidence.export.verdicts import verdicts

    allowed = vouching(config_path, signers)
    places = [place for place, _ in found]
    with progress_bar(size_of([str(place.path) for place in places]), "verify", quiet=quiet) as progress:
        reports = verdicts(places, allowed, progress=progress)
    judged = [(place, replace(entry, verdict=reports[place].verdict)) for place, entry in found]
    return [(place, entry) for place, entry in judged if entry.verdict in wanted]


def _warn(unsure: Unsure, identities: Sequence[str]) -> None:
    """Say what was left out though it may be what was looked for."""
    if unsure.clock:
        warn(f"{counted(unsure.clock, 'recording')} left out for --from, --to: the camera's clock was not set")
    if unsure.sealed:
        how = "none of the identities opens" if identities else "only --identity opens"
        warn(f"{counted(unsure.sealed, 'recording')} left out: sealed texts that {how}")
    if unsure.unreadable:
        warn(f"{counted(unsure.unreadable, 'recording')} left out: not readable")
