"""The page of the protocols names every order, line, event, request and field that there is, and none that is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from bwvd.controls import serial_protocol, socket_protocol
from bwvd.daemon.socket_requests import SOCKET_REQUESTS
from bwvd.messages import (
    ClockStepped,
    FaultChanged,
    LowStorage,
    Muted,
    Order,
    Pressed,
    Recorded,
    Reminder,
    State,
    StateChanged,
    StopAsked,
    StopNotConfirmed,
)
from bwvd.service.status_document import Status
from tests.support.documents import section

OLD_NAMES = {"did"}  # still answered, told to nobody

EVENTS = (
    StateChanged(State.RECORDING, State.STANDBY, 0, "gpio:record", "ID"),
    Recorded("ID", 1, 0, closed=False),
    Recorded("ID", 1, 0, closed=True, reason="stop"),
    Pressed(Order.PRESS, "gpio:record", 0, 0, "marker", recording="ID"),
    Pressed(Order.PRESS, "gpio:record", 0, 0, "refused", "the flash is full"),
    StopAsked(0, 5_000_000_000),
    StopNotConfirmed(0),
    Reminder(0),
    Muted(True, 0, "socket"),
    Muted(False, 0, "socket"),
    FaultChanged("camera", True, 0, "unplugged"),
    FaultChanged("camera", False, 0),
    LowStorage(30, 0),
    ClockStepped(0, 1, "free"),
)


def first_cells(heading: str) -> list[str]:
    """The code in the first column of a section's tables."""
    cells = re.findall(r"^\| (.*?) \|", section("protocols", heading), re.MULTILINE)
    return [code for cell in cells for code in re.findall(r"`([^`]+)`", cell)]


def test_every_order_is_told() -> None:
    cells = " ".join(
        re.findall(r"^\| (.*?) \|", section("protocols", "Orders").partition("With each")[0], re.MULTILINE)
    )
    assert set(re.findall(r"[a-z]+", cells)) - {"order"} == {order.value for order in Order}


def test_every_line_is_told() -> None:
    told = {cell.split()[0] for cell in first_cells("The serial line") if not cell.startswith("EVT")}
    known = {*serial_protocol._ORDERS, *serial_protocol._QUESTIONS}
    assert told == known


def test_every_event_is_told() -> None:
    told = {re.sub(r" [A-Z].*", "", cell) for cell in first_cells("The serial line") if cell.startswith("EVT")}
    sent = {serial_protocol.event_line(event) or "" for event in EVENTS}
    assert all(any(line.startswith(f"{head}") for line in sent) for head in told), "a line that is never sent"
    assert all(any(line.startswith(head) for head in told) for line in sent), "a line that is not told"


def test_every_request_is_told() -> None:
    text = section("protocols", "The control socket")
    told = set(re.findall(r'"cmd": "(\w+)"', text)) | set(
        re.findall(r"and `(.*?)` \|", text)[0].replace("`", "").split(", ")
    )
    assert told == {*socket_protocol.ORDERS, *SOCKET_REQUESTS, "status", "watch"} - OLD_NAMES


def test_every_field_of_the_status_is_told() -> None:
    told = set(re.findall(r"`(\w+)`", section("protocols", "The status")))
    fields = set(_fields(Status))
    assert {"committed_s", "detail", "p99"} <= fields
    assert fields - told == set()


def _fields(part: type[msgspec.Struct]) -> Iterator[str]:
    for name, hint in get_type_hints(part).items():
        yield name
        for inner in _structs(hint):
            yield from _fields(inner)


def _structs(hint: Any) -> Iterator[type[msgspec.Struct]]:
    if get_origin(hint) is None:
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            yield hint
        return
    for argument in get_args(hint):
        yield from _structs(argument)
