"""Parts: which of several custodians at work takes which device. Pure.

By rendezvous hashing over those who say in the index that they are there: each device goes to the one whose hash with
it is largest. One who comes or goes moves his own share of the devices and no others, nothing is written for a device,
and who is there is one row each. Leases of devices would write a row for each device again and again, and would need
clocks that agree. Where two think for a while that a device is theirs, both do the work; the store takes one receipt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection


def takes(instance: str, device: str, at_work: Collection[str]) -> bool:
    """Whether `instance` takes `device`, where these are at work (and itself)."""
    mine = _weight(instance, device)
    return all(mine >= _weight(other, device) for other in at_work if other != instance)


def _weight(instance: str, device: str) -> tuple[bytes, str]:
    return hashlib.blake2b(f"{instance}\0{device}".encode("utf-8", "surrogateescape"), digest_size=8).digest(), instance
