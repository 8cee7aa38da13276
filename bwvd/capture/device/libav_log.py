"""What libav says in its log, where that is the only place in which it says it: kept, and printed nowhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import av

Line = tuple[int, str, str]  # its level, which part of libav says it, the text

# What other threads make libav say meanwhile: without a handler of its own, Python would print it to stderr.
logging.getLogger("libav").addHandler(logging.NullHandler())
logging.getLogger("libav").propagate = False


@contextmanager
def libav_log(wanted: bool) -> Iterator[list[Line]]:
    """Keep the warnings and errors that libav tells on this thread inside the block, if that is wanted; the list grows
    until it is cleared.

    Libav has one level for the whole process: one block at a time. Elsewhere its log is off, because each line that
    passes the level takes Python's lock, on whatever thread it is.
    """
    if not wanted:
        yield []
        return
    av.logging.set_skip_repeated(False)
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture() as lines:
            yield lines
    finally:
        av.logging.set_level(None)
