"""Access units: the slices of one frame, in one packet.

libav begins another packet where parameter sets stand, and some cameras send them before each slice of a key frame.
What such a packet begins with says whether it begins a frame.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import av
from av.video.stream import VideoStream

from bwvd.capture.timestamps import Moment
from bwvd.media.nal import START_CODE, NalForm

HEAD_BYTES = 1_024  # in which the first slice of a packet nearly always begins

Unit: TypeAlias = "tuple[av.Packet[Any], Moment]"


def units_of(stream: VideoStream, ahead: bool) -> AccessUnits | None:
    """For a stream whose packets may be parts of frames; None where a container keeps frames whole.

    ahead: wait for the packet after each from the beginning, not only when one was seen to go on with the last.
    """
    context = stream.codec_context
    codec = context.codec.canonical_name
    if codec not in ("h264", "hevc"):
        return None
    form = NalForm.of("h264" if codec == "h264" else "hevc", context.extradata)
    return AccessUnits(form, ahead) if not form.length_bytes else None


class AccessUnits:
    """Joins the parts of each frame of one stream. **Synchronization:** one thread."""

    def __init__(self, form: NalForm, ahead: bool) -> None:
        self.ahead = ahead
        self._form = form
        self._held: Unit | None = None

    def take(self, packet: av.Packet[Any], moment: Moment) -> list[Unit]:
        """Take the next packet; returns the frames that are whole now, with the moments at which they came.

        A part whose beginning is missing, or was handed on as a frame of its own, is marked as corrupt.
        """
        rest: av.Packet[Any] | None = None
        if self.continues(packet):
            packet, rest = self.split(packet)
            if self._held is not None and self._joins(packet):
                return [] if rest is None else self.take(rest, moment)
            self.ahead = packet.is_corrupt = True
        if not self.ahead:
            return [(packet, moment)]
        whole, self._held = self._held, (packet, moment)
        units = [] if whole is None else [whole]
        return units if rest is None else [*units, *self.take(rest, moment)]

    def flush(self) -> Unit | None:
        """The frame that is held back: nothing more of it comes."""
        held, self._held = self._held, None
        return held

    def continues(self, packet: av.Packet[Any]) -> bool:
        """True if the packet goes on with a frame that has begun before it."""
        data = memoryview(packet)
        begins = self._form.begins_picture(bytes(data[:HEAD_BYTES]))
        if begins is None and len(data) > HEAD_BYTES:
            begins = self._form.begins_picture(bytes(data))
        return begins is False

    def split(self, packet: av.Packet[Any]) -> tuple[av.Packet[Any], av.Packet[Any] | None]:
        """The part of a packet that goes on with a frame, and what is behind it: libav may put the next frame there."""
        data = bytes(packet)
        at = self._form.next_picture(data)
        if at is None:
            return packet, None
        part, rest = (_like(packet, piece) for piece in (data[:at], data[at:]))
        for stamp in ("pts", "dts"):
            ticks = getattr(packet, stamp)
            setattr(rest, stamp, ticks + packet.duration if ticks is not None and packet.duration else None)
        part.is_keyframe, rest.is_keyframe = packet.is_keyframe, False  # a key frame would begin with parameter sets
        return part, rest

    def join(self, first: av.Packet[Any], rest: av.Packet[Any]) -> av.Packet[Any]:
        """Both in one packet; parameter sets that stand between the slices are left out."""
        data = bytes(rest)
        slices = b"".join(b"\0" + START_CODE + data[a:b] for a, b in self._form.without_sets(data))
        joined = _like(first, bytes(first) + slices)
        joined.pts = first.pts if first.pts is not None else rest.pts
        joined.dts = first.dts if first.dts is not None else rest.dts
        joined.is_keyframe = first.is_keyframe or rest.is_keyframe
        joined.is_corrupt = first.is_corrupt or rest.is_corrupt
        return joined

    def _joins(self, packet: av.Packet[Any]) -> bool:
        """Put a part to what is held; False if that is another frame by its time."""
        if self._held is None:
            return False
        held, moment = self._held
        if held.pts is not None and packet.pts is not None and held.pts != packet.pts:
            return False
        self._held = self.join(held, packet), moment
        return True


def _like(packet: av.Packet[Any], data: bytes) -> av.Packet[Any]:
    """A packet of the same stream and length of time, with other data."""
    made: av.Packet[Any] = av.Packet(data)
    if packet.stream is not None:  # made by hand, a packet has none
        made.stream = packet.stream
    made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
    return made
