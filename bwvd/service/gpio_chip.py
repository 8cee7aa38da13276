"""The device file of a GPIO chip: for buttons that are read and for lights that are switched."""

from __future__ import annotations

from pathlib import Path


def chip_path(chip: str, devices: Path = Path("/dev")) -> str:
    """The device file of a chip that is named by its path, its file's name or its label. FileNotFoundError if none is.

    A label ("pinctrl-bcm2711") survives a kernel that counts its chips in another order, or that gives a chip which was
    pulled out and put back another number.
    """
    import gpiod

    if "/" in chip:
        return chip
    path = devices / chip
    if path.exists():
        return str(path)
    for path in sorted(devices.glob("gpiochip*")):
        try:
            with gpiod.Chip(str(path)) as opened:
                label = opened.get_info().label
        except OSError:
            continue  # a chip that is not ours to read is not the one that was named
        if label == chip:
            return str(path)
    raise FileNotFoundError(f"no GPIO chip is called {chip!r}")
