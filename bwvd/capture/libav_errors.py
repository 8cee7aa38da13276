"""Errors of libav: which are asked for, and in words for a person."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from bwvd.capture.source import SourceRefused
from bwvd.media.init_segment import InitUnusable

# Of every decoder that we open for a source. Without it libav makes up what it can't read, from an earlier frame that
# happened to lie there, and calls it a frame.
STRICT = {"err_detect": "explode"}


def why(error: BaseException) -> str:
    """The reason in an error of libav or of the kernel, without numbers and file names."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno) if error.errno > 0 else str(error.strerror or error)
    text = getattr(error, "strerror", None)
    return str(text or error) or type(error).__name__


@contextmanager
def refusing(key: str) -> Iterator[None]:
    """Raise SourceRefused, naming the configuration's `key`, where no init segment can be made inside the block."""
    try:
        yield
    except InitUnusable as error:
        raise SourceRefused(f"{key}: {error}") from error
