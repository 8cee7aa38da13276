"""Threads that come and go leave no heaps behind, and large blocks no holes."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from bwvd.service.memory import one_heap

# Each thread allocates in libc itself, while others do: that is what makes glibc give it a heap of its own.
PROGRAM = """
import ctypes, sys, threading
from bwvd.service.memory import one_heap
if sys.argv[1] == "one":
    assert one_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.fopen.restype = libc.fdopen.restype = ctypes.c_void_p
together = threading.Barrier(4)
def work():
    together.wait()
    for _ in range(100):
        ctypes.CDLL(None).malloc(50_000)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.malloc_info(0, ctypes.c_void_p(libc.fdopen(1, b"w")))
libc.fflush(None)
"""


def _heaps(argument: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, argument], capture_output=True, text=True, check=True)
    return done.stdout.count("<heap nr=")


def test_threads_share_one_heap() -> None:
    if not one_heap():
        pytest.skip("this C library has no arenas to choose")
    assert _heaps("many") > 1
    assert _heaps("one") == 1


# A megabyte that was freed, and another: is that one a mapping of its own, or a piece of the heap?
LARGE = """
import ctypes, sys
from bwvd.service.memory import one_heap
if sys.argv[1] == "one":
    assert one_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
class Info(ctypes.Structure):
    names = "arena ordblks smblks hblks rest5 rest6 rest7 rest8 rest9 rest10"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]
libc.mallinfo2.restype = Info
libc.free(ctypes.c_void_p(libc.malloc(1_000_000)))
before = libc.mallinfo2().hblks
libc.malloc(1_000_000)
print(libc.mallinfo2().hblks - before)
"""


def test_large_blocks_stay_out_of_the_heap() -> None:
    if not hasattr(ctypes.CDLL(None), "mallinfo2"):
        pytest.skip("this C library does not say where its blocks are")
    told = {
        argument: subprocess.run([sys.executable, "-c", LARGE, argument], capture_output=True, text=True, check=True)
        for argument in ("any", "one")
    }
    assert {argument: int(done.stdout) for argument, done in told.items()} == {"any": 0, "one": 1}
