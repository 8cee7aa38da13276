"""`bwvd check` on the satellite receiver: a position, or in one line what there is instead."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bwvd.cli import check_gnss
from bwvd.cli.check_gnss import gnss_findings
from bwvd.clock import SystemClock
from bwvd.config.load import parse
from bwvd.position.nmea import Nmea
from bwvd.testing.receiver import VirtualReceiver

CASES: dict[str, tuple[Callable[[VirtualReceiver], object], str, bool]] = {
    "a position": (lambda _: None, "a position in three dimensions by 8 satellites", False),
    "none yet": (lambda one: one.lose_fix(), "answers, and has no position yet", True),
    "silent": (lambda one: one.hush(), "answers, and has no position yet", True),  # gpsd itself greets
    "gone": (lambda one: one.hang_up(), "not now: ", True),
}


@pytest.mark.parametrize("case", CASES)
def test_what_the_receiver_gives(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    change, said, advice = CASES[case]
    receiver = VirtualReceiver(SystemClock(), every_s=0.1)
    change(receiver)
    monkeypatch.setattr("bwvd.daemon.position_source.receiver_of", lambda _: receiver)
    monkeypatch.setattr(check_gnss, "LISTEN_S", 0.5)
    config = parse('[gnss]\nsource = "gpsd://127.0.0.1:2947"\n', "a test")
    [found] = gnss_findings(config, probe=True)
    assert said in found.text
    assert (found.ok, found.advice) == (True, advice)
    assert "52.3" not in found.text


def test_a_line_at_another_baud_rate() -> None:
    language = Nmea()
    assert language.take(b"\xf3\x00\x9a$G\x81\r\n", 0) is None
    assert language.silence() == "what it says is no NMEA: another baud rate?"
