"""The GOP builder: joins video batches and the audio of the same span. Pure; the time is an argument.

A GOP waits for its audio, because a segment that carries exactly its own span of both tracks can be judged, cut and
played by itself; but never longer than AUDIO_WAIT_NS: late audio goes into the next GOP, where its own timestamps still
place it right.
"""

from __future__ import annotations

from collections import deque

from bwvd.clock import NS
from bwvd.media.samples import Batch, Gop, Sample, Track

AUDIO_WAIT_NS = 500_000_000
AUDIO_ALONE_NS = NS  # without a camera, audio goes on in units of this length


class GopBuilder:
    """Joins the two tracks.

    **Synchronization:** one task.
    """

    def __init__(self) -> None:
        self._video: deque[tuple[Batch, int]] = deque()  # with the time of arrival
        self._audio: deque[tuple[Batch, int]] = deque()  # with the index of the first sample not yet used
        self._audio_until_ns = 0
        self._expects_audio = False  # a microphone delivers and its gate is open
        self._from_ns = 0  # from when on audio is wanted
        self._off_ns = 0  # from when on that is no longer so: audio from before it may be on its way
        self.has_camera = True

    def video(self, batch: Batch, now_ns: int) -> None:
        self._video.append((batch, now_ns))

    def audio(self, batch: Batch) -> None:
        """Take audio; what is from before it was wanted came late, and is overwritten."""
        first = next(
            (n for n, sample in enumerate(batch.samples) if sample.pts_ns + sample.duration_ns > self._from_ns), -1
        )
        if first < 0:
            batch.wipe()
            return
        self._audio.append((batch, first))
        self._audio_until_ns = batch.end_ns

    def deadline_ns(self) -> int | None:
        """When `ready` next has something to give, if nothing is put in before; None: never. Not later than now where
        it has something already: a GOP whose microphone is gone waits for nothing.
        """
        if self._video:
            video, arrived_ns = self._video[0]
            return arrived_ns if self.has_audio_until(video.end_ns) else arrived_ns + AUDIO_WAIT_NS
        return self._next_audio_ns() if self._goes_alone() else None

    def has_audio_until(self, at_ns: int) -> bool:
        """True if no more audio from before that time is to come."""
        return not self._expects_audio or self._audio_until_ns >= at_ns

    def expect_audio(self, expected: bool, from_ns: int) -> None:
        """Say whether there will be audio, and from when on that is so."""
        if expected and not self._expects_audio:
            self._from_ns = from_ns
            self._audio_until_ns = max(self._audio_until_ns, from_ns)
        elif self._expects_audio and not expected:
            self._off_ns = from_ns
        self._expects_audio = expected

    def late_audio(self, until_ns: int) -> tuple[int, int] | None:
        """From when to when audio is expected that has not come; None where nothing lacks before `until_ns`."""
        return None if self.has_audio_until(until_ns) else (self._audio_until_ns, until_ns)

    def ready(self, now_ns: int) -> list[Gop]:
        """The GOPs that are complete, oldest first."""
        gops: list[Gop] = []
        while self._video:
            video, arrived_ns = self._video[0]
            if not self.has_audio_until(video.end_ns) and now_ns < arrived_ns + AUDIO_WAIT_NS:
                return gops
            self._video.popleft()
            gops.append(Gop(video, self._take_audio(video.end_ns), self._late_from_ns(video.end_ns, now_ns)))
        while self._goes_alone():
            gops.append(Gop(None, self._take_audio(self._next_audio_ns() + AUDIO_ALONE_NS)))
        return gops

    def flush(self) -> list[Gop]:
        """Everything that is left, at the end: nothing more will come."""
        gops: list[Gop] = []
        while self._video:
            video, _ = self._video.popleft()
            last = not self._video
            gops.append(Gop(video, self._take_audio(video.end_ns if not last else video.end_ns + AUDIO_WAIT_NS)))
        while self._audio and not self.has_camera:
            gops.append(Gop(None, self._take_audio(self._next_audio_ns() + AUDIO_ALONE_NS)))
        self.drop_audio()
        return gops

    def drop_audio(self) -> None:
        """Forget the audio that no GOP took, overwritten: it was not asked for."""
        while self._audio:
            self._audio.popleft()[0].wipe()

    def clear(self) -> None:
        """Forget everything, overwritten."""
        self.drop_audio()
        while self._video:
            self._video.popleft()[0].wipe()

    def _late_from_ns(self, end_ns: int, now_ns: int) -> int | None:
        """From when on audio may still come, or waits for the next GOP, of another microphone; None: all is here."""
        if self._audio and self._next_audio_ns() < end_ns:
            return self._next_audio_ns()
        if self._expects_audio:
            return self._audio_until_ns
        on_its_way = self._audio_until_ns < self._off_ns and now_ns < self._off_ns + AUDIO_WAIT_NS
        return self._audio_until_ns if on_its_way else None

    def _goes_alone(self) -> bool:
        """Whether waiting audio is a unit of its own: there is no camera, and it is long enough, or all there is."""
        if self.has_camera or not self._audio:
            return False
        return not self._expects_audio or self._audio_until_ns - self._next_audio_ns() >= AUDIO_ALONE_NS

    def _next_audio_ns(self) -> int:
        batch, used = self._audio[0]
        return batch.samples[used].pts_ns

    def _take_audio(self, until_ns: int) -> Batch | None:
        """A batch of its own of the waiting audio before `until_ns`, of one track only."""
        track: Track | None = None
        samples: list[Sample] = []
        data = bytearray()
        while self._audio:
            batch, used = self._audio[0]
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
                self._audio[0] = (batch, taken)
                break
            self._audio.popleft()
            batch.wipe()
        return Batch(track, tuple(samples), data) if track is not None else None
