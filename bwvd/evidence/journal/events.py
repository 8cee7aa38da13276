"""Journal entries of the daemon's events: which are entered, and in which words. Pure."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from typing import assert_never

from bwvd.clock import Reading
from bwvd.evidence.journal.journal import Draft
from bwvd.evidence.journal.totals import PROGRESS, Detail
from bwvd.messages import (
    Assigned,
    ClockStepped,
    Event,
    FaultChanged,
    LowStorage,
    Muted,
    Pressed,
    Progressed,
    Recorded,
    Reminder,
    StateChanged,
    StopAsked,
    StopNotConfirmed,
)

TEXT_CHARACTERS = 200  # of a text that comes from outside: a label, a source, a reason

_REPLACED = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, lone surrogates, line and paragraph separators
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def draft_of(event: Event, reading: Reading, *, private: bool) -> Draft | None:
    """The entry that `event` makes; None for what is not worth one.

    Args:
        reading: the clock now; the entry is stamped with the event's own time, by this clock.
        private: there are recipients, so the officer's id is not written in the clear.
    """
    match event:
        case StateChanged():
            detail: Detail = {"state": event.state.value, "before": event.before.value, "cause": clean(event.cause)}
            return _draft("state", _with_recording(detail, event.recording), event.at_ns, reading)
        case Pressed():
            detail = {
                "order": event.order.value,
                "source": clean(event.source),
                "outcome": clean(event.outcome),
                "handled_mono_ns": event.handled_ns,
            }
            if event.reason:
                detail["reason"] = clean(event.reason)
            name = "refused" if event.outcome == "refused" else "press"
            return _draft(name, _with_recording(detail, event.recording), event.at_ns, reading)
        case StopAsked():
            return _draft("stop_asked", {"until_mono_ns": event.until_ns}, event.at_ns, reading)
        case StopNotConfirmed():
            return _draft("stop_not_confirmed", {}, event.at_ns, reading)
        case FaultChanged():
            detail = {"name": clean(event.name), "active": event.active}
            if event.detail:
                detail["detail"] = clean(event.detail)
            return _draft("fault", detail, event.at_ns, reading)
        case Recorded():
            detail = {"recording": clean(event.recording), "serial": event.serial}
            if not event.closed:
                return _draft("opened", detail, event.at_ns, reading)
            detail |= {"reason": clean(event.reason), "segments": event.segments}
            if event.manifest_sha512:
                detail["manifest_sha512"] = event.manifest_sha512
            return _draft("closed", detail, event.at_ns, reading)
        case Progressed():
            detail = {"recording": clean(event.recording), "serial": event.serial, "segments": event.segments}
            detail |= {"duration_ns": event.duration_ns, "manifest_bytes": event.manifest_bytes}
            return _draft(PROGRESS, detail | {"manifest_sha512": event.manifest_sha512}, event.at_ns, reading)
        case LowStorage():
            return _draft("low_storage", {"minutes": event.minutes}, event.at_ns, reading)
        case ClockStepped():
            return _draft("clock", {"step_ns": event.step_ns, "quality": clean(event.quality)}, event.at_ns, reading)
        case Muted():
            return _draft("muted", {"muted": event.muted, "source": clean(event.source)}, event.at_ns, reading)
        case Assigned():
            detail = {"source": clean(event.source), "assigned": bool(event.officer)}
            if event.officer and not private:
                detail["officer"] = clean(event.officer)
            return _draft("assigned", detail, event.at_ns, reading)
        case Reminder():
            return None  # that the recording goes on is what the recording says
        case _:
            assert_never(event)


def clean(text: str) -> str:
    """`text` without what a terminal would obey, at most TEXT_CHARACTERS long."""
    if len(text) > TEXT_CHARACTERS:
        text = text[: TEXT_CHARACTERS - 1] + "…"
    return "".join("\ufffd" if c in _DIRECTIONS or unicodedata.category(c) in _REPLACED else c for c in text)


def _with_recording(detail: Detail, recording: str | None) -> Detail:
    return detail if recording is None else {**detail, "recording": clean(recording)}


def _draft(event: str, detail: Detail, at_ns: int, reading: Reading) -> Draft:
    moved = replace(reading, mono_ns=at_ns, utc_ns=reading.utc_ns + at_ns - reading.mono_ns)
    return Draft(event, detail, moved)
