"""A microphone in virtual time: real AAC, no two packets of ten seconds alike, and the faults that audio has."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import trio

from bwvd.capture.source import AUDIO_BATCH_NS, AudioGate, DeviceLost, SourceEnded
from bwvd.clock import NS, Clock
from bwvd.media.samples import Batch, Sample, Track
from bwvd.messages import MediaEvent, MediaGap, SourceUp
from bwvd.testing.clip import SOUND_FRAME, numbered_sound

SILENCE_NS = 3 * NS  # as `LibavSource.SILENCE_S`
PERIOD = 4  # packets that are read at a time, about the period of a sound card


class VirtualMicrophone:
    """A `MediaSource` of sound without a device or a thread.

    Packet n (`number` counts them) has the bytes of `numbered_sound(rate, channels).packet(n)`. What the gate does not
    let through is taken, and numbered, but never sent.

    **Synchronization:** trio's thread only.
    """

    def __init__(
        self,
        clock: Clock,
        gate: AudioGate,
        *,
        rate: int = 48_000,
        channels: int = 1,
        drift_ppm: float = 0.0,
        source: str = "virtual:microphone",
    ) -> None:
        """drift_ppm: by how many millionths its sampling runs fast. An adapter makes up for that against
        CLOCK_MONOTONIC, so that packets follow each other without a hole and are a little shorter, or longer.
        """
        self._clock = clock
        self._drift_ppm = drift_ppm
        self.gate = gate  # another one where another process opens it
        self._maker = numbered_sound(rate, channels)
        self._source = source
        self._changed = trio.Event()
        self._flush = False
        self._plugged = True
        self._ended = False
        self._stalled_until_ns = 0
        self._absent_until_ns = 0
        self._drop = 0
        self._opening: _Listening | None = None
        self.number = 0  # of the next packet
        self.openings = 0

    # --- faults ---

    def stall(self, seconds: float) -> None:
        """Take nothing for so long (what was said then is gone); after `SILENCE_NS` the microphone counts as lost."""
        self._catch_up()
        self._stalled_until_ns = self._clock.monotonic_ns() + round(seconds * NS)
        self._changed.set()

    def drop(self, packets: int = 1) -> None:
        """The next packets are lost, as by an overrun; their numbers are used up, and a MediaGap names the hole."""
        self._catch_up()
        self._drop += packets

    def restart(self, seconds: float = 0.5) -> None:
        """The sound card begins anew: DeviceLost now, and at every opening for so long."""
        self._catch_up()
        self._absent_until_ns = self._clock.monotonic_ns() + round(seconds * NS)
        self._changed.set()

    def unplug(self) -> None:
        self._catch_up()
        self._plugged = False
        self._changed.set()

    def plug(self) -> None:
        self._plugged = True

    def end(self) -> None:
        """The source comes to its end: SourceEnded."""
        self._catch_up()
        self._ended = True
        self._changed.set()

    # --- MediaSource ---

    def flush_on_cancel(self, flush: bool) -> None:
        self._flush = flush

    async def run(self, send: Callable[[MediaEvent], None]) -> None:
        await trio.lowlevel.checkpoint()
        if not self._present:
            raise DeviceLost(f"{self._source}: No such device")
        self.openings += 1
        opening = self._opening = _Listening(self, send)
        deliver = True
        try:
            while True:
                opening.advance(self._clock.monotonic_ns())
                if self._ended:
                    raise SourceEnded(f"{self._source} has come to its end")
                if not self._present:
                    raise DeviceLost(f"{self._source}: No such device")
                if self._clock.monotonic_ns() >= opening.silent_from_ns + SILENCE_NS:
                    raise DeviceLost(f"{self._source} delivered nothing for {SILENCE_NS // NS} s")
                self._changed = trio.Event()
                left_ns = opening.next_event_ns() - self._clock.monotonic_ns()
                with trio.move_on_after(max(left_ns, 0) / NS):
                    await self._changed.wait()
        except trio.Cancelled:
            opening.advance(self._clock.monotonic_ns())
            deliver = self._flush
            raise
        finally:
            self._opening = None
            if deliver:
                opening.deliver()

    @property
    def _present(self) -> bool:
        return self._plugged and self._clock.monotonic_ns() >= self._absent_until_ns

    def _catch_up(self) -> None:
        if self._opening is not None:
            self._opening.advance(self._clock.monotonic_ns())


class _Listening:
    """The microphone from one opening to the next."""

    def __init__(self, microphone: VirtualMicrophone, send: Callable[[MediaEvent], None]) -> None:
        self._microphone = microphone
        self._send = send
        self._origin_ns = microphone._clock.monotonic_ns()
        # Packets in so many nanoseconds, as a fraction of integers: no rounding adds up over hours.
        self._per_ns = Fraction(microphone._maker.rate, SOUND_FRAME * NS) * (
            1 + Fraction(microphone._drift_ppm) / 10**6
        )
        self._count = 0  # packets since the origin
        self._pending: list[tuple[int, int, int]] = []  # number, begin, end
        self._lost_from_ns: int | None = None
        self.silent_from_ns = self._origin_ns
        maker = microphone._maker
        self._up = False
        self._track = Track(
            kind="audio",
            codec="aac",
            timescale=maker.rate,
            init=maker.init,
            source=microphone._source,
            encoder="aac",
            rate=float(maker.rate),
            channels=maker.channels,
        )

    def advance(self, now_ns: int) -> None:
        """Take every packet whose last sample has been heard by now."""
        while (end_ns := self._time(self._count + 1)) <= now_ns:
            begin_ns = self._time(self._count)
            self._count += 1
            if begin_ns < self._microphone._stalled_until_ns:
                if self._lost_from_ns is None:
                    self._lost_from_ns = begin_ns
                continue
            self._take(begin_ns, end_ns)

    def next_event_ns(self) -> int:
        """When something will happen at the earliest that somebody else can see."""
        lost_ns = self.silent_from_ns + SILENCE_NS
        stalled_ns = self._microphone._stalled_until_ns
        if self._time(self._count) < stalled_ns:
            return min(lost_ns, max(stalled_ns, self._time(self._count + 1)))
        # The gate may open or close meanwhile, and nobody says so: it is looked at every few packets.
        return self._time(self._count + PERIOD if self._up else self._count + 1)

    def deliver(self) -> None:
        """Send what is held."""
        if not self._pending:
            return
        data = bytearray()
        samples = []
        for number, begin_ns, end_ns in self._pending:
            packet = self._microphone._maker.packet(number)
            samples.append(Sample(len(data), len(packet), begin_ns, begin_ns, end_ns - begin_ns, True))
            data += packet
        self._pending.clear()
        self._send(Batch(self._track, tuple(samples), data))

    def _take(self, begin_ns: int, end_ns: int) -> None:
        microphone = self._microphone
        self.silent_from_ns = end_ns
        number = microphone.number
        microphone.number += 1
        if microphone._drop:
            microphone._drop -= 1
            if self._lost_from_ns is None:
                self._lost_from_ns = begin_ns
            return
        if not self._up:
            self._up = True
            self._send(SourceUp("microphone", self._track))
        if self._lost_from_ns is not None:
            if microphone.gate.lets(begin_ns):
                self._send(MediaGap("audio", self._lost_from_ns, begin_ns, "dropped_by_device", 0))
            self._lost_from_ns = None
        if microphone.gate.lets(begin_ns):
            self._pending.append((number, begin_ns, end_ns))
        elif microphone.gate.open_from_ns is None:
            self.deliver()  # what was heard before the gate closed
        if self._pending and end_ns - self._pending[0][1] >= AUDIO_BATCH_NS:
            self.deliver()

    def _time(self, packets: int) -> int:
        return self._origin_ns + packets * self._per_ns.denominator // self._per_ns.numerator
