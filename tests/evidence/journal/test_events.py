"""Which events the journal tells, in which words, and what it keeps to itself."""

from __future__ import annotations

import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.clock import NS, Reading
from bwvd.evidence.format import records
from bwvd.evidence.journal.events import TEXT_CHARACTERS, clean, draft_of
from bwvd.evidence.journal.journal import Draft
from bwvd.messages import (
    Assigned,
    ClockStepped,
    Event,
    FaultChanged,
    LowStorage,
    Muted,
    Order,
    Pressed,
    Progressed,
    Recorded,
    Reminder,
    State,
    StateChanged,
    StopAsked,
    StopNotConfirmed,
)

READING = Reading(50 * NS, 1_795_331_703 * NS, "synchronised", 500)
AT = 49 * NS


def draft(event: Event, *, private: bool = False) -> Draft:
    made = draft_of(event, READING, private=private)
    assert made is not None
    return made


CASES: list[tuple[Event, str, dict[str, object]]] = [
    (
        StateChanged(State.RECORDING, State.STANDBY, AT, "gpio:record", "r"),
        "state",
        {"state": "recording", "before": "standby", "cause": "gpio:record", "recording": "r"},
    ),
    (
        Pressed(Order.PRESS, "gpio:record", AT, AT + 5, "recording", recording="r"),
        "press",
        {
            "order": "press",
            "source": "gpio:record",
            "outcome": "recording",
            "handled_mono_ns": AT + 5,
            "recording": "r",
        },
    ),
    (
        Pressed(Order.RECORD, "serial:/dev/ttyS1", AT, AT, "refused", "the flash is full"),
        "refused",
        {
            "order": "record",
            "source": "serial:/dev/ttyS1",
            "outcome": "refused",
            "handled_mono_ns": AT,
            "reason": "the flash is full",
        },
    ),
    (StopAsked(AT, AT + 5 * NS), "stop_asked", {"until_mono_ns": AT + 5 * NS}),
    (StopNotConfirmed(AT), "stop_not_confirmed", {}),
    (FaultChanged("camera", True, AT, "gone"), "fault", {"name": "camera", "active": True, "detail": "gone"}),
    (FaultChanged("camera", False, AT), "fault", {"name": "camera", "active": False}),
    (Recorded("r", 42, AT, closed=False), "opened", {"recording": "r", "serial": 42}),
    (
        Recorded("r", 42, AT, closed=True, reason="stop", segments=9),
        "closed",
        {"recording": "r", "serial": 42, "reason": "stop", "segments": 9},
    ),
    (
        Progressed("r", 42, AT, 60, 61 * NS, 54_321, "ab" * 64),
        "progress",
        {
            "recording": "r",
            "serial": 42,
            "segments": 60,
            "duration_ns": 61 * NS,
            "manifest_bytes": 54_321,
            "manifest_sha512": "ab" * 64,
        },
    ),
    (LowStorage(30, AT), "low_storage", {"minutes": 30}),
    (ClockStepped(AT, -NS, "free"), "clock", {"step_ns": -NS, "quality": "free"}),
    (Muted(True, AT, "socket"), "muted", {"muted": True, "source": "socket"}),
    (Assigned("4711", AT, "socket"), "assigned", {"source": "socket", "assigned": True, "officer": "4711"}),
    (Assigned("", AT, "socket"), "assigned", {"source": "socket", "assigned": False}),
]


@pytest.mark.parametrize(("event", "name", "detail"), CASES)
def test_the_words(event: Event, name: str, detail: dict[str, object]) -> None:
    made = draft(event)
    assert (made.event, made.detail) == (name, detail)


def test_every_kind_of_event_is_thought_of() -> None:
    told = {type(event) for event, _, _ in CASES}
    assert told | {Reminder} == set(typing.get_args(Event))
    assert draft_of(Reminder(AT), READING, private=False) is None


def test_the_stamp_is_the_events_own_time() -> None:
    made = draft(StopNotConfirmed(AT))
    assert (made.reading.mono_ns, made.reading.utc_ns) == (AT, READING.utc_ns - NS)


def test_who_wears_the_device_is_private_where_there_are_recipients() -> None:
    """An officer's id belongs inside encrypted files."""
    made = draft(Assigned("officer 4711", AT, "socket"), private=True)
    assert made.detail == {"source": "socket", "assigned": True}
    assert "4711" not in repr(made)


@given(st.text(st.characters(), max_size=400))
def test_text_from_outside_is_one_harmless_line(text: str) -> None:
    made = draft(Pressed(Order.MARK, text, AT, AT, "refused", text))
    for value in (made.detail["source"], made.detail.get("reason", "")):
        assert isinstance(value, str)
        assert len(value) <= TEXT_CHARACTERS
        assert len(value.splitlines()) <= 1
        assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in value)
    stamp = records.Stamp(mono_ns=0, utc="", quality="")
    line = msgspec.json.encode(records.Entry(n=0, event=made.event, stamp=stamp, detail=made.detail))
    assert b"\n" not in line
    assert msgspec.json.decode(line, type=records.Entry).detail == made.detail


def test_what_people_write_is_kept() -> None:
    assert clean("Größe: naïve 日本語 👩‍🚒 „so“") == "Größe: naïve 日本語 👩‍🚒 „so“"
    assert clean("a\x1b[31mb\u202ec\n") == "a\ufffd[31mb\ufffdc\ufffd"
