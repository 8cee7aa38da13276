"""Search for recordings: by time, device, officer and marker, in what their own records say. Judges nothing."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from bwvd.evidence.export.catalogue import Entry, entry, with_texts
from bwvd.evidence.export.private_text import PrivateText, Reader, unopened
from bwvd.evidence.format.utc import parse_utc
from bwvd.evidence.verify.gather import Place


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; None = anything. Of texts neither case nor Unicode's ways to write a letter count."""

    begin: datetime.datetime | None = None  # that a part of the recording lies at or behind it
    end: datetime.datetime | None = None  # before it
    device: str | None = None  # the whole id
    officer: str | None = None  # the whole id of anybody who wore the device
    marker: str | None = None  # a part of a label; "" = any marker

    @property
    def texts(self) -> bool:
        """Whether all of each manifest has to be looked through."""
        return self.officer is not None or self.marker is not None


@dataclass(slots=True)
class Unsure:
    """Recordings that were left out though they may be what is looked for."""

    clock: int = 0  # it was not set: nobody knows when they were made
    sealed: int = 0  # texts that nothing opens
    unreadable: int = 0


def search(
    places: Iterable[Place], wanted: Wanted, unsure: Unsure, read: Callable[[Place], Reader] = lambda _: unopened
) -> Iterator[tuple[Place, Entry]]:
    """The recordings that match, in the order of their places. Counts in `unsure` those of which nobody can tell."""
    for place in places:
        one = entry(place, read(place))
        if one.end == "unreadable":
            if wanted == Wanted():
                yield place, one
            else:
                unsure.unreadable += 1
            continue
        if wanted.device is not None and folded(one.device) != folded(wanted.device):
            continue
        if not in_time(one.started, one.seconds, one.clock, wanted):
            unsure.clock += one.clock == "not_set"
            continue
        if wanted.texts:
            one = with_texts(one, place, read(place))
            officer = has(one.officers, wanted.officer, whole=True)
            marker = has(one.markers or [], wanted.marker, whole=False)
            if officer is None or marker is None:
                unsure.sealed += officer is not False and marker is not False
                continue
            if not (officer and marker):
                continue
        yield place, one


def in_time(started: str, seconds: float, clock: str, wanted: Wanted) -> bool:
    """Whether a part of a recording that began then lies in the time that is looked for."""
    if wanted.begin is None and wanted.end is None:
        return True
    began = parse_utc(started)
    if began is None or clock == "not_set":
        return False
    try:
        ended = began + datetime.timedelta(seconds=seconds)
    except OverflowError:
        return False
    return (wanted.end is None or began < wanted.end) and (wanted.begin is None or ended >= wanted.begin)


def has(texts: Iterable[PrivateText], wanted: str | None, *, whole: bool) -> bool | None:
    """Whether one of the texts is what is looked for; None = one that is not known may be it."""
    if wanted is None:
        return True
    sought, maybe = folded(wanted), False
    for text in texts:
        if wanted == "" and not whole:
            return True
        if text.unknown:
            maybe = True
        elif folded(text.text) == sought if whole else sought in folded(text.text):
            return True
    return None if maybe else False


def found_at(text: str, sought: str) -> int:
    """Where in `text` the last of what is looked for begins, as a search for a marker finds it; -1 = nowhere. Pure."""
    import bisect  # here: few lists are searched

    sought = folded(sought)
    # From that place on it is found, and from no later one: folding a letter may change how many there are.
    return bisect.bisect_left(range(len(text)), True, key=lambda at: sought not in folded(text[at:])) - 1


def folded(text: str) -> str:
    """`text` as texts are compared: neither case nor Unicode's ways to write a letter count."""
    if text.isascii():
        return text.lower()
    import unicodedata  # here: few lists are searched, and most ids are ASCII

    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
