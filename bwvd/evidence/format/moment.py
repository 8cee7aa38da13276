"""Moments of a recording as people write them: seconds, `mm:ss`, `hh:mm:ss`, or UTC. Pure.

The only place that reads such a text: every command and every page takes the same forms.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from bwvd.clock import NS
from bwvd.evidence.format.utc import parse_utc
from bwvd.text import printable

FORMS = "seconds, mm:ss, hh:mm:ss, or UTC as 2026-11-22T07:15:03Z"
DATE_FORMS = "UTC, as 2026-11-22T07:15:03Z, or a day as 2026-11-22"

_FRACTION = r"(?:\.(?P<fraction>[0-9]{1,9}))?"
_SECONDS = re.compile(rf"(?P<s>[0-9]{{1,9}}){_FRACTION}")
_CLOCK = re.compile(rf"(?:(?P<h>[0-9]{{1,5}}):(?=[0-9]{{2}}:))?(?P<m>[0-9]{{1,5}}):(?P<s>[0-5][0-9]){_FRACTION}")
# RFC 3339, the same without punctuation as recordings' ids have it, and behind it what a stamp says more: the device.
_UTC = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ](?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?"
    r"(?P<zone>[Zz]|[+-][0-9]{2}:[0-9]{2})(?: (?P<device>\S.*))?"
)
_ID_UTC = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NOT_SET = " TIME NOT SET"  # behind the device in the stamp of a camera whose clock was never set


class NoMoment(ValueError):
    """The text is no moment. One line, without the text itself."""


@dataclass(frozen=True, slots=True)
class Elapsed:
    """Nanoseconds since the recording's first frame."""

    ns: int


@dataclass(frozen=True, slots=True)
class TimeOfDay:
    """A time of day, to the microsecond."""

    utc: datetime.datetime
    device: str = ""  # where it was copied from a stamp: whose


Moment = Elapsed | TimeOfDay


@dataclass(frozen=True, slots=True)
class Given:
    """A moment as it was asked for."""

    option: str  # "--from"
    text: str
    moment: Moment

    def __str__(self) -> str:
        return f"{self.option} {printable(self.text)}"


def parse_moment(text: str) -> Moment:
    """The moment that `text` names.

    Seconds and minutes have two digits and stay below 60 behind a colon; what stands first may be larger: `90:00` is an
    hour and a half. A fraction has at most nine digits. A time of day needs its zone: `Z`, or an offset as `+02:00`.

    Raises: NoMoment.
    """
    text = text.strip()
    if found := _SECONDS.fullmatch(text):
        return Elapsed(int(found["s"]) * NS + _fraction_ns(found["fraction"]))
    if found := _CLOCK.fullmatch(text):
        minutes = int(found["m"])
        if found["h"] is not None and (minutes >= 60 or len(found["m"]) != 2):
            raise NoMoment("minutes behind hours have two digits and go to 59")
        whole = (int(found["h"] or 0) * 60 + minutes) * 60 + int(found["s"])
        return Elapsed(whole * NS + _fraction_ns(found["fraction"]))
    return parse_time_of_day(text, forms=FORMS)


def parse_time_of_day(text: str, *, forms: str = DATE_FORMS) -> TimeOfDay:
    """The time of day that `text` names: RFC 3339, a recording's stamp, or the time in a recording's id.

    Raises: NoMoment.
    """
    text = text.strip()
    if found := _ID_UTC.fullmatch(text):
        text = "{}-{}-{}T{}:{}:{}Z".format(*found.groups())
    found = _UTC.fullmatch(text)
    if found is None:
        raise NoMoment(f"not a time: write {forms}")
    micros = (found["fraction"] or "").ljust(6, "0")[:6]
    moment = parse_utc(f"{found['date']}T{found['time']}.{micros}{found['zone'].upper().replace('Z', '+00:00')}")
    if moment is None:
        raise NoMoment("there is no such day or time of day")
    return TimeOfDay(moment, (found["device"] or "").removesuffix(_NOT_SET))


def parse_day(text: str) -> datetime.datetime | None:
    """The beginning of the day in UTC that `text` names (`2026-11-22`); None if it names none.

    Raises: NoMoment for a day that the calendar does not have.
    """
    if not _DAY.fullmatch(text.strip()):
        return None
    day = parse_utc(f"{text.strip()}T00:00:00+00:00")
    if day is None:
        raise NoMoment("there is no such day")
    return day


def clock_text(ns: int) -> str:
    """Nanoseconds as `mm:ss.mmm`, or `h:mm:ss.mmm` from an hour on; what `parse_moment` reads, rounded down.

    What lies before the first frame has a minus in front, which nothing reads.
    """
    sign, ms = ("-" if ns < 0 else ""), abs(ns) // 1_000_000
    hours, minutes, seconds = ms // 3_600_000, ms // 60_000 % 60, ms // 1000 % 60
    front = f"{hours}:{minutes:02d}" if hours else f"{minutes:02d}"
    return f"{sign}{front}:{seconds:02d}.{ms % 1000:03d}"


def _fraction_ns(digits: str | None) -> int:
    return int((digits or "").ljust(9, "0"))
