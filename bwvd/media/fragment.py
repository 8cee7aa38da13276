"""Fragments of an MP4 made of GOPs: one short-lived muxer per GOP.

A muxer that lives as long as its recording holds back what we must have on flash now; one that lives for one GOP gives
one fragment (moof + mdat), whole, when it is closed. What it writes before the first `moof` is the init segment again.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple, cast

import av
import av.container

from bwvd.media.init_segment import MUXER_OPTIONS, Written, add_like
from bwvd.media.samples import Batch, Gop, Track, ticks
from bwvd.media.silence import silence_of

BOX_HEADER = 8  # bytes: size and type


class Epoch:
    """The tracks of a stretch of a recording, and what muxes their samples.

    Args:
        video: the camera's track.
        audio: the microphone's, or None.

    **Synchronization:** blocking; one thread at a time.
    """

    def __init__(self, video: Track, audio: Track | None) -> None:
        self.video = video
        self.audio = audio
        self.tracks = (video,) if audio is None else (video, audio)
        singles = [_open_init(track.init) for track in self.tracks]
        try:
            self.init = _write_init([container.streams[0] for container in singles])
        finally:
            for container in singles:
                container.close()
        self._templates = _open_init(self.init)
        self.silence = silence_of(self._templates.streams.audio[0]) if audio is not None else None

    def fits(self, gop: Gop) -> bool:
        """Whether the GOP's samples belong to these tracks."""
        return (gop.video is None or gop.video.track.continues(self.video)) and (
            gop.audio is None or (self.audio is not None and gop.audio.track.continues(self.audio))
        )

    def fragment(self, gop: Gop, number: int, origin_ns: int, silent: Sequence[int] = ()) -> bytes:
        """One GOP as moof + mdat.

        Args:
            number: the fragment's sequence number in the recording, from 1.
            origin_ns: the CLOCK_MONOTONIC that is media time 0. Samples from before it are left out.
            silent: where frames of `silence` are put between its audio, in ticks of the audio track.

        Raises: RuntimeError where the GOP is of other tracks, or the muxer did not write what it was given: what is
        signed must be what was filmed.
        """
        if not self.fits(gop):
            raise RuntimeError("a group of pictures of other tracks than the epoch's")
        packets = [_packets(gop.video, self.video.timescale, origin_ns)]
        if self.audio is not None:
            audio = _packets(gop.audio, self.audio.timescale, origin_ns)
            if self.silence is not None:
                length, data = self.silence.ticks, self.silence.data
                audio += [_Packet(at, at, length, True, data) for at in silent]
            packets.append(sorted(audio, key=_decode_time))
        sink = Written()
        options = {**MUXER_OPTIONS, "fragment_index": str(number)}
        with av.open(sink, "w", format="mp4", options=options) as container:
            streams = [_add_like(container, template) for template in self._templates.streams]
            container.start_encoding()
            for stream, track, of_track in zip(streams, self.tracks, packets, strict=True):
                for packet in of_track:
                    _mux(container, stream, packet, Fraction(1, track.timescale))
        # Fixed boxes in a known order: the first `moof` ends the init part, which is the same each time.
        if not sink.data.startswith(self.init) or sink.data[len(self.init) + 4 : len(self.init) + 8] != b"moof":
            raise RuntimeError("the muxer wrote another init segment than the recording's")
        fragment = bytes(memoryview(sink.data)[len(self.init) :])
        kept = sum(len(packet.data) for of_track in packets for packet in of_track)
        moof, mdat = _size(fragment, 0), _size(fragment, _size(fragment, 0))
        if mdat != BOX_HEADER + kept or moof + mdat != len(fragment):
            # libav passes over some of what goes wrong in a write: memory that runs out, for one.
            raise RuntimeError(f"the muxer wrote {mdat - BOX_HEADER} bytes of samples of {kept}")
        return fragment

    def close(self) -> None:
        self._templates.close()


def _size(data: bytes, offset: int) -> int:
    """Of the box there, header included; ISO/IEC 14496-12, 4.2."""
    return int.from_bytes(data[offset : offset + 4], "big")


class _Packet(NamedTuple):
    """A sample as the muxer takes it: times in ticks of the track."""

    pts: int
    dts: int
    duration: int
    key: bool
    data: bytes | memoryview


def _decode_time(packet: _Packet) -> int:
    return packet.dts


def _packets(batch: Batch | None, timescale: int, origin_ns: int) -> list[_Packet]:
    found: list[_Packet] = []
    view = memoryview(batch.data if batch else b"")
    for sample in batch.samples if batch else ():
        if sample.dts_ns < origin_ns:
            continue
        pts, dts = ticks(sample.pts_ns - origin_ns, timescale), ticks(sample.dts_ns - origin_ns, timescale)
        duration = ticks(sample.dts_ns - origin_ns + sample.duration_ns, timescale) - dts
        found.append(_Packet(pts, dts, duration, sample.key, view[sample.offset : sample.offset + sample.size]))
    return found


def _mux(container: Any, stream: Any, of: _Packet, time_base: Fraction) -> None:
    # A fresh packet each time: mux_one rebases its timestamps in place.
    # Any buffer will do, though PyAV's stubs say bytes.
    packet = av.Packet(cast("bytes", of.data))
    packet.time_base = time_base
    packet.pts, packet.dts, packet.duration = of.pts, of.dts, of.duration
    packet.is_keyframe = of.key
    packet.stream = stream
    container.mux_one(packet)


def _open_init(init: bytes) -> av.container.InputContainer:
    return av.open(io.BytesIO(init), "r", format="mp4")


def _add_like(container: av.container.OutputContainer, template: Any) -> Any:
    """A stream of the same parameters; also the name of its sample entry, which libav would choose anew."""
    stream: Any = add_like(container, template)
    stream.time_base = template.time_base
    stream.codec_context.codec_tag = template.codec_context.codec_tag
    return stream


def _write_init(templates: list[Any]) -> bytes:
    sink = Written()
    with av.open(sink, "w", format="mp4", options=MUXER_OPTIONS) as container:
        for template in templates:
            _add_like(container, template)
        container.start_encoding()
        return bytes(sink.data)
