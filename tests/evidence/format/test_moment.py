"""Moments as people write them: each form, and that what bwvd prints is what it reads."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.clock import NS, utc_text
from bwvd.evidence.format.moment import (
    Elapsed,
    NoMoment,
    TimeOfDay,
    clock_text,
    parse_day,
    parse_moment,
    parse_time_of_day,
)

UTC = datetime.UTC
AT = datetime.datetime(2026, 11, 22, 7, 15, 3, 16_000, UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("12", 12),
        ("12.5", 12.5),
        (" 12 ", 12),
        ("86400", 86_400),
        ("0:05", 5),
        ("00:05.25", 5.25),
        ("90:00", 5400),
        ("1:02:03", 3723),
        ("01:02:03.004", 3723.004),
        ("100:00:00", 360_000),
    ],
)
def test_time_since_the_first_frame(text: str, seconds: float) -> None:
    assert parse_moment(text) == Elapsed(round(seconds * NS))


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T07:15:03.016Z",
        "2026-11-22t07:15:03.016z",
        "2026-11-22 07:15:03.016Z",
        "2026-11-22T08:15:03.016+01:00",
        "2026-11-21T21:45:03.016-09:30",
        "2026-11-22T07:15:03.016000999Z",
    ],
)
def test_utc(text: str) -> None:
    assert parse_moment(text) == TimeOfDay(AT)


@pytest.mark.parametrize("behind", ["BWV-0001", "BWV-0001 TIME NOT SET"])
def test_what_a_stamp_says(behind: str) -> None:
    assert parse_moment(f"2026-11-22T07:15:03.016Z {behind}") == TimeOfDay(AT, "BWV-0001")


def test_what_a_recordings_id_says() -> None:
    assert parse_moment("20261122T071503Z") == TimeOfDay(AT.replace(microsecond=0))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "+1",
        "nan",
        "inf",
        "1e3",
        "1_000",
        "1,5",
        "1.",
        ".5",
        "٣",
        "0:60",
        "0:5",
        "1:2:03",
        "1:60:00",
        "1:00:00:00",
        "12s",
        "2026-11-22",
        "2026-11-22T07:15:03",  # whose time?
        "2026-11-22T07:15Z",
        "2026-02-30T00:00:00Z",
        "2026-11-22T25:00:00Z",
        "2026-11-22T07:15:03.016ZBWV-0001",
        "0001-01-01T00:00:00+23:00",
        "20261122T071503",
        "1" * 10,
        "5\n6",
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(NoMoment):
        parse_moment(text)


@given(st.integers(0, 99_999 * 3600 * NS))
def test_what_is_printed_is_read(ns: int) -> None:
    read = parse_moment(clock_text(ns))
    assert isinstance(read, Elapsed)
    assert read.ns == ns // 1_000_000 * 1_000_000


@given(st.integers(0, 999_999_999 * NS + NS - 1))
def test_seconds_are_exact(ns: int) -> None:
    assert parse_moment(f"{ns // NS}.{ns % NS:09d}") == Elapsed(ns)


@given(st.integers(0, 9999), st.integers(0, 59), st.integers(0, 59))
def test_hours_are_minutes_are_seconds(h: int, m: int, s: int) -> None:
    whole = (h * 60 + m) * 60 + s
    spellings = [str(whole), f"{whole // 60}:{s:02d}" if h < 1000 else str(whole), f"{h}:{m:02d}:{s:02d}"]
    assert {parse_moment(text) for text in spellings} == {Elapsed(whole * NS)}


@given(st.integers(0, 250_000_000_000 * 1000), st.integers(-14 * 60, 14 * 60))
def test_a_zone_changes_nothing(utc_ms: int, minutes: int) -> None:
    zone = datetime.timezone(datetime.timedelta(minutes=minutes))
    utc_ms %= 4_000_000_000_000
    moment = datetime.datetime.fromtimestamp(utc_ms // 1000, UTC) + datetime.timedelta(milliseconds=utc_ms % 1000)
    assert parse_moment(utc_text(utc_ms * 1_000_000)) == TimeOfDay(moment)
    assert parse_moment(moment.astimezone(zone).isoformat()) == TimeOfDay(moment)


@given(st.text())
def test_any_text_is_read_or_refused_in_a_line(text: str) -> None:
    for read in (parse_moment, parse_time_of_day):
        said = ""
        try:
            read(text)
        except NoMoment as error:
            said = str(error)
        assert said.isprintable()


def test_days() -> None:
    assert parse_day("2026-11-22") == datetime.datetime(2026, 11, 22, tzinfo=UTC)
    assert parse_day("2026-11-22T00:00:00Z") is None
    with pytest.raises(NoMoment):
        parse_day("2026-13-01")


def test_before_the_first_frame() -> None:
    assert clock_text(-1_500_000_000) == "-00:01.500"
    assert clock_text(3_600 * NS) == "1:00:00.000"
