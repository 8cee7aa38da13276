"""The text protocol of a serial line. Pure: bytes in, requests out, and the time is an argument.

    RECORD · STOP · MARK text · SLEEP · WAKE · MUTE · UNMUTE · OFFICER id · STATUS · PING · HELP   →   OK … | ERR reason
    unasked: EVT …

A line is up to MAX_LINE_BYTES printable ASCII characters, ended by CR, LF or both; verbs in any case. Anything else,
any length, any bytes, is answered with ERR, and nothing else happens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from bwvd.clock import NS
from bwvd.controls.storm import Bucket
from bwvd.messages import (
    Answer,
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
    StateChanged,
    StopAsked,
    StopNotConfirmed,
)

MAX_LINE_BYTES = 256
# So many ERR at once, then four a second: noise that is answered in full would feed a line that echoes.
ERR_BURST = 32
ERR_REFILL_NS = NS // 4

_ORDERS = {
    "RECORD": Order.RECORD,
    "STOP": Order.STOP,
    "MARK": Order.MARK,
    "SLEEP": Order.SLEEP,
    "WAKE": Order.WAKE,
    "MUTE": Order.MUTE,
    "UNMUTE": Order.UNMUTE,
    "OFFICER": Order.ASSIGN,
}
_WITH_TEXT = frozenset({Order.MARK, Order.ASSIGN})
_QUESTIONS = frozenset({"STATUS", "PING", "HELP"})


@dataclass(frozen=True, slots=True)
class Ordered:
    """A line that asks for something."""

    order: Order
    text: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A line that asks a question: "STATUS", "PING" or "HELP"."""

    verb: str


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    reason: str


Said = Ordered | Asked | NotUnderstood


def parse_line(line: bytes) -> Said:
    """Parse one line, without its end."""
    if len(line) > MAX_LINE_BYTES:
        return NotUnderstood("line too long")
    if not all(0x20 <= byte < 0x7F for byte in line):
        return NotUnderstood("not printable ASCII")
    verb, _, text = line.decode("ascii").strip().partition(" ")
    verb, text = verb.upper(), text.strip()
    if not verb:
        return NotUnderstood("empty line")
    order = _ORDERS.get(verb)
    if order is None and verb not in _QUESTIONS:
        return NotUnderstood("unknown command")
    if text and order not in _WITH_TEXT:
        return NotUnderstood(f"{verb} takes no text")
    return Asked(verb) if order is None else Ordered(order, text)


class LineReader:
    """Cuts a stream of any bytes into lines. Holds MAX_LINE_BYTES at most. **Synchronization:** one caller."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._swallowing = False  # the rest of a line that was too long
        self._after_cr = False

    def feed(self, data: bytes) -> list[Said]:
        """Parse the lines that `data` completes. A line that gets too long is said once, when it does."""
        said: list[Said] = []
        if self._after_cr and data[:1] == b"\n":
            data = data[1:]
            self._after_cr = False
        if not data:
            return said
        self._after_cr = data.endswith(b"\r")
        # bytes.splitlines knows CR, LF and CRLF, and no others.
        for piece in data.splitlines(keepends=True):
            content = piece.rstrip(b"\r\n")
            if not self._swallowing:
                if len(self._line) + len(content) > MAX_LINE_BYTES:
                    said.append(NotUnderstood("line too long"))
                    self._swallowing = True
                    self._line.clear()
                else:
                    self._line += content
            if len(content) < len(piece):
                if not self._swallowing:
                    said.append(parse_line(bytes(self._line)))
                self._swallowing = False
                self._line.clear()
        return said


class ErrorLimit:
    """Answers the first ERR_BURST bad lines, then one every ERR_REFILL_NS, and says how many went unanswered."""

    def __init__(self) -> None:
        self._bucket = Bucket(ERR_BURST, ERR_REFILL_NS)
        self.unanswered = 0

    def line(self, reason: str, now_ns: int) -> str | None:
        """The ERR line for a bad line, or None."""
        if not self._bucket.lets_through(now_ns):
            self.unanswered += 1
            return None
        more, self.unanswered = self.unanswered, 0
        return one_line(f"ERR {reason}" + (f" ({more} more)" if more else ""))


def one_line(text: str) -> str:
    """Printable ASCII, no longer than a line may be: whatever was in a label stays one line."""
    plain = text.encode("ascii", "replace").decode("ascii")
    return "".join(char if char.isprintable() else " " for char in plain)[:MAX_LINE_BYTES].rstrip()


def answer_line(answer: Answer) -> str:
    if not answer.ok:
        return one_line(f"ERR {answer.text}")
    recording = f" {answer.recording}" if answer.recording and answer.recording not in answer.text else ""
    return one_line(f"OK {answer.text}{recording}")


def help_line() -> str:
    """The commands, those that take text with what it is."""
    texts = {Order.MARK: " text", Order.ASSIGN: " id"}
    orders = [f"{verb}{texts.get(order, '')}" for verb, order in _ORDERS.items()]
    return one_line("OK " + ", ".join([*orders, *sorted(_QUESTIONS)]))


def status_line(status: Mapping[str, Any]) -> str:
    """One line of what `status --json` holds."""
    recording, loop, storage = (_table(status, key) for key in ("recording", "loop", "storage"))
    faults = status.get("faults")
    words = {
        "state": status.get("state"),
        "recording": recording.get("id"),
        "seconds": _number(recording.get("seconds")),
        "loop": _number(loop.get("seconds")),
        "minutes_left": _number(storage.get("minutes_left"), digits=0),
        "faults": ",".join(_fault(fault) for fault in faults) if isinstance(faults, Sequence) else None,
    }
    return one_line("OK " + " ".join(f"{key}={value or '-'}" for key, value in words.items()))


def _table(status: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = status.get(key)
    return value if isinstance(value, Mapping) else {}


def _fault(fault: object) -> str:
    return str(fault.get("name") if isinstance(fault, Mapping) else fault)


def _number(value: object, digits: int = 1) -> str | None:
    return f"{value:.{digits}f}" if isinstance(value, int | float) else None


def event_line(event: Event) -> str | None:
    """The EVT line that tells of an event; None for what a line is not told. The officer's id is private."""
    said = _event(event)
    return None if said is None else one_line(f"EVT {said}")


def _event(event: Event) -> str | None:
    match event:
        case StateChanged(state=state, recording=recording):
            return f"state {state} {recording or '-'}"
        case Pressed(order=order, outcome="refused", reason=reason):
            return f"refused {order} {reason}"
        case Pressed(order=Order.MARK | Order.PRESS, outcome="marker", recording=recording):
            return f"marker {recording or '-'}"
        case Pressed() | Progressed() | Assigned():
            return None
        case StopAsked(at_ns=at_ns, until_ns=until_ns):
            return f"stop_asked {(until_ns - at_ns) / NS:.1f}"
        case StopNotConfirmed():
            return "stop_not_confirmed"
        case Reminder():
            return "still_recording"
        case FaultChanged(name=name, active=active, detail=detail):
            return f"fault {name} {'begun' if active else 'ended'} {detail}"
        case Recorded(recording=recording, closed=closed, reason=reason):
            return f"closed {recording} {reason}" if closed else f"opened {recording}"
        case LowStorage(minutes=minutes):
            return f"low_storage {minutes}"
        case ClockStepped(step_ns=step_ns, quality=quality):
            return f"clock_stepped {step_ns / NS:+.3f} {quality}"
        case Muted(muted=muted):
            return "muted" if muted else "unmuted"
        case _:
            assert_never(event)
