"""A stock RTSP server, GStreamer's, on loopback: `rtsp_server.py JSON`. Run by the system's Python, which has `gi`.

Only what is raw is ours: each frame carries its number, and frame n is taken n frame intervals after the pipeline
began; the sound is silence with a short tone at each full second of the same time. Encoders, payloaders and the server
are GStreamer's. Prints the port that it listens on. `gi.repository` has no type information, and this is no part of the
suite's process.
"""

import itertools
import json
import sys
import threading
import time
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402 - after the versions are asked for

asked = json.loads(sys.argv[1])
OVER, UNDER = asked["rate"]  # frames a second
GONE_AFTER, GONE_FOR = asked["gone"]  # frames between the order and those that are gone, and how many those are
LOSES = asked["loses"]  # those that are gone are made, and their RTP packets are lost
CHANGES = asked["changes"]  # the size changes with the order
SIZES = (asked["size"], (384, 256))
PIECE_MS, TONE_MS = 20, 40
COLUMNS, ROWS, CHECK = 8, 3, 0xA5  # as in bwvd.testing.picture


class Ordered:
    """What is done to which frames, once a line has come on stdin: none of them had been made by then."""

    lock = threading.Lock()
    newest = -1  # the frame that was made last
    gone = range(0)
    change = 0  # 0 = never

    @classmethod
    def begin(cls, number: int) -> bool:
        """Make the next frame; True if it is one of those that are never made."""
        with cls.lock:
            cls.newest = number
            return not LOSES and number in cls.gone

    @classmethod
    def listen(cls) -> None:
        """Take the order, and print the first and the last but one of the frames that are gone."""
        for _ in sys.stdin:
            with cls.lock:
                at = cls.newest + 2
                cls.change = at if CHANGES else 0
                cls.gone = range(at + GONE_AFTER, at + GONE_AFTER + GONE_FOR)
            print(cls.gone.start, cls.gone.stop, flush=True)


def size_of(number: int) -> tuple[int, int]:
    """The width and height of a frame."""
    return SIZES[Ordered.change > 0 and number >= Ordered.change]


def caps_of(number: int) -> str:
    """What GStreamer calls the format of a frame."""
    width, height = size_of(number)
    return f"video/x-raw,format=I420,width={width},height={height},framerate={OVER}/{UNDER}"


def picture(number: int) -> bytes:
    """The frame of a number, in I420: as `draw_number` of bwvd.testing.picture."""
    width, height = size_of(number)
    line = bytearray(b"\x7e" * width)
    bar = number % COLUMNS * width // COLUMNS
    line[bar : bar + width // COLUMNS] = b"\x40" * (width // COLUMNS)
    luma = bytes(line) * (height // 2)
    high, low = number >> 8, number & 0xFF
    for row, value in enumerate((high, low, high ^ low ^ CHECK)):
        blocks = b""
        for column in range(COLUMNS):
            wide = (column + 1) * width // COLUMNS - len(blocks)
            blocks += (b"\xeb" if value >> (COLUMNS - 1 - column) & 1 else b"\x10") * wide
        below = height - height // 2
        luma += blocks * ((row + 1) * below // ROWS - row * below // ROWS)
    return luma + b"\x80" * (width * height // 2)


def wait_for(source: Any, at_ns: int) -> bool:
    """Sleep until a moment of the pipeline; False where it has ended."""
    while (clock := source.get_clock()) is None or source.get_state(0)[1] != Gst.State.PLAYING:
        if at_ns:
            return False
        time.sleep(0.001)
    left_ns = at_ns - (clock.get_time() - source.get_base_time())
    if left_ns > 0:
        time.sleep(left_ns / Gst.SECOND)
    return True


def push(source: Any, data: bytes, at_ns: int, length_ns: int) -> bool:
    """Put data into the pipeline; False where nobody wants it."""
    buffer = Gst.Buffer.new_wrapped(data)
    buffer.pts, buffer.duration = at_ns, length_ns
    return bool(source.emit("push-buffer", buffer) == Gst.FlowReturn.OK)


def film(source: Any) -> None:
    """Take one frame after the other, each in its time, until nobody wants them."""
    step = Gst.SECOND * UNDER / OVER
    caps = ""
    for number in itertools.count():
        at_ns = round(number * step)
        if not wait_for(source, at_ns):
            return
        if Ordered.begin(number):
            continue
        if caps_of(number) != caps:
            caps = caps_of(number)
            source.set_property("caps", Gst.Caps.from_string(caps))
        if not push(source, picture(number), at_ns, round(step)):
            return


def sing(source: Any) -> None:
    """Take one piece of sound after the other."""
    form = source.get_property("caps").get_structure(0)
    rate, channels = form.get_value("rate"), form.get_value("channels")
    samples = rate * PIECE_MS // 1_000
    loud, quiet = (16_000).to_bytes(2, "little", signed=True), (-16_000).to_bytes(2, "little", signed=True)
    tone = b"".join((loud if at * 2_000 // rate % 2 else quiet) * channels for at in range(samples))
    for piece in itertools.count():
        at_ns = piece * PIECE_MS * 1_000_000
        if not wait_for(source, at_ns):
            return
        heard = piece * PIECE_MS % 1_000 < TONE_MS
        if not push(source, tone if heard else bytes(len(tone)), at_ns, PIECE_MS * 1_000_000):
            return


def lose(payloader: Any) -> None:
    """Lose the RTP packets of some frames."""
    first = []

    def look(_: Any, info: Any) -> Any:
        buffer = info.get_buffer() if info.type & Gst.PadProbeType.BUFFER else info.get_buffer_list().get(0)
        first.append(buffer.pts)
        number = round((buffer.pts - first[0]) * OVER / UNDER / Gst.SECOND)
        return Gst.PadProbeReturn.DROP if number in Ordered.gone else Gst.PadProbeReturn.OK

    kind = Gst.PadProbeType.BUFFER | Gst.PadProbeType.BUFFER_LIST
    payloader.get_static_pad("src").add_probe(kind, look)


def configure(_: Any, media: Any) -> None:
    """Put the camera into the pipeline that was made for the first client."""
    pipeline = media.get_element()
    for name, take in (("frames", film), ("sound", sing)):
        if source := pipeline.get_by_name(name):
            threading.Thread(target=take, args=(source,), daemon=True).start()
    if LOSES:
        lose(pipeline.get_by_name("pay0"))


Gst.init(None)
server = GstRtspServer.RTSPServer.new()
server.set_address("127.0.0.1")
server.set_service("0")
factory = GstRtspServer.RTSPMediaFactory.new()
frames = f"appsrc name=frames is-live=true format=time max-bytes=0 caps={caps_of(0)}"
factory.set_launch(f"( {frames} ! {asked['video']} {asked['audio']} )")
factory.set_shared(True)
lower = GstRtsp.RTSPLowerTrans
factory.set_protocols({"tcp": lower.TCP, "udp": lower.UDP, "both": lower.TCP | lower.UDP}[asked["transport"]])
factory.connect("media-configure", configure)
server.get_mount_points().add_factory("/live", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
threading.Thread(target=Ordered.listen, daemon=True).start()
GLib.MainLoop().run()
