"""Keeps libasound from printing: it writes a line to stderr each time a device is looked for and not there."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

# void (*)(const char *file, int line, const char *function, int err, const char *fmt, ...)
_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)


def _say_nothing(file: bytes, line: int, function: bytes, error: int, text: bytes) -> None:
    """What libasound calls instead of printing; the error itself reaches us through libav."""


_SILENCE = _HANDLER(_say_nothing)  # kept for as long as libasound may call it


@cache
def quiet_alsa() -> bool:
    """Switch libasound's own messages off for this process; False where it is not loaded, or is another.

    libav has brought it along: the copy that is mapped is the one that would print.
    """
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
        names = {line.split(maxsplit=5)[5] for line in lines if "/libasound" in line}
        for name in names:
            ctypes.CDLL(name).snd_lib_error_set_handler(_SILENCE)
    except (OSError, AttributeError):
        return False
    return bool(names)
