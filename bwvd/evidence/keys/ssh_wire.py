"""The SSH wire format (RFC 4251, section 5): strict and bounded. Pure."""

from __future__ import annotations

import struct

MAX_BYTES = 65_536  # of one blob; a certificate with every option stays far below


def string(data: bytes) -> bytes:
    """A length-prefixed string."""
    return struct.pack(">I", len(data)) + data


def mpint(number: int) -> bytes:
    """A non-negative integer in two's complement, without needless leading zeros."""
    return string(number.to_bytes(number.bit_length() // 8 + 1, "big") if number else b"")


class Reader:
    """Takes fields from the front of `data`. Methods raise ValueError when the bytes are not what they must be."""

    def __init__(self, data: bytes) -> None:
        if len(data) > MAX_BYTES:
            raise ValueError(f"longer than {MAX_BYTES} bytes")
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise ValueError("cut short")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def u64(self) -> int:
        return int.from_bytes(self.take(8), "big")

    def string(self) -> bytes:
        return self.take(self.u32())

    def text(self) -> str:
        """A string that must be printable ASCII: names of keys, algorithms and principals."""
        raw = self.string()
        if not raw.isascii() or not raw.decode("ascii").isprintable():
            raise ValueError("a name is not printable ASCII")
        return raw.decode("ascii")

    def natural(self) -> int:
        """A non-negative mpint in its one canonical form."""
        raw = self.string()
        number = int.from_bytes(raw, "big", signed=True)
        if number < 0 or mpint(number)[4:] != raw:
            raise ValueError("a number is not a canonical non-negative mpint")
        return number

    @property
    def done(self) -> bool:
        return self._at == len(self._data)

    @property
    def position(self) -> int:
        return self._at

    def since(self, start: int) -> bytes:
        """The bytes taken since `position` was `start`."""
        return self._data[start : self._at]

    def end(self) -> None:
        """Nothing may follow."""
        if not self.done:
            raise ValueError(f"{len(self._data) - self._at} bytes too many")
