"""The player of patterns: each indicator's level at a moment, and when it changes next. Pure: the time is an argument.

Three layers, from below: the state's own pattern (the base), conditions that last (a fault, a stop that waits for its
confirmation), and one signal at a time (a start, a refusal). On lights the two upper layers toggle the base, so a fault
shows and the state stays readable, also where one lamp has to carry both. On the motor and the sounder the
pattern of the highest priority is followed alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from bwvd.feedback.patterns import (
    BASE,
    CONDITIONS,
    LIGHTS,
    NS_PER_MS,
    SIGNALS,
    Channel,
    Condition,
    Pattern,
    Signal,
    Track,
    track_ns,
)
from bwvd.messages import State

NEVER = 2**63 - 1  # a time that doesn't come
STALE_NS = 3_000_000_000  # a signal that had to wait longer than this for a more important one is not worth telling


@dataclass(frozen=True, slots=True)
class _Playing:
    """A pattern with the time it began, and the time from which it no longer shows."""

    pattern: Pattern
    since_ns: int
    until_ns: int = NEVER
    asked_ns: int = 0  # of a signal: when it happened


class PatternPlayer:
    """Turns a state, conditions and signals into levels.

    `stealth`: nothing is shown, ever. Times given to the methods never go back.
    **Synchronization:** one caller at a time.
    """

    def __init__(self, *, stealth: bool = False) -> None:
        self._stealth = stealth
        self._base = _Playing(BASE[State.ASLEEP], 0)
        self._conditions: dict[Condition, _Playing] = {}
        self._signals: list[_Playing] = []  # one after the other, without overlap, the playing one first

    def base(self, state: State, now_ns: int) -> None:
        """From now on the state's own light is this one's. Naming the same state again changes nothing."""
        pattern = BASE[state]
        if pattern is not self._base.pattern:
            self._base = _Playing(pattern, now_ns)

    def begin(self, condition: Condition, now_ns: int, until_ns: int = NEVER) -> None:
        """Show a condition until `end`, or until a time. Beginning what shows already only moves its end."""
        shown = self._conditions.get(condition)
        since_ns = shown.since_ns if shown is not None and shown.until_ns > now_ns else now_ns
        self._conditions[condition] = _Playing(CONDITIONS[condition], since_ns, until_ns)

    def end(self, condition: Condition) -> None:
        """Take a condition away, if it shows."""
        self._conditions.pop(condition, None)

    def play(self, signal: Signal, now_ns: int) -> None:
        """Tell something once: now, if nothing more important is being told, else after that, or never if too late.

        What is being told and is not more important is cut short: the newest answer counts.
        """
        pattern = SIGNALS[signal]
        left = [told for told in self._signals if told.until_ns > now_ns]
        ahead = [told for told in left if told.pattern.priority > pattern.priority]
        behind = [told for told in left[len(ahead) :] if told.since_ns > now_ns and told.pattern is not pattern]
        # The list stays sorted by priority, so those ahead are its first ones and keep their times.
        self._signals = ahead
        for waiting, asked_ns in ((pattern, now_ns), *((told.pattern, told.asked_ns) for told in behind)):
            since_ns = max(now_ns, self._signals[-1].until_ns) if self._signals else now_ns
            if since_ns - asked_ns <= STALE_NS:
                self._signals.append(_Playing(waiting, since_ns, since_ns + waiting.duration_ns, asked_ns))

    def level_at(self, now_ns: int, carries: Collection[Channel]) -> int:
        """The level of an indicator that stands for these channels: a light for one colour or for several."""
        if self._stealth:
            return 0
        base = self._level(self._base, now_ns, carries)
        upper = self._upper(now_ns, carries)
        return base if upper is None else base ^ self._level(upper, now_ns, carries)  # a state only has lights

    def next_change(self, now_ns: int) -> int:
        """The earliest later time at which some level may be another one; NEVER if there is none."""
        if self._stealth:
            return NEVER
        return min((at_ns for at_ns in self._boundaries(now_ns) if at_ns > now_ns), default=NEVER)

    def _upper(self, now_ns: int, carries: Collection[Channel]) -> _Playing | None:
        """Of what shows now on one of the channels, the most important, then the newest."""
        shown = [
            told
            for told in (*self._conditions.values(), *self._signals)
            if told.since_ns <= now_ns < told.until_ns and not told.pattern.tracks.keys().isdisjoint(carries)
        ]
        return max(shown, key=lambda told: (told.pattern.priority, told.since_ns), default=None)

    def _level(self, playing: _Playing, now_ns: int, carries: Collection[Channel]) -> int:
        tracks = playing.pattern.tracks
        passed_ns = now_ns - playing.since_ns
        return max(
            (_at(tracks[channel], passed_ns, playing.pattern.repeat) for channel in carries if channel in tracks),
            default=0,
        )

    def _boundaries(self, now_ns: int) -> Iterator[int]:
        for playing in (self._base, *self._conditions.values(), *self._signals):
            if playing.until_ns <= now_ns:
                continue
            if playing.since_ns > now_ns:
                yield playing.since_ns
                continue
            if playing.until_ns != NEVER:
                yield playing.until_ns
            for track in playing.pattern.tracks.values():
                after_ns = _next_step(track, now_ns - playing.since_ns, playing.pattern.repeat)
                if after_ns is not None:
                    yield min(playing.since_ns + after_ns, playing.until_ns)


def carried(colours: Sequence[str]) -> list[frozenset[Channel]]:
    """The channels that each light stands for, given the colours of all lights that are there ("any" for unknown).

    A light of no particular colour stands for all. Where a colour has no light, red goes to amber or else green lights,
    amber to red or else green ones. Green goes nowhere else: a red blink in standby would say that a recording runs.
    """
    there = set(colours)
    stands: dict[str, set[Channel]] = {
        "red": {Channel.RED},
        "green": {Channel.GREEN},
        "amber": {Channel.AMBER},
        "any": set(LIGHTS),
    }
    if "any" not in there:
        for channel, others in ((Channel.RED, ("amber", "green")), (Channel.AMBER, ("red", "green"))):
            if channel.value not in there:
                for other in others:
                    if other in there:
                        stands[other].add(channel)
                        break
    return [frozenset(stands[colour]) for colour in colours]


def _at(track: Track, passed_ns: int, repeat: bool) -> int:
    """The level of a track so long after it began; 0 after its end."""
    if repeat:
        passed_ns %= track_ns(track)
    for step in track:
        passed_ns -= step.duration_ms * NS_PER_MS
        if passed_ns < 0:
            return step.level
    return 0


def _next_step(track: Track, passed_ns: int, repeat: bool) -> int | None:
    """The time from a track's beginning to its next step or its end, in ns; None if nothing changes any more."""
    if repeat and len(track) == 1:
        return None
    turns, within_ns = divmod(passed_ns, track_ns(track)) if repeat else (0, passed_ns)
    end_ns = 0
    for step in track:
        end_ns += step.duration_ms * NS_PER_MS
        if end_ns > within_ns:
            return turns * track_ns(track) + end_ns
    return None
