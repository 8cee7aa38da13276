"""The choice of an encoder, with what openings of a camera have shown: failed ones, its own audio, the transport."""

from __future__ import annotations

from collections.abc import Callable

from bwvd.capture.video.encoder import MakeEncoder
from bwvd.capture.video.libav_encoder import HARDWARE, SOFTWARE, VideoEncoder, has_hardware
from bwvd.config.schema import Video


class EncoderChoice:
    """The encoders of one daemon, over all openings of its camera.

    An encoder that has failed in service is not used again until the daemon is started again: what has let a recording
    down once does not get a second chance on the same shift, and each change would cost the frames inside it.

    **Synchronization:** one device's thread at a time; `fail` on trio's thread too, when that thread was given up.
    """

    def __init__(
        self, make: MakeEncoder = VideoEncoder, find_hardware: Callable[[Video, int, int], bool] = has_hardware
    ) -> None:
        self.make = make
        self.failed: dict[str, str] = {}  # by name: why
        self.served: set[str] = set()  # these have given frames
        self.had_audio = False  # where its own audio is asked for: it is as configured, and another camera may not be
        self.transport = ""  # by which a network camera's packets have come last: "tcp" or "udp"
        self.jpeg_decoder = ""  # of a camera's MJPEG, as it was opened last: "libjpeg-turbo" or "libav"
        self._find_hardware = find_hardware

    def choose(self, config: Video, width: int, height: int, call: EncoderCall) -> str:
        """Return what `video.encoder` means now: "auto" is the hardware's where that works, else libx264."""
        name = config.encoder
        if name == "auto":
            name = SOFTWARE
            if HARDWARE not in self.failed:
                with call.of(HARDWARE):
                    name = HARDWARE if self._find_hardware(config, width, height) else SOFTWARE
        return SOFTWARE if name in self.failed else name

    def may_fail(self, name: str, config: Video) -> bool:
        """True if libx264 may take an encoder's place. One that was asked for by its name and never gave a frame is a
        mistake in the configuration."""
        return name != SOFTWARE and (config.encoder == "auto" or name in self.served)

    def fail(self, name: str, reason: str) -> None:
        """Don't use an encoder any more."""
        self.failed.setdefault(name, reason)


class EncoderCall:
    """The encoder that a device's thread is calling: the one to blame where the thread never comes back.

    **Synchronization:** written by the thread, read by trio's: one reference, replaced whole.
    """

    def __init__(self) -> None:
        self.encoder = ""

    def of(self, name: str) -> _Within:
        """For `with`: the thread goes into an encoder and comes back."""
        return _Within(self, name)


class _Within:
    """Cheaper than a generator: it is entered for every frame."""

    __slots__ = ("_call", "_name")

    def __init__(self, call: EncoderCall, name: str) -> None:
        self._call = call
        self._name = name

    def __enter__(self) -> None:
        self._call.encoder = self._name

    def __exit__(self, *_: object) -> None:
        self._call.encoder = ""
