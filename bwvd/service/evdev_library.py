"""python-evdev, where it is: for buttons that are keys of an input device, and for lamps, sounders and motors of one.

It has to be compiled but for x86-64, and most cameras have none of these, so it is an extra; Debian has it ready.
"""

from __future__ import annotations

import errno
import importlib
from types import ModuleType

NEEDED = "needs python-evdev, which is not installed (Debian: python3-evdev; pip: bwvd[keys])"


def evdev(module: str = "") -> ModuleType:
    """The library, or a module of it. Reads a thousand key names at its first call.

    Raises: OSError with NEEDED and ENOSYS, which no reopening cures, where it is not installed.
    """
    try:
        return importlib.import_module(f"evdev.{module}" if module else "evdev")
    except ImportError as error:
        raise OSError(errno.ENOSYS, NEEDED) from error
