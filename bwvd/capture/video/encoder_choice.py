"""What is known of a camera from its earlier openings: which encoders may be used, and whether it had sound."""

from __future__ import annotations

from collections.abc import Callable

from bwvd.capture.video.encoder import MakeEncoder
from bwvd.capture.video.libav_encoder import HARDWARE, SOFTWARE, VideoEncoder, has_hardware
from bwvd.config.schema import Video


class Roster:
    """The encoders of one daemon, over all openings of its camera.

    An encoder that has failed in service is not used again until the daemon is started again: what has let a recording
    down once does not get a second chance on the same shift, and each change would cost the pictures inside it.

    **Synchronization:** one device's thread at a time; `fail` on trio's thread too, when that thread was given up.
    """

    def __init__(
        self, make: MakeEncoder = VideoEncoder, find_hardware: Callable[[Video, int, int], bool] = has_hardware
    ) -> None:
        self.make = make
        self.failed: dict[str, str] = {}  # by name: why
        self.served: set[str] = set()  # these have given pictures
        self.had_sound = False  # where its own sound is asked for: it is as configured, and another camera may not be
        self._find_hardware = find_hardware

    def choose(self, config: Video, width: int, height: int, inside: Inside) -> str:
        """What `video.encoder` means here and now: "auto" is the hardware's where that works, else libx264."""
        name = config.encoder
        if name == "auto":
            name = SOFTWARE
            if HARDWARE not in self.failed:
                with inside.of(HARDWARE):
                    name = HARDWARE if self._find_hardware(config, width, height) else SOFTWARE
        return SOFTWARE if name in self.failed else name

    def may_fail(self, name: str, config: Video) -> bool:
        """Whether libx264 takes an encoder's place. One that was asked for by its name and never gave a picture is a
        mistake in the configuration."""
        return name != SOFTWARE and (config.encoder == "auto" or name in self.served)

    def fail(self, name: str, reason: str) -> None:
        """Don't use an encoder any more."""
        self.failed.setdefault(name, reason)


class Inside:
    """Whether a device's thread is inside an encoder: where it never comes back from there, that was the encoder.

    **Synchronization:** written by the thread, read by trio's: one reference, replaced whole.
    """

    def __init__(self) -> None:
        self.encoder = ""

    def of(self, name: str) -> _Within:
        """For `with`: the thread goes into an encoder and comes back."""
        return _Within(self, name)


class _Within:
    """Cheaper than a generator: it is entered for every picture."""

    __slots__ = ("_inside", "_name")

    def __init__(self, inside: Inside, name: str) -> None:
        self._inside = inside
        self._name = name

    def __enter__(self) -> None:
        self._inside.encoder = self._name

    def __exit__(self, *_: object) -> None:
        self._inside.encoder = ""
