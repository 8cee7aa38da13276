"""The patterns: all that the camera can tell the officer, and how it looks, feels and sounds. Data, and nothing else.

There are five channels: three colours of light, the vibration motor and the sounder. A pattern has a track on some of
them: steps of a level and how long it lasts. Which pattern a channel follows at a given moment is `player`'s matter.

The light is honest: red says that a recording is running, and nothing else ever lights it for longer than a flicker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from bwvd.messages import State

NS_PER_MS = 1_000_000


class Channel(StrEnum):
    """One thing that a pattern can drive."""

    RED = "red"
    GREEN = "green"
    AMBER = "amber"
    HAPTIC = "haptic"
    TONE = "tone"


LIGHTS = frozenset({Channel.RED, Channel.GREEN, Channel.AMBER})


class Step(NamedTuple):
    """A level, and for how long. A light or motor: 0 or 1; a sounder: hertz, 0 = silent."""

    level: int
    duration_ms: int


Track = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Pattern:
    """Tracks that begin together. `repeat`: each track starts again at its own end, until the pattern is taken away."""

    tracks: Mapping[Channel, Track]
    priority: int = 0  # of patterns that want one channel at one time the highest wins, then the newest
    repeat: bool = False

    @property
    def duration_ns(self) -> int:
        """Of the longest track, once through."""
        return max(track_ns(track) for track in self.tracks.values())


def track_ns(track: Track) -> int:
    """The duration of a track in ns, once through."""
    return sum(step.duration_ms for step in track) * NS_PER_MS


class Signal(StrEnum):
    """An event that is told once."""

    STARTED = "started"  # recording, by a press that arrived; also the answer to «record» when a recording runs
    RESUMED = "resumed"  # a press took a stop back
    STOPPING = "stopping"  # a stop was confirmed: the post-roll runs, and a press takes it back
    STOPPED = "stopped"  # the recording is over
    MARKED = "marked"
    REMINDER = "reminder"  # still recording
    STOP_NOT_CONFIRMED = "stop_not_confirmed"  # the recording goes on
    REFUSED = "refused"  # what was asked for was not done
    FAULT_BEGAN = "fault_began"
    LOW_STORAGE = "low_storage"
    STORAGE_FULL = "storage_full"
    MUTED = "muted"
    UNMUTED = "unmuted"
    ASLEEP = "asleep"
    AWAKE = "awake"
    CLOSING = "closing"


class Condition(StrEnum):
    """A state of things that is told for as long as it lasts, over the camera's state."""

    FAULT = "fault"
    STOP_ASKED = "stop_asked"  # a press now confirms
    SHUTTING_DOWN = "shutting_down"


def _tones(*steps: tuple[int, int]) -> Track:
    return tuple(Step(hertz, ms) for hertz, ms in steps)


def _pulses(count: int, on_ms: int, off_ms: int) -> Track:
    return (Step(1, on_ms), Step(0, off_ms)) * count


_ON: Track = (Step(1, 1000),)

# The state's own light. A standby blink is short because it is what the battery pays for all day.
BASE: Mapping[State, Pattern] = {
    State.ASLEEP: Pattern({}, repeat=True),
    State.STANDBY: Pattern({Channel.GREEN: (Step(1, 40), Step(0, 2960))}, repeat=True),
    State.RECORDING: Pattern({Channel.RED: _ON}, repeat=True),
    State.POST_ROLL: Pattern({Channel.RED: (Step(1, 700), Step(0, 300))}, repeat=True),  # still recording
}

# On a lamp that also shows the state these toggle it: two blinks on a dark lamp, two notches in a lit one, so that a
# fault never hides that a recording runs.
CONDITIONS: Mapping[Condition, Pattern] = {
    Condition.FAULT: Pattern(
        {Channel.AMBER: (Step(1, 80), Step(0, 120), Step(1, 80), Step(0, 1720))}, priority=10, repeat=True
    ),
    Condition.STOP_ASKED: Pattern(
        {
            Channel.RED: (Step(0, 125), Step(1, 125)),
            Channel.HAPTIC: (Step(1, 60), Step(0, 440)),
            Channel.TONE: _tones((880, 80), (0, 40), (1108, 80), (0, 40), (1318, 80), (0, 680)),  # rising: a question
        },
        priority=50,
        repeat=True,
    ),
    Condition.SHUTTING_DOWN: Pattern({Channel.AMBER: (Step(1, 150), Step(0, 150))}, priority=60, repeat=True),
}

