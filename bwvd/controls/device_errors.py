"""Errors of a device, in the terms of its control."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from bwvd.controls.ports import ControlLost, ControlRefused

# What the kernel says of something that is no such device at all, or that lacks what was asked of it.
NOT_SUCH_ERRNOS = frozenset({errno.ENOTTY, errno.EINVAL, errno.ENOSYS})


@contextmanager
def device_errors(name: str, key: str) -> Iterator[None]:
    """Say OSError and ValueError of a block of device calls as ControlLost("NAME: reason").

    What no reopening can cure is ControlRefused and names the configuration's `key`. Keep callbacks out of the block:
    their errors are not the device's.
    """
    try:
        yield
    except OSError as error:
        if error.errno in NOT_SUCH_ERRNOS:
            raise ControlRefused(f"{key}: {name}: {error.strerror}") from error
        raise ControlLost(f"{name}: {error.strerror or error}") from error
    except ValueError as error:  # a NUL in a path, a line beyond the chip's last
        raise ControlRefused(f"{key}: {name}: {error}") from error
