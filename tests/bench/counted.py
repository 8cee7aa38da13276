"""bwvd with a count of what its Python does: `python -m tests.bench.counted SOCKET FILE COMMAND …` is `bwvd COMMAND …`.

Whoever connects to SOCKET gets the counts so far as one line of JSON: opcodes by thread, opcodes by function, and how
often trio's loop has waited and has run a task. Counts do not depend on what else a machine does; times do. FILE holds
the number of packets alone, as that of `tests.bench.packets` does.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import trio

from tests.bench.packets import counter

PACKET = "Reading._packet"  # the function that a camera's thread calls for each
Trace = Callable[[FrameType, str, Any], Any]


class Counts:
    """Of one process."""

    def __init__(self, packets: memoryview) -> None:
        """packets: one number, of what a camera's thread has taken."""
        self.codes: dict[str, Counter[CodeType]] = {}  # by thread
        self.packets = packets
        self.waits = 0
        self.steps = 0

    def trace(self) -> Trace:
        """For one thread."""
        name = "".join(letter for letter in threading.current_thread().name if not letter.isdigit())
        counted = self.codes.setdefault(name, Counter())

        def opcode(frame: FrameType, event: str, _: Any) -> Trace:
            if event == "opcode":
                counted[frame.f_code] += 1
            return opcode

        def call(frame: FrameType, _event: str, _: Any) -> Trace:
            self.packets[0] += frame.f_code.co_qualname == PACKET
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
            return opcode

        return call

    def begin(self, frame: FrameType, event: str, argument: Any) -> Any:
        """The first thing that a new thread calls."""
        trace = self.trace()
        sys.settrace(trace)
        return trace(frame, event, argument)

    def read(self) -> dict[str, Any]:
        functions: Counter[str] = Counter()
        threads: Counter[str] = Counter()
        for thread, codes in list(self.codes.items()):
            for code, count in list(codes.items()):
                functions[f"{code.co_filename.rpartition('site-packages/')[2]}:{code.co_qualname}"] += count
                threads[thread] += count
        return {
            "packets": self.packets[0],
            "threads": threads,
            "functions": functions,
            "waits": self.waits,
            "steps": self.steps,
        }


class _Loop(trio.abc.Instrument):
    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def before_io_wait(self, timeout: float) -> None:
        self._counts.waits += timeout > 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002  trio's signature
        self._counts.steps += 1


def _serve(path: str, counts: Counts) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(json.dumps(counts.read()).encode() + b"\n")


def main() -> None:
    path, packets = sys.argv[1:3]
    sys.argv = ["bwvd", *sys.argv[3:]]
    counts = Counts(counter(Path(packets)))
    threading.Thread(target=_serve, args=(path, counts), daemon=True, name="counts").start()
    run = trio.run

    def instrumented(*arguments: Any, **options: Any) -> Any:
        options["instruments"] = [*options.get("instruments", ()), _Loop(counts)]
        return run(*arguments, **options)

    trio.run = instrumented  # type: ignore[assignment]  # the same, with one more instrument
    threading.settrace(counts.begin)
    sys.settrace(counts.trace())
    from bwvd.cli.main import main as bwvd

    bwvd()


if __name__ == "__main__":
    main()