# Answers to a hand come first (80; of two the newer): a press is never left without one. All are over within 1.5 s.
SIGNALS: Mapping[Signal, Pattern] = {
    Signal.REFUSED: Pattern(
        {
            Channel.RED: _pulses(4, 60, 60),
            Channel.HAPTIC: _pulses(3, 100, 80),
            Channel.TONE: _tones((220, 150), (0, 70), (220, 150), (0, 70), (220, 150)),
        },
        priority=90,
    ),
    Signal.STARTED: Pattern(
        {Channel.HAPTIC: (Step(1, 300),), Channel.TONE: _tones((880, 90), (1318, 160))}, priority=80
    ),
    Signal.RESUMED: Pattern(
        {Channel.HAPTIC: (Step(1, 300),), Channel.TONE: _tones((880, 90), (1318, 160))}, priority=80
    ),
    Signal.STOPPED: Pattern(
        {
            Channel.HAPTIC: _pulses(2, 250, 150),
            Channel.TONE: _tones((1318, 120), (0, 40), (988, 120), (0, 40), (659, 240)),
        },
        priority=80,
    ),
    Signal.STOPPING: Pattern(
        {Channel.HAPTIC: _pulses(1, 150, 50), Channel.TONE: _tones((1318, 120), (0, 40), (988, 160))}, priority=80
    ),
    Signal.STOP_NOT_CONFIRMED: Pattern(
        {Channel.HAPTIC: (Step(1, 300),), Channel.TONE: _tones((880, 90), (0, 60), (880, 90), (1318, 160))}, priority=80
    ),
    Signal.MARKED: Pattern({Channel.HAPTIC: (Step(1, 80),), Channel.TONE: _tones((1760, 60))}, priority=80),
    Signal.MUTED: Pattern({Channel.TONE: _tones((440, 80), (0, 40), (330, 120))}, priority=80),
    Signal.UNMUTED: Pattern({Channel.TONE: _tones((330, 80), (0, 40), (440, 120))}, priority=80),
    Signal.CLOSING: Pattern(
        {Channel.HAPTIC: _pulses(1, 400, 100), Channel.TONE: _tones((988, 100), (659, 100), (440, 200))}, priority=75
    ),
    Signal.STORAGE_FULL: Pattern(
        {
            Channel.AMBER: _pulses(5, 120, 120),
            Channel.HAPTIC: _pulses(3, 200, 100),
            Channel.TONE: _tones((494, 200), (0, 80), (392, 200), (0, 80), (330, 300)),
        },
        priority=70,
    ),
    Signal.FAULT_BEGAN: Pattern(
        {Channel.HAPTIC: _pulses(2, 150, 100), Channel.TONE: _tones((330, 180), (0, 60), (247, 260))}, priority=60
    ),
    Signal.LOW_STORAGE: Pattern(
        {
            Channel.AMBER: _pulses(3, 120, 120),
            Channel.HAPTIC: _pulses(1, 150, 50),
            Channel.TONE: _tones((494, 150), (0, 80), (392, 200)),
        },
        priority=55,
    ),
    Signal.REMINDER: Pattern(
        {Channel.HAPTIC: _pulses(2, 120, 120), Channel.TONE: _tones((988, 100), (0, 120), (988, 100))}, priority=40
    ),
    Signal.AWAKE: Pattern({Channel.HAPTIC: (Step(1, 80),), Channel.TONE: _tones((659, 60), (880, 60))}, priority=30),
    Signal.ASLEEP: Pattern({Channel.HAPTIC: (Step(1, 80),), Channel.TONE: _tones((880, 60), (659, 60))}, priority=30),
}
