"""A small RTSP camera for tests: numbered H.264 over TCP in real time, with the faults that such cameras have."""

from __future__ import annotations

import base64
import io
import ssl
from dataclasses import dataclass, field

import av
import trio

from bwvd.media.nal import prefixed_units
from bwvd.testing.clip import numbered_video

Stream = trio.abc.Stream

_CLOCK = 90_000
_SOUND_RATE = 8_000
_SOUND_PIECE = 160  # samples in a packet
_FRAGMENT = 1_200  # bytes of a NAL unit in one RTP packet


def parameter_sets(b_frames: int = 0) -> tuple[bytes, bytes]:
    """SPS and PPS of the numbered video, out of its avcC."""
    with av.open(io.BytesIO(numbered_video(b_frames=b_frames).init)) as container:
        avcc = bytes(container.streams.video[0].codec_context.extradata or b"")
    size = int.from_bytes(avcc[6:8], "big")
    sps, rest = avcc[8 : 8 + size], avcc[8 + size :]
    return sps, rest[3 : 3 + int.from_bytes(rest[1:3], "big")]


@dataclass
class RtspCamera:
    """Serves one client at a time, each from a new first frame on; `number` counts frames over its life."""

    rate: int = 30
    gop_frames: int = 15
    b_frames: int = 0
    burst: int = 0  # frames that a client gets at once at the beginning
    clock_ppm: int = 0  # its clock runs so much too fast
    jump_at: int = 0  # frame of a client at which that clock is set, by …
    jump_s: float = 0.0
    dark_from: int = 1 << 40  # frames of a client between which it is dark, and frames come half as often
    dark_to: int = 1 << 40
    number: int = 0
    hang: bool = False  # go on holding the connection, and send nothing
    sound: bool = False  # a second track, of PCMU
    blind: bool = False  # no video is sent while this is so
    mute: bool = False  # the same of sound
    tls: ssl.SSLContext | None = None  # it is an rtsps: camera
    keyless: bool = False  # no key frame is sent
    port: int = 0
    clients: int = 0
    _streaming: trio.CancelScope = field(default_factory=trio.CancelScope)

    def hang_up(self) -> None:
        """Close the connection."""
        self._streaming.cancel()

    async def run(self, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        task_status.started(f"rtsp{'s' if self.tls else ''}://127.0.0.1:{self.port}/live")
        await trio.serve_listeners(self._serve, [listener])

    async def _serve(self, plain: trio.SocketStream) -> None:
        stream: Stream = trio.SSLStream(plain, self.tls, server_side=True) if self.tls else plain
        self._streaming = trio.CancelScope()
        try:
            with self._streaming:
                async with stream, trio.open_nursery() as nursery:
                    await self._answer(stream, nursery, trio.Lock())
                    nursery.cancel_scope.cancel()
        except* trio.BrokenResourceError:
            pass  # the client has gone, or does not trust us

    async def _answer(self, stream: Stream, nursery: trio.Nursery, sending: trio.Lock) -> None:
        buffer = b""
        while True:
            while b"\r\n\r\n" not in buffer:
                try:
                    data = await stream.receive_some()
                except trio.BrokenResourceError:
                    return
                if not data:
                    return
                buffer += data
                while buffer[:1] == b"$" and len(buffer) >= 4:  # the client's RTCP
                    buffer = buffer[4 + int.from_bytes(buffer[2:4], "big") :]
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            lines = head.decode().splitlines()
            method = lines[0].split()[0]
            sequence = next(line.split(":")[1].strip() for line in lines if line.lower().startswith("cseq"))
            extra, body = "", ""
            match method:
                case "OPTIONS":
                    extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
                case "DESCRIBE":
                    body = self._sdp()
                    extra = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
                case "SETUP":
                    channels = "2-3" if lines[0].split()[1].endswith("track2") else "0-1"
                    extra = f"Transport: RTP/AVP/TCP;unicast;interleaved={channels}\r\nSession: 1\r\n"
                case _:
                    extra = "Session: 1\r\n"
            async with sending:  # while it plays, the client still asks
                await stream.send_all(f"RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\n{extra}\r\n{body}".encode())
            if method == "PLAY":
                nursery.start_soon(self._play, stream, sending)
                if self.sound:
                    nursery.start_soon(self._play_sound, stream, sending)
            elif method == "TEARDOWN":
                return

    def _sdp(self) -> str:
        sets = ",".join(base64.b64encode(unit).decode() for unit in parameter_sets(self.b_frames))
        return (
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=numbered\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
            f"a=rtpmap:96 H264/{_CLOCK}\r\na=framerate:{self.rate}\r\n"
            f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}\r\na=control:track1\r\n"
        ) + ("m=audio 0 RTP/AVP 0\r\na=control:track2\r\n" if self.sound else "")

    async def _play(self, stream: Stream, sending: trio.Lock) -> None:
        self.clients += 1
        begin = trio.current_time()
        sequence = count = 0
        try:
            while True:
                numbers = tuple(range(self.number, self.number + self.gop_frames))
                coded = numbered_video(b_frames=self.b_frames).gop(numbers)
                begun = count
                for place, (offset, size) in enumerate(coded.spans):
                    # A frame that others are predicted from is sent before them, and so are they as late.
                    latest = begun + max(coded.shown[: place + 1])
                    await trio.sleep_until(begin + self._taken_s(max(latest - self.burst, 0)))
                    if self.hang:
                        await trio.sleep_forever()
                    taken = begun + coded.shown[place]
                    own_s = self._taken_s(taken) * (1 + self.clock_ppm / 1_000_000)
                    own_s += self.jump_s if taken >= self.jump_at else 0
                    stamp = 123_456 + round(own_s * _CLOCK)
                    unit = coded.data[offset : offset + size]
                    packets = self._packets(unit)
                    out = b""
                    for index, payload in enumerate(packets):
                        last = index == len(packets) - 1
                        rtp = bytes([0x80, 96 | 0x80 * last]) + sequence.to_bytes(2, "big")
                        rtp += (stamp & 0xFFFFFFFF).to_bytes(4, "big") + b"bwvd" + payload
                        out += b"$\0" + len(rtp).to_bytes(2, "big") + rtp
                        sequence = (sequence + 1) & 0xFFFF
                    if not (self.blind or (self.keyless and not place)):
                        async with sending:
                            await stream.send_all(out)
                    count += 1
                    self.number += 1
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the client has gone

    async def _play_sound(self, stream: Stream, sending: trio.Lock) -> None:
        begin = trio.current_time()
        count = 0
        try:
            while not self.hang:
                await trio.sleep_until(begin + count * _SOUND_PIECE / _SOUND_RATE)
                rtp = b"\x80\0" + (count & 0xFFFF).to_bytes(2, "big") + (count * _SOUND_PIECE).to_bytes(4, "big")
                rtp += b"bwva" + bytes((31 * at * (count + 1)) & 0xFF for at in range(_SOUND_PIECE))
                if not self.mute:
                    async with sending:
                        await stream.send_all(b"$\2" + len(rtp).to_bytes(2, "big") + rtp)
                count += 1
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    def _taken_s(self, count: int) -> float:
        """When a frame is taken, after the first one."""
        return (count + max(min(count, self.dark_to) - self.dark_from, 0)) / self.rate

    @staticmethod
    def _packets(unit: bytes) -> list[bytes]:
        """RFC 6184: whole units, or fragments (FU-A) of those that are too large for a packet."""
        packets = []
        for start, end in prefixed_units(unit, 4):
            nal = unit[start:end]
            if len(nal) <= _FRAGMENT:
                packets.append(nal)
                continue
            pieces = [nal[at : at + _FRAGMENT] for at in range(1, len(nal), _FRAGMENT)]
            for index, piece in enumerate(pieces):
                flags = 0x80 * (index == 0) | 0x40 * (index == len(pieces) - 1)
                packets.append(bytes([nal[0] & 0xE0 | 28, flags | nal[0] & 0x1F]) + piece)
        return packets
