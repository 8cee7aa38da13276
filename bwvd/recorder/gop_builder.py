"""Video batches and the sound of the same span, joined to GOPs. Pure; the time is an argument.

A GOP waits for its sound, because a segment that carries exactly its own span of both tracks can be judged, cut and
played by itself; but never longer than AUDIO_WAIT_NS: late sound goes into the next GOP, where its own timestamps still
place it right.
"""

from __future__ import annotations

from collections import deque

from bwvd.clock import NS
from bwvd.media.samples import Batch, Gop, Sample, Track

AUDIO_WAIT_NS = 500_000_000
SOUND_ALONE_NS = NS  # without a camera, sound goes on in units of this length


class Assembler:
    """Joins the two tracks.

    **Synchronization:** one task.
    """

    def __init__(self) -> None:
        self._videos: deque[tuple[Batch, int]] = deque()  # with the time of arrival
        self._sounds: deque[tuple[Batch, int]] = deque()  # with the index of the first sample not yet used
        self._sound_until_ns = 0
        self._expects_sound = False  # a microphone delivers and its gate is open
        self.has_camera = True

    def video(self, batch: Batch, now_ns: int) -> None:
        self._videos.append((batch, now_ns))

    def audio(self, batch: Batch) -> None:
        self._sounds.append((batch, 0))
        self._sound_until_ns = batch.end_ns

    def deadline_ns(self) -> int | None:
        """When the oldest waiting GOP stops waiting for its sound."""
        return self._videos[0][1] + AUDIO_WAIT_NS if self._videos else None

    def has_sound_until(self, at_ns: int) -> bool:
        """Whether no more sound from before that time is to come."""
        return not self._expects_sound or self._sound_until_ns >= at_ns

    def expect_sound(self, expected: bool, from_ns: int) -> None:
        """Whether there will be sound, and from when on where there was none before."""
        if expected and not self._expects_sound:
            self._sound_until_ns = max(self._sound_until_ns, from_ns)
        self._expects_sound = expected

    def late_sound(self, until_ns: int) -> tuple[int, int] | None:
        """From when to when sound is expected that has not come; None where nothing lacks before `until_ns`."""
        return None if self.has_sound_until(until_ns) else (self._sound_until_ns, until_ns)

    def ready(self, now_ns: int) -> list[Gop]:
        """The GOPs that are complete, oldest first."""
        gops: list[Gop] = []
        while self._videos:
            video, arrived_ns = self._videos[0]
            if not self.has_sound_until(video.end_ns) and now_ns < arrived_ns + AUDIO_WAIT_NS:
                return gops
            self._videos.popleft()
            gops.append(Gop(video, self._take_sound(video.end_ns)))
        while not self.has_camera and self._sounds and self._sound_until_ns - self._next_sound_ns() >= SOUND_ALONE_NS:
            gops.append(Gop(None, self._take_sound(self._next_sound_ns() + SOUND_ALONE_NS)))
        return gops

    def flush(self) -> list[Gop]:
        """Everything that is left, at the end: nothing more will come."""
        gops: list[Gop] = []
        while self._videos:
            video, _ = self._videos.popleft()
            last = not self._videos
            gops.append(Gop(video, self._take_sound(video.end_ns if not last else video.end_ns + AUDIO_WAIT_NS)))
        while self._sounds and not self.has_camera:
            gops.append(Gop(None, self._take_sound(self._next_sound_ns() + SOUND_ALONE_NS)))
        self.drop_sound()
        return gops

    def drop_sound(self) -> None:
        """Forget the sound that no GOP took, overwritten: it was not asked for."""
        while self._sounds:
            self._sounds.popleft()[0].wipe()

    def clear(self) -> None:
        """Forget everything, overwritten."""
        self.drop_sound()
        while self._videos:
            self._videos.popleft()[0].wipe()

    def _next_sound_ns(self) -> int:
        batch, used = self._sounds[0]
        return batch.samples[used].pts_ns

    def _take_sound(self, until_ns: int) -> Batch | None:
        """A batch of its own of the waiting sound before `until_ns`, of one track only."""
        track: Track | None = None
        samples: list[Sample] = []
        data = bytearray()
        while self._sounds:
            batch, used = self._sounds[0]
            if track is not None and batch.track is not track:
                break
            taken = used
            for sample in batch.samples[used:]:
                if sample.pts_ns >= until_ns:
                    break
                samples.append(sample._replace(offset=len(data)))
                data += memoryview(batch.data)[sample.offset : sample.offset + sample.size]
                taken += 1
            if taken > used:
                track = batch.track
            if taken < len(batch.samples):
                self._sounds[0] = (batch, taken)
                break
            self._sounds.popleft()
            batch.wipe()
        return Batch(track, tuple(samples), data) if track is not None else None
