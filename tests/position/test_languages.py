"""What gpsd and receivers say: fixes as they are, and nothing made of what is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.messages import Fix
from bwvd.position.gpsd import MOST_LINE, Gpsd
from bwvd.position.nmea import Nmea, sentence
from bwvd.position.receiver import lines_of

TPV: dict[str, Any] = {
    "class": "TPV", "mode": 3, "time": "2026-11-22T07:15:03.000Z", "lat": 52.33, "lon": 4.8933, "altMSL": 12.4,
    "eph": 20.9,
}  # fmt: skip
FIX = Fix(7, "2026-11-22T07:15:03.000Z", 52.33, 4.8933, 12.4, 20.9, 3, None)


def said(**changes: Any) -> bytes:
    return json.dumps({**TPV, **changes}).encode()


def nmea(text: str) -> bytes:
    total = 0
    for letter in text.encode():
        total ^= letter
    return f"${text}*{total:02X}\r\n".encode()


GGA = "GPGGA,071503.00,5219.8000,N,00453.6000,E,1,08,1.1,12.4,M,45.0,M,,"
RMC = "GPRMC,071503.00,A,5219.8000,N,00453.6000,E,0.50,84.4,221126,,,A"


def test_a_position_of_gpsd() -> None:
    gpsd = Gpsd()
    assert gpsd.take(said(), 7) == FIX
    gpsd.take(b'{"class":"SKY","satellites":[{"used":true},{"used":false},{"used":true}]}', 8)
    fix = gpsd.take(said(mode=2), 9)
    assert fix is not None
    assert (fix.satellites, fix.altitude_m, fix.mode) == (2, None, 2)


@pytest.mark.parametrize(
    "changes",
    [{"mode": 1}, {"mode": 0}, {"mode": "3"}, {"lat": 91}, {"lon": -181}, {"lat": None}, {"lon": "4"}, {"lat": True},
     {"lat": 10**400}, {"class": "ATT"}],
)  # fmt: skip
def test_what_is_no_position_is_none(changes: dict[str, Any]) -> None:
    assert Gpsd().take(said(**changes), 7) is None


def test_a_time_that_is_none_is_left_out() -> None:
    for time in ("yesterday", "", 5, "2026-11-22T07:15:03", "9999-99-99T00:00:00Z"):
        fix = Gpsd().take(said(time=time), 7)
        assert fix is not None
        assert fix.utc == ""


@given(st.binary(max_size=400))
def test_any_bytes_are_taken_in_silence(line: bytes) -> None:
    assert Gpsd().take(line, 0) is None
    assert Nmea().take(line, 0) is None


_SCALARS = st.none() | st.booleans() | st.floats() | st.integers() | st.sampled_from(["", "3", TPV["time"], "x"])


@given(
    st.dictionaries(st.sampled_from([*TPV, "uSat", "satellites", "devices"]), _SCALARS | st.lists(_SCALARS, max_size=3))
)
def test_any_values_under_the_right_names(values: dict[str, Any]) -> None:
    gpsd = Gpsd()
    for kind in ("TPV", "SKY", "DEVICES", "DEVICE", "ERROR"):
        fix = gpsd.take(json.dumps({**TPV, **values, "class": kind}).encode(), 0)
        if fix is not None:
            assert abs(fix.latitude) <= 90
            assert abs(fix.longitude) <= 180


def test_two_sentences_of_a_second_make_a_fix() -> None:
    line = Nmea()
    assert line.take(nmea(GGA), 6) is None
    fix = line.take(nmea(RMC), 7)
    assert fix == Fix(7, "2026-11-22T07:15:03.000Z", 52.33, 4.89333333, 12.4, 5.5, 3, 8)


def test_the_height_of_another_second_is_not_taken() -> None:
    line = Nmea()
    line.take(nmea(GGA), 6)
    fix = line.take(nmea(RMC.replace("071503", "071504")), 7)
    assert fix is not None
    assert (fix.altitude_m, fix.mode, fix.satellites) == (None, 2, None)


@pytest.mark.parametrize(
    "wrong",
    [RMC.replace(",A,", ",V,"), RMC.replace("5219.8000,N", "9919.8000,N"), RMC.replace("5219.8000,N", "5219.8000,X"),
     RMC.replace("5219.8000,N", ",N"), RMC.replace("00453", "453x")],
)  # fmt: skip
def test_a_sentence_without_a_position(wrong: str) -> None:
    assert Nmea().take(nmea(wrong), 7) is None


def test_a_flipped_bit_makes_a_line_none() -> None:
    line = nmea(RMC)
    said = sentence(line)
    assert said is not None
    for at in range(1, len(line) - 2):
        for bit in range(8):
            other = sentence(line[:at] + bytes([line[at] ^ 1 << bit]) + line[at + 1 :])
            assert other is None or other.data == said.data


# As a string: a table of all characters is what Hypothesis would make first, for seconds.
_LETTERS = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in "$*,")
_FIELDS = st.lists(st.text(_LETTERS, max_size=9))


@given(st.sampled_from(["GPRMC", "GPGGA", "GNRMC", "GNGGA", "PUBX", "GPXXX"]), _FIELDS, _FIELDS)
def test_any_fields_under_the_right_sum(kind: str, fields: list[str], more: list[str]) -> None:
    line = Nmea()
    line.take(nmea(",".join([kind, *fields])), 0)
    for text in (",".join(["GPRMC", *more]), ",".join([RMC, *more]), ",".join([GGA[:20], *more]), RMC):
        fix = line.take(nmea(text), 0)
        if fix is not None:
            assert abs(fix.latitude) <= 90
            assert abs(fix.longitude) <= 180


def test_south_and_west_are_negative() -> None:
    fix = Nmea().take(nmea(RMC.replace(",N,", ",S,").replace(",E,", ",W,")), 7)
    assert fix is not None
    assert (fix.latitude, fix.longitude) == (-52.33, -4.89333333)


def test_lines_without_an_end_are_dropped() -> None:
    buffer = bytearray(b"one\ntwo\nthr")
    assert lines_of(buffer) == [b"one", b"two"]
    assert buffer == b"thr"
    buffer += b"x" * MOST_LINE
    assert lines_of(buffer) == []
    assert buffer == b""
