"""Memory that stays what it is for weeks: one heap for all threads, and collections at fixed times.

glibc gives threads heaps of their own, up to eight for each processor, and keeps what a thread has freed for whoever
gets that heap next. A camera that is closed and opened has a new thread each time, with buffers of its libraries that
end up in another heap: 10 MB more after thirty of them (a 320x180 camera), in pieces that nobody gives back. Few of our
threads ever allocate at the same time, and most of that under the interpreter's lock, so one heap costs nothing.

Large blocks come from the kernel and go back to it, but glibc takes one that is freed for a sign that its size is
wanted often, and keeps all up to that size in the heap from then on. There the GOPs of the loop, which
live for half a minute, keep apart what is freed around them. A fixed size leaves them where they were.

Counting references frees nearly everything of ours at once. The rest, circles that an error's traceback or a library
leaves, waits for the collector, whose full rounds come with the number of new objects: in standby one in two hours.
Until then the circles of every recording and every device that went away stay, and what lives among them keeps the
heap's pages: memory that grows for two hours looks like a leak, and nobody can tell it from one.
"""

from __future__ import annotations

import ctypes
import gc

import trio

# <malloc.h>
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8

LARGE_BYTES = 131_072  # glibc's own first choice

EVERY_S = 60.0  # between two full collections


def one_heap() -> bool:
    """Let this process have one heap, without large blocks; to be called before it has threads. Quick, never raises.

    Returns False where the C library has no such setting (musl, whose threads share one anyway).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(mallopt(M_ARENA_MAX, 1)) and bool(mallopt(M_MMAP_THRESHOLD, LARGE_BYTES))


def leave_out_of_collections() -> None:
    """Let Python's garbage collector forget what was imported: a full collection would go through some hundred thousand
    objects that stay anyway, which was a sixth of the CPU time of standby with a camera that is copied.
    """
    gc.freeze()
    gc.enable()


async def collect_now_and_then() -> None:
    """A full collection every minute, until cancelled; what was imported left out, it takes 2 or 3 ms."""
    while True:
        await trio.sleep(EVERY_S)
        gc.collect()
