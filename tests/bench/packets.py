"""bwvd that counts its camera's packets in a file: `python -m tests.bench.packets FILE COMMAND …` is `bwvd COMMAND …`.

FILE holds one unsigned number of 64 bits and is mapped, so that whoever reads it asks nothing of the daemon. It costs
an addition a packet, where `tests.bench.counted` looks at every opcode.
"""

from __future__ import annotations

import mmap
import sys
from pathlib import Path
from typing import Any

BYTES = 8


def counter(path: Path) -> memoryview:
    """The number in the file, to be counted up in its one element."""
    with path.open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), BYTES)).cast("Q")


def main() -> None:
    taken = counter(Path(sys.argv.pop(1)))
    sys.argv[0] = "bwvd"
    from bwvd.capture.device.demux import Reading
    from bwvd.cli.main import main as bwvd

    take = Reading._packet

    def counted(self: Reading, packet: Any, moment: Any) -> None:
        taken[0] += 1
        take(self, packet, moment)

    Reading._packet = counted  # type: ignore[method-assign]  # the same, counted
    bwvd()


if __name__ == "__main__":
    main()
