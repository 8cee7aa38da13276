"""A case from its beginning to its end: the shift with its fault, the restart, and what then lies there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from bwvd.evidence.format import records
from bwvd.messages import FaultChanged, Order, Pressed, StateChanged
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.crash import crash_states
from bwvd.testing.flash.medium import Moment, Tree
from bwvd.testing.flash.storage import VirtualVolume
from tests.faults.kind import After, Kind, Reference
from tests.faults.outcomes import Outcome
from tests.faults.process_faults import Steps, count_echoes
from tests.faults.recorded import Recording, recordings_of
from tests.faults.shift import START_NS, Phase, World

CUTS = frozenset({After.LEAST, After.MOST, After.TORN})


@dataclass
class Aftermath:
    """What is left of one case."""

    kind: Kind
    nth: int
    world: World
    survived: Tree  # what the first process, or the power, left
    second: World | None  # the restart, where there was one
    tree: Tree  # what lies there in the end

    @property
    def phase(self) -> Phase | None:
        return self.world.struck

    @cached_property
    def before(self) -> list[Recording]:
        """The recordings as the first process left them."""
        return recordings_of(self.survived)

    @cached_property
    def recordings(self) -> list[Recording]:
        """The recordings in the end."""
        return recordings_of(self.tree)

    @cached_property
    def chains(self) -> list[list[Recording]]:
        """Each recording with those that go on from it after a storage error."""
        chains: list[list[Recording]] = []
        for recording in self.recordings:
            continues = recording.opening.continues if recording.opening else ""
            before = next((chain for chain in chains if continues and chain[-1].id == continues), None)
            if before is not None:
                before.append(recording)
            else:
                chains.append([recording])
        return chains

    @cached_property
    def lost_presses(self) -> list[int]:
        """The presses (CLOCK_MONOTONIC) that began a recording of which nothing is on the flash."""
        begun = {recording.opening.press.stamp.mono_ns for recording in self.recordings if recording.opening}
        presses = (event for event in self.world.events if isinstance(event, Pressed))
        return [press.at_ns for press in presses if press.outcome == "recording" and press.at_ns not in begun]

    @property
    def cut_off(self) -> bool:
        """The power went, or the process was killed or cancelled: nothing could be closed."""
        return self.kind.after in CUTS or self.world.survivor is not None or self.world.cancelled

    @cached_property
    def outcome(self) -> str:
        """In a word of `Outcome`, or what an order was answered."""
        if self.kind.observe is not None:
            return self.kind.observe(self.world)
        return _outcome(self)


def _outcome(after: Aftermath) -> str:
    world = after.world
    mine = [recording for recording in after.recordings if recording.id in {one.id for one in after.before}]
    reasons = {recording.reason for recording in mine}
    if after.cut_off:
        return Outcome.RECOVERED if "recovered" in reasons else Outcome.UNTOUCHED
    if world.errors:
        if not world.started:
            return Outcome.NO_START
        return Outcome.RECOVERED if "recovered" in reasons else Outcome.CRASHED
    if not world.script_done:
        return Outcome.ENDED
    presses = [event for event in world.events if isinstance(event, Pressed) and event.order is Order.PRESS]
    if any(press.outcome == "refused" for press in presses):
        return Outcome.REFUSED
    if after.lost_presses and not any(isinstance(e, StateChanged) and e.cause == "no_video" for e in world.events):
        return Outcome.LOST
    if "storage_full" in reasons:
        return Outcome.FULL
    if any(recording.opening and recording.opening.continues for recording in mine):
        return Outcome.CONTINUED
    if any(recording.reason == "open" for recording in after.before):
        return Outcome.RECOVERED
    if "recovered" in reasons:
        return Outcome.MENDED
    if any(isinstance(event, StateChanged) and event.cause == "no_video" for event in world.events):
        return Outcome.NO_VIDEO
    if any(recording.gaps for recording in mine):
        return Outcome.GAP
    if any(recording.opening and recording.opening.pre_event.reason for recording in mine):
        return Outcome.SHORT
    if any(isinstance(event, FaultChanged) and event.active for event in world.events):
        return Outcome.TOLD
    return Outcome.WHOLE


def reference(*, seed: int = 0, has_sound: bool = False, has_position: bool = False) -> Reference:
    """A shift without a fault, counted."""
    world = World(VirtualVolume(), seed=seed, has_sound=has_sound, has_position=has_position)
    steps = Steps()
    world.instruments.append(steps)
    echoes = count_echoes(world)
    world.run()
    assert not world.errors
    return Reference(tuple(world.volume.gate.log), tuple(steps.actors), dict(echoes))


def run_case(kind: Kind, nth: int, *, seed: int = 0) -> Aftermath:
    """One shift with one fault, and what comes after."""
    cut = kind.after in CUTS
    volume = VirtualVolume(trace=cut)
    world = World(volume, seed=seed, has_sound=kind.has_sound, has_position=kind.has_position)
    kind.strike(world, nth)
    world.run()
    survivor = world.survivor or (_after_cut(volume, kind.after, nth) if cut else None)
    survived = (survivor or volume).tree()
    second = None
    if survivor is not None or not kind.heals or _needs_restart(world, survived) or nth % 8 == 0:
        again = survivor
        if again is None:
            volume.heal()
            volume.capacity = None
            again = volume.killed()
        second = World(again, boot="boot-2" if cut else "boot-1", seed=seed, clock=_later(world))
        second.camera.number = 20_000  # no frame of the first camera's
        second.run(second.short_script)
        volume = again
    return Aftermath(kind, nth, world, survived, second, volume.tree())


def _needs_restart(world: World, tree: Tree) -> bool:
    ended = all(
        isinstance(recording.end, records.Close | records.Recovered) and "SHA256SUMS.sig" in recording.files
        for recording in recordings_of(tree)
    )
    return bool(world.errors) or world.cancelled or not ended


def _later(world: World) -> VirtualClock:
    """The clocks after the next start; a wall clock that was stepped is right again."""
    elapsed_ns = world.ended_ns - START_NS
    return VirtualClock(
        utc_ns=VirtualClock(mono_ns=START_NS, seconds=lambda: 0.0).read().utc_ns + elapsed_ns + 3600 * 10**9,
        mono_ns=START_NS,
    )


def _after_cut(volume: VirtualVolume, after: After, nth: int) -> VirtualVolume:
    last: Moment = volume.moments[-1]
    states = crash_states([last], per_moment=24, seed=nth)
    match after:
        case After.LEAST:
            tree = states[0].tree
        case After.MOST:
            tree = states[-1].tree if len(states) == 1 else max(states, key=lambda state: _weight(state.tree)).tree
        case _:
            tree = states[nth % len(states)].tree
    return VirtualVolume.from_state(tree)


def _weight(tree: Tree) -> tuple[int, int]:
    return len(tree), sum(len(content or b"") for content in tree.values())
