"""The packets of one opened source, as libav reads them, with those marked before which others were lost on the way.

Over UDP packets are lost, and libav hands on what is left of a frame as if it were one. All that it says of that is a
warning in its log, from inside the read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import av

from bwvd.capture.device.device_thread import ThreadChannel
from bwvd.capture.device.libav_log import Line
from bwvd.capture.device.open_input import RTSP_READ_S
from bwvd.capture.input import Input
from bwvd.capture.libav_errors import why
from bwvd.capture.source import DeviceLost, Stopped
from bwvd.media.init_segment import decodes

_MISSED = re.compile(r"RTP: missed (\d+) packets")  # as libavformat writes it


class PacketReader:
    """Reads packets of all tracks, one after the other. **Synchronization:** the device's thread."""

    def __init__(self, source: Input, text: str, channel: ThreadChannel, log: list[Line] | None) -> None:
        """text: the address, for messages. log: libav's, from before the opening on; emptied here. None: none is
        kept, as no packet can be lost on the way."""
        # Of all tracks: a read would not come back while only packets arrive that nobody wants.
        self._packets: Iterator[av.Packet[Any]] = source.packets
        self._text = text
        self._channel = channel
        self._log = log
        self._video = {stream.index for stream in source.streams.video}
        self._lost: dict[int, int] = {}  # by stream of video that has lost packets: the frames that may lack them
        self._expected: dict[int, int] = {}  # by stream of audio: where its next packet begins, in ticks
        if self._missed():  # while libav looked at what it opened
            self._lose()

    def read(self) -> av.Packet[Any] | None:
        """The next packet; None at the end. One of video that lacks what was lost, or refers to it, `is_corrupt`.

        Raises: Stopped; DeviceLost.
        """
        if self._channel.stopping:
            raise Stopped
        self._channel.away()
        try:
            packet = next(self._packets, None)
        except av.ExitError as error:
            raise DeviceLost(f"{self._text} delivered nothing for {RTSP_READ_S} s") from error
        except av.FFmpegError as error:
            raise DeviceLost(f"{self._text}: {why(error)}") from error
        finally:
            self._channel.back()
        if self._log is not None and packet is not None and packet.size:
            self._mark(packet)
        return packet

    def _missed(self) -> int:
        """How many times packets were missed since the last look."""
        if not self._log:
            return 0
        times = sum(_MISSED.match(text) is not None for _, _, text in self._log)
        self._log.clear()
        return times

    def _mark(self, packet: av.Packet[Any]) -> None:
        """Find out whose the packets were that libav missed during this read: it does not say.

        A packet of audio is whole by itself: if one was lost, the next is what this read has given, and it does not
        begin where the last one ended. In every other case they were of video.
        """
        missed, index = self._missed(), packet.stream_index
        if index not in self._video:
            begin, length = packet.pts, packet.duration or 0
            expected = self._expected.get(index)
            jumped = expected is not None and begin is not None and begin - expected > length // 2
            if missed > jumped:
                self._lose()
            if begin is not None:
                self._expected[index] = begin + length
            return
        if missed:
            self._lose()
        if left := self._lost.pop(index, 0):
            if left > 1:
                self._lost[index] = left - 1
            # Of JPEGs only whole ones come.
            packet.is_corrupt = not (packet.stream.codec_context.codec.intra_only or _is_whole_key(packet))

    def _lose(self) -> None:
        """A frame is handed on when the next one has begun: it may be the one that lacks something, or that next."""
        self._lost = dict.fromkeys(self._video, 2)


def _is_whole_key(packet: av.Packet[Any]) -> bool:
    """True for a key frame that a strict decoder takes."""
    if not packet.is_keyframe:
        return False
    context = packet.stream.codec_context
    extradata = bytes(context.extradata or b"")  # in Annex B, as the camera's description of the stream gives it
    return decodes(context.codec.canonical_name, extradata + bytes(packet))
