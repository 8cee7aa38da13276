"""Modules that are put off: libraries import them at once, and the recorder never comes to use them.

asyncio (structlog's other loggers), ssl and idna (trio's sockets to names, over TLS) are 40 modules, 3 MB, and a tenth
of the processor's time of a start; hmac (trio's DTLS) is one. Whoever touches one of them after all gets it, and it is
imported then. trio also looks for the library of threads in a cache that it asks a program for, with `ctypes.util`:
with the modules for archives that this imports, half a megabyte and a process to learn a name that glibc never changes.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

UNUSED = ("asyncio", "ssl", "idna", "hmac")


class _PutOff(ModuleType):
    """In the place of a module: imports it when something in it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system and typing look at those of any module
            raise AttributeError(name)
        value = getattr(importlib.import_module(self.__name__), name)
        setattr(self, name, value)
        return value


@contextmanager
def put_off(*names: str) -> Iterator[None]:
    """What is imported inside gets the named modules only when it touches them; what is imported later, at once.

    **Synchronization:** before there is a second thread.
    """
    absent = [name for name in names if name not in sys.modules]
    for name in absent:
        sys.modules[name] = _PutOff(name)
    try:
        yield
    finally:
        for name in absent:
            if isinstance(sys.modules.get(name), _PutOff):
                del sys.modules[name]


class _Libraries(ModuleType):
    """In the place of `ctypes.util`."""

    @staticmethod
    def find_library(name: str) -> str | None:
        """The name of glibc's library of threads; None for others, and where the C library is another."""
        is_glibc = hasattr(ctypes.CDLL(None), "gnu_get_libc_version")
        return "libpthread.so.0" if name == "pthread" and is_glibc else None


@contextmanager
def _known_libraries() -> Iterator[None]:
    """What is imported inside gets `_Libraries`; what is imported later, `ctypes.util` itself."""
    name = "ctypes.util"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = ctypes.util = _Libraries(name)  # as the import system does
    try:
        yield
    finally:
        del sys.modules[name], ctypes.util


def import_lightly() -> None:
    """Import the libraries that would bring along what the recorder has no use for. To be called before all others."""
    with put_off(*UNUSED), _known_libraries():
        import trio  # noqa: F401 - only imported

        import bwvd.log.light  # noqa: F401 - the same
