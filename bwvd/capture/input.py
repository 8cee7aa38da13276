"""The input that a device's thread reads: what libav has opened, or what a program writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Any, Protocol, TypeAlias

from av.container import InputContainer
from av.container.streams import StreamContainer
from av.packet import Packet

Packets: TypeAlias = "Iterator[Packet[Any]]"


class Program(Protocol):
    """The child process behind an input."""

    def end(self) -> None:
        """End it; it may be called again, and from another thread than the one that is given up."""
        ...


@dataclass(slots=True, eq=False)
class Input:
    """One opening.

    **Synchronization:** the device's thread.
    """

    container: InputContainer  # whose streams the packets belong to
    packets: Packets
    program: Program | None = None
    base: Fraction | None = None  # s of a tick where the packets' times are CLOCK_MONOTONIC; None = the streams' own
    rate: Fraction | None = None  # frames per second; None = as the stream says
    copies: bool = False  # the video is coded as it is wanted, and kept, also where `video.encoder` is not "copy"

    @staticmethod
    def of(container: InputContainer) -> Input:
        """What libav has opened, and reads."""
        return Input(container, container.demux())

    @property
    def streams(self) -> StreamContainer:
        return self.container.streams

    def __enter__(self) -> Input:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.program is not None:
            self.program.end()
        self.container.close()
