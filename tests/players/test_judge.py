"""The judge of players can say no: to each measure, where it is missed and no other is."""

from __future__ import annotations

import pytest

from tests.players.beeps import BEEP_S, PITCHES, Beep, beeps, pitch
from tests.players.judge import offsets, playing, seeking
from tests.players.scenarios import Truth
from tests.players.stage import Seen
from tests.players.tones import tone

RATE = 20
TRUTH = Truth({n: n / RATE for n in range(160)}, [Beep(float(second), second) for second in range(8)], RATE)


def _seen(slower: float = 1.0, audio_s: float = 0.0, without: range = range(0), deaf_from: int = 99) -> Seen:
    """A player that began at 100 s."""
    frames = [(n, 100 + n / RATE * slower, 100 + (n + 0.8) / RATE * slower) for n in TRUTH.frames if n not in without]
    heard = [Beep(100 + at_s * slower + audio_s, second) for at_s, second in TRUTH.beeps if second < deaf_from]
    return Seen(frames, heard, "")


@pytest.mark.parametrize(
    ("seen", "missed"),
    [
        (_seen(), []),
        (_seen(without=range(155)), ["shows nothing"]),
        (_seen(without=range(140, 160)), ["length", "frames"]),
        (_seen(without=range(75, 85)), ["frames"]),
        (_seen(slower=0.7), ["length", "frames"]),
        (_seen(audio_s=0.05), ["A/V"]),
        (_seen(audio_s=-0.05), ["A/V"]),
        (_seen(audio_s=0.03), []),
        (_seen(deaf_from=5), ["A/V"]),
    ],
)
def test_what_is_missed_is_said(seen: Seen, missed: list[str]) -> None:
    assert playing(seen, TRUTH) == missed


def test_what_the_control_is_off_by_is_taken_off() -> None:
    assert playing(_seen(audio_s=0.06), TRUTH, lead_s=0.03) == []
    assert playing(_seen(audio_s=0.015), TRUTH, lead_s=-0.03) == ["A/V"]
    assert offsets(_seen(audio_s=0.06), TRUTH) == pytest.approx([0.06] * 7)
    assert offsets(_seen(audio_s=0.06, deaf_from=5), TRUTH) == []


@pytest.mark.parametrize(("number", "missed"), [(66, False), (64, False), (58, True), (0, True), (80, True)])
def test_the_press_is_found_or_not(number: int, missed: bool) -> None:
    frames = [(n, 100 + n / RATE, 100 + (n + 0.8) / RATE) for n in range(number, number + 20)]
    assert seeking(Seen(frames, [], ""), TRUTH, 3.3) is missed


def test_each_beep_is_told_from_the_others() -> None:
    heard = tone(8000, [(0.5 + n, pitch(n), BEEP_S) for n in range(len(PITCHES))])
    found = beeps(heard, 8000)
    assert [one.second for one in found] == list(range(len(PITCHES)))
    assert all(abs(one.at_s - 0.5 - one.second) < 0.006 for one in found)
