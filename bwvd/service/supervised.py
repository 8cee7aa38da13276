"""The state of one supervised device: whether it is there, what was told of it, when it is tried again. Pure."""

from __future__ import annotations

from bwvd.clock import NS
from bwvd.service.backoff import Backoff


class Supervised:
    """Opened, lost, told once, tried again, and told to be over: for whoever keeps a device open.

    A camera, a control and an indicator differ in how they are opened and in whom they tell; what follows from an
    opening and from a loss is the same, and decided here. Times are CLOCK_MONOTONIC in nanoseconds.

    **Synchronization:** one task.
    """

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._losses = 0  # in a row
        self._up_since_s: float | None = None
        self._told = ""  # the reason that was told last, "" while there is nothing to be taken back
        self.delay_s = 0.0  # from the last loss to the next try

    def opened(self, now_ns: int) -> bool:
        """The device is there. True if its loss was told: that is over, and has to be told too."""
        self._up_since_s = now_ns / NS
        told, self._told = self._told, ""
        return told != ""

    def lost(self, now_ns: int, reason: str, *, new_reason_is_news: bool = False) -> bool:
        """The device was lost, or did not open; `delay_s` says when to try again. True if that has to be told.

        new_reason_is_news: another vain try is worth telling when its reason differs from the one told last. Otherwise
        one loss is told once, whatever the tries say that follow it ("unplugged", then "no such file").
        """
        if self._up_since_s is not None and now_ns / NS - self._up_since_s >= self._backoff.reset_after_s:
            self._losses = 0
        self._up_since_s = None
        self._losses += 1
        self.delay_s = self._backoff.delay_s(self._losses)
        news = not self._told or (new_reason_is_news and reason != self._told)
        if news:
            self._told = reason or "lost"
        return news

    def works(self) -> None:
        """The device has done what it is for: its next loss is tried again as soon as a first one."""
        self._losses = 0
