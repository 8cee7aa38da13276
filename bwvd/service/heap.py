"""One heap for all threads, and none for what is large, so that memory stays what it is for weeks.

glibc gives threads heaps of their own, up to eight for each processor, and keeps what a thread has freed for whoever
gets that heap next. A camera that is closed and opened has a new thread each time, with buffers of its libraries that
end up in another heap: 10 MB more after thirty of them (a 320x180 camera), in pieces that nobody gives back. Few of our
threads ever allocate at the same time, and most of that under the interpreter's lock, so one heap costs nothing.

Large blocks come from the kernel and go back to it, but glibc takes one that is freed for a sign that its size is
wanted often, and keeps all up to that size in the heap from then on. There the groups of pictures of the loop, which
live for half a minute, keep apart what is freed around them. A fixed size leaves them where they were.
"""

from __future__ import annotations

import ctypes

# <malloc.h>
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8

LARGE_BYTES = 131_072  # glibc's own first choice


def one_heap() -> bool:
    """Let this process have one heap, without large blocks; to be called before it has threads. Quick, never raises.

    Returns False where the C library has no such setting (musl, whose threads share one anyway).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(mallopt(M_ARENA_MAX, 1)) and bool(mallopt(M_MMAP_THRESHOLD, LARGE_BYTES))
