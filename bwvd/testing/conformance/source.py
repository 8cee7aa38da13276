# ruff: noqa: S101  # a conformance suite is made of asserts
"""The checks of every `MediaSource`, a camera's or a microphone's, the real ones and the virtual ones, and any other.

    @pytest.mark.parametrize("check", VIDEO_CHECKS, ids=lambda check: check.__name__)
    async def test_my_camera(check): await check(my_subject())

Each check needs a subject of its own. None needs pytest. A device in virtual time wants trio's MockClock.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import av
import trio

from bwvd.capture.source import AUDIO_BATCH_NS, AudioGate, DeviceLost, MediaSource, SourceEnded
from bwvd.clock import NS, Clock
from bwvd.media.samples import Batch, Kind, Sample
from bwvd.messages import MediaEvent, MediaGap, SourceDown, SourceUp

PATIENCE_S = 30.0
ROUNDING_NS = 2  # between neighbours: times are integers
LATE_NS = NS // 4  # a batch's end may lie so far after the moment of its delivery, where the next frame is foretold


@dataclass(frozen=True, slots=True)
class Subject:
    """The source under test. None = this one can't be made to."""

    make: Callable[[], MediaSource]  # a fresh one each time, of the same device
    clock: Clock  # that its times are on
    kind: Kind = "video"
    gate: AudioGate = field(default_factory=AudioGate)  # that audio must pass; the one that `make` hands to the source
    end: Callable[[], None] | None = None  # let a source that runs come to its end
    unplug: Callable[[], None] | None = None
    plug: Callable[[], None] | None = None


class _Heard:
    """Everything that a source has sent."""

    def __init__(self, kind: Kind) -> None:
        self.events: list[MediaEvent] = []
        self._kind = kind
        self._more = trio.Event()

    def send(self, event: MediaEvent) -> None:
        self.events.append(event)
        self._more.set()
        self._more = trio.Event()

    @property
    def batches(self) -> list[Batch]:
        return [event for event in self.events if isinstance(event, Batch) and event.track.kind == self._kind]

    @property
    def ups(self) -> list[SourceUp]:
        found = [event for event in self.events if isinstance(event, SourceUp)]
        return [up for up in found if up.track.kind == self._kind]

    async def wait_up(self) -> None:
        while not self.ups:
            await self._more.wait()

    async def wait(self, batches: int) -> None:
        with trio.fail_after(PATIENCE_S):
            while len(self.batches) < batches:
                await self._more.wait()


@asynccontextmanager
async def _running(subject: Subject, *, flush: bool = False) -> AsyncIterator[_Heard]:
    """A source that is up; cancelled at the end of the block."""
    heard = _Heard(subject.kind)
    source = subject.make()
    source.flush_on_cancel(flush)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(PATIENCE_S):
            nursery.start_soon(source.run, heard.send)
            await heard.wait_up()
        yield heard
        nursery.cancel_scope.cancel()


def _samples(batches: list[Batch]) -> list[Sample]:
    return [sample for batch in batches for sample in batch.samples]


async def is_up_before_its_first_batch(subject: Subject) -> None:
    subject.gate.open(0)
    async with _running(subject) as heard:
        assert not any(isinstance(event, SourceDown) for event in heard.events)
        await heard.wait(2)
    (up,) = heard.ups
    assert isinstance(heard.events[0], SourceUp)
    assert up.device == ("camera" if subject.kind == "video" else "microphone")
    assert all(batch.track is up.track for batch in heard.batches), "one track object until something changes"
    assert not any(isinstance(event, SourceDown) for event in heard.events), "that is for the supervisor to say"


async def batches_are_whole_and_follow_each_other(subject: Subject) -> None:
    """Invariant 4: what the recorder relies on for an exact seam."""
    subject.gate.open(0)
    async with _running(subject) as heard:
        await heard.wait(4)
    assert not any(isinstance(event, MediaGap) for event in heard.events)
    for batch in heard.batches:
        assert batch.samples
        at = 0
        for sample in batch.samples:
            assert sample.offset == at, "samples lie side by side"
            assert sample.size > 0
            at += sample.size
        assert at == len(batch.data), "and fill their buffer"
    for before, after in pairwise(_samples(heard.batches)):
        assert before.dts_ns + before.duration_ns == after.dts_ns > before.dts_ns
    for earlier, later in pairwise(heard.batches):
        assert abs(earlier.end_ns - later.start_ns) <= ROUNDING_NS


async def a_batch_of_video_is_one_closed_group(subject: Subject) -> None:
    async with _running(subject) as heard:
        await heard.wait(3)
    for batch in heard.batches:
        assert [sample.key for sample in batch.samples] == [True] + [False] * (len(batch.samples) - 1)
        first = batch.samples[0].pts_ns
        for sample in batch.samples:
            assert sample.dts_ns <= sample.pts_ns
            assert sample.pts_ns >= first, "nothing is shown before the key frame that it hangs on"


async def every_batch_decodes_by_itself(subject: Subject) -> None:
    subject.gate.open(0)
    async with _running(subject) as heard:
        await heard.wait(3)
    for batch in heard.batches:
        with av.open(io.BytesIO(batch.track.init)) as container:
            extradata = container.streams[0].codec_context.extradata
        context = av.CodecContext.create(batch.track.codec, "r")
        assert isinstance(context, av.VideoCodecContext | av.AudioCodecContext)
        context.extradata = extradata
        context.thread_count = 1
        frames = 0
        for sample in batch.samples:
            frames += len(context.decode(av.Packet(bytes(batch.data[sample.offset : sample.offset + sample.size]))))
        frames += len(context.decode(None))
        assert frames == len(batch.samples)


