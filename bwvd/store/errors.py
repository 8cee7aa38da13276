"""Errors of a store. The text of each is one line, shown to a person as it is; it holds no secret."""

from __future__ import annotations


class StoreError(Exception):
    """Base of all of them."""


class AddressWrong(StoreError):
    """An address, a region or an endpoint that names no store: usage or configuration."""


class NameRefused(StoreError):
    """A name that no object of ours has; nothing was asked of the store."""


class StoreUnreachable(StoreError):
    """No answer, or the answer that it can't answer now: whether a put was done is not known. Try again later."""


class StoreRefused(StoreError):
    """The store answers, and says no: credentials, permission, a bucket that is not there. Somebody has to act."""


class ClockSkewed(StoreRefused):
    """The store refuses what is signed with this clock: it is too far off."""


class StoreFull(StoreError):
    """No room, or a quota is used up."""


class StoreMisbehaved(StoreError):
    """An answer that no store gives: not what was asked for, without an end, not well-formed, out of order."""


class OneObject(StoreError):
    """Base of those that are about one object, `name`; the others of the store may be as they should be."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


class ObjectMissing(OneObject):
    """No object has that name."""


class ObjectDiffers(OneObject):
    """The name is taken by an object with another content. It was not touched."""


class BodyDiffers(OneObject):
    """What was sent has not the size or the SHA-256 that were announced: the source changed, or the way damaged it.

    Nothing was stored.
    """


class LockMissing(OneObject):
    """A retention was asked for, and the store does not keep it. Nothing is to be relied on as locked.

    `stored`: True if the object is there all the same, without the lock.
    """

    def __init__(self, name: str, text: str, *, stored: bool) -> None:
        super().__init__(name, text)
        self.stored = stored
