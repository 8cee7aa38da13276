"""The daemon on a clip, looked at in the middle of its GOPs: whatever is done once a GOP is whole in each span."""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.packets import BYTES
from tests.bench.pairing import FULL
from tests.bench.sources import RATE
from tests.bench.subjects import Bwvd, wait_for

GROUP = round(RATE * FULL.keyframe_s)  # frames of a GOP
REPEATS = 12  # of a clip of ten seconds: to begin a file anew costs what no camera does


class Paced(Bwvd):
    """A daemon whose camera's packets are counted in a file, so that it is not asked while something is counted."""

    def __init__(
        self,
        folder: Path,
        text: str,
        module: Sequence[str] = ("tests.bench.packets",),
        *,
        python: Sequence[str] = (sys.executable,),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """folder: is made; module: takes the file of the packets as its last argument. The others as for `Process`."""
        folder.mkdir()
        self._packets = folder / "packets"
        self._packets.write_bytes(bytes(BYTES))
        super().__init__(folder, text, (*module, str(self._packets)), python=python, environment=environment)

    def packets(self) -> int:
        """How many the camera's thread has taken."""
        (packets,) = struct.unpack("=Q", self._packets.read_bytes())
        assert isinstance(packets, int)
        return packets

    def wait_middle(self) -> None:
        """Until a GOP is half there. A file that is played comes a few packets at a time."""
        wait_for(lambda: GROUP // 2 <= self.packets() % GROUP < GROUP * 2 // 3, 10, "no frame came")

    def wait_groups(self, begin: int, groups: int) -> None:
        """Until so many GOPs came after packet `begin`."""
        until = begin + groups * GROUP
        wait_for(lambda: self.packets() >= until, groups * FULL.keyframe_s * 2 + 10, "too few frames came")