async def the_group_in_the_making_is_delivered_only_if_asked(subject: Subject) -> None:
    for flush in (False, True):
        async with _running(subject, flush=flush) as heard:
            await heard.wait(2)
            usual = heard.batches[0]
            length_s = (usual.end_ns - usual.start_ns) / NS
            await trio.sleep(length_s / 2)
            before = len(heard.batches)
        left = heard.batches[before:]
        if not flush:
            assert not left
        elif left:
            assert len(left[-1].samples) <= len(usual.samples)
            assert left[-1].samples[-1].duration_ns < 4 * length_s * NS / len(usual.samples)
        else:
            raise AssertionError("half a group was on its way and was not delivered")


async def times_are_those_of_the_clock(subject: Subject) -> None:
    subject.gate.open(0)
    began_ns = subject.clock.monotonic_ns()
    async with _running(subject) as heard:
        await heard.wait(2)
        delivered_ns = subject.clock.monotonic_ns()
    lead_in_ns = 0 if subject.kind == "video" else NS // 20  # a frame that the encoder puts before the first sample
    assert began_ns - lead_in_ns <= heard.batches[0].start_ns, "nothing is from before the opening"
    assert heard.batches[1].end_ns <= delivered_ns + LATE_NS, "nor from the future"


async def sound_comes_soon_and_without_a_seam(subject: Subject) -> None:
    subject.gate.open(0)
    async with _running(subject) as heard:
        await heard.wait(4)
    for before, after in pairwise(_samples(heard.batches)):
        assert after.dts_ns == before.dts_ns + before.duration_ns
        assert after.pts_ns == after.dts_ns
        assert after.key
    for batch in heard.batches:
        assert AUDIO_BATCH_NS <= batch.end_ns - batch.start_ns < 2 * AUDIO_BATCH_NS


async def sound_stays_behind_a_closed_gate(subject: Subject) -> None:
    """Pre-event audio is off by default: a source never delivers what the gate does not let through."""
    subject.gate.close()
    async with _running(subject) as heard:
        await trio.sleep(0.6)
        assert heard.batches == []
        opened_ns = subject.clock.monotonic_ns()
        subject.gate.open(opened_ns)
        await heard.wait(2)
        assert opened_ns <= heard.batches[0].start_ns <= opened_ns + NS // 10
        subject.gate.close()
        closed_ns = subject.clock.monotonic_ns()
        await trio.sleep(0.6)
        there = len(heard.batches)
        await trio.sleep(0.6)
        assert len(heard.batches) == there
        assert heard.batches[-1].end_ns <= closed_ns + NS // 10


async def it_says_that_it_has_ended(subject: Subject) -> None:
    if subject.end is None:
        return
    subject.gate.open(0)
    heard = _Heard(subject.kind)

    async def watch() -> None:
        try:
            await subject.make().run(heard.send)
        except SourceEnded as end:
            assert len(str(end).splitlines()) == 1  # noqa: PT017  there is no pytest here
        else:
            raise AssertionError("it returned without a word")

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await heard.wait(1)
            subject.end()
    assert isinstance(heard.events[-1], Batch), "the last group comes before the end"


async def it_says_that_it_was_lost_and_comes_back(subject: Subject) -> None:
    if subject.unplug is None or subject.plug is None:
        return
    subject.gate.open(0)
    for _ in range(2):
        heard = _Heard(subject.kind)
        lost: list[str] = []

        async def watch(heard: _Heard = heard, lost: list[str] = lost) -> None:
            try:
                await subject.make().run(heard.send)
            except DeviceLost as error:
                lost.append(str(error))

        with trio.fail_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch)
                await heard.wait(1)
                subject.unplug()
            await watch()  # it is absent now
        assert len(lost) == 2
        assert all(len(text.splitlines()) == 1 for text in lost), "one line that names the device"
        assert not any(isinstance(event, SourceDown) for event in heard.events)
        subject.plug()
    async with _running(subject) as again:
        await again.wait(1)


async def the_errors_of_its_caller_are_not_its_own(subject: Subject) -> None:
    """What `send` raises is a bug of ours: it must not be taken for a lost device."""
    subject.gate.open(0)
    bug = ValueError("ours")

    def fail(event: MediaEvent) -> None:
        if isinstance(event, Batch):
            raise bug

    try:
        with trio.fail_after(PATIENCE_S):
            await subject.make().run(fail)
    except ValueError as error:
        assert error is bug  # noqa: PT017  there is no pytest here
    else:
        raise AssertionError("run returned")


Check = Callable[[Subject], Awaitable[None]]

CHECKS: tuple[Check, ...] = (
    is_up_before_its_first_batch,
    batches_are_whole_and_follow_each_other,
    every_batch_decodes_by_itself,
    times_are_those_of_the_clock,
    it_says_that_it_has_ended,
    it_says_that_it_was_lost_and_comes_back,
    the_errors_of_its_caller_are_not_its_own,
)
VIDEO_CHECKS: tuple[Check, ...] = (
    *CHECKS,
    a_batch_of_video_is_one_closed_group,
    the_group_in_the_making_is_delivered_only_if_asked,
)
SOUND_CHECKS: tuple[Check, ...] = (*CHECKS, sound_comes_soon_and_without_a_seam, sound_stays_behind_a_closed_gate)
