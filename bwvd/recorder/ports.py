"""Ports of the recorder: Protocols of the capture side, and of the numbering of recordings."""

from __future__ import annotations

from typing import Protocol

from bwvd.media.samples import Track


class Devices(Protocol):
    """What the recorder may ask of the capture side. Plain calls, no waiting."""

    def wake(self) -> None:
        """Open camera and microphone."""
        ...

    def sleep(self) -> None:
        """Close them, and wipe what they hold."""
        ...

    def keep_partial(self, keep: bool) -> None:
        """Whether a GOP in the making is delivered (recording) or wiped (standby) when a device is closed."""
        ...

    def open_gate(self, from_ns: int) -> None:
        """Let the microphone's samples at or after `from_ns` into the stream."""
        ...

    def close_gate(self) -> None: ...

    def expected_audio(self) -> Track | None:
        """The track that a microphone will have which has not delivered yet, where the configuration says it all."""
        ...


class Numbering(Protocol):
    """Who gives recordings their serial numbers and ids."""

    def take(self, press_ns: int) -> tuple[int, str]:
        """The next serial number, and the id of a recording pressed at that time."""
        ...

    def give_back(self, serial: int) -> None:
        """No recording of that number will begin; the numbers stay gapless all the same."""
        ...
