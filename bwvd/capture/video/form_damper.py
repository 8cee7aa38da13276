"""Damper of a source whose frames change their form again and again: each change begins a track, and an epoch with it.

A camera changes its size, its shape or its colours now and then, because somebody or something has turned it. One that
does it at every frame is broken, or somebody's attack: a recording of it would have an epoch for each frame. Pure; the
times are media time.
"""

from __future__ import annotations

from collections import deque

from bwvd.capture.source import Out
from bwvd.clock import NS
from bwvd.messages import FaultChanged

MOST = 4  # changes within WINDOW_NS: one more, and it is restless
WINDOW_NS = 10 * NS
HELD_NS = 3 * NS  # a form that has lasted for so long is taken again, and nothing is restless any more
FORM_CHANGES = "form_changes"
"""Of the gap that names frames of another form than the one that is kept."""


class FormDamper:
    """Says which frames are kept: those of the form that was there when it became too much.

    **Synchronization:** one thread.
    """

    def __init__(self) -> None:
        self._form: object | None = None
        self._changes: deque[int] = deque()
        self._other: tuple[object, int] | None = None  # another form, and since when there was no other
        self._other_ns = 0  # when there was one last
        self._restless = False
        self._calmed = False

    def takes(self, form: object, at_ns: int, out: Out) -> bool:
        """True if a frame of this form is kept. Tells the fault `camera` where the changes are too many."""
        if self._form is None or form is self._form or form == self._form:
            self._form, self._other = form, None
            if self._restless and at_ns - self._other_ns >= HELD_NS:
                self._calm()
            return True
        self._other_ns = at_ns
        while self._changes and at_ns - self._changes[0] >= WINDOW_NS:
            self._changes.popleft()
        if not self._restless and len(self._changes) >= MOST:
            self._restless = True
            detail = f"changes the form of its frames again and again: more than {MOST} times in {WINDOW_NS // NS} s"
            out(FaultChanged("camera", True, at_ns, detail))
        if self._restless:
            if self._other is None or self._other[0] != form:
                self._other = form, at_ns
            if at_ns - self._other[1] < HELD_NS:
                return False
            self._calm()
        self._changes.append(at_ns)
        self._form, self._other = form, None
        return True

    def has_calmed(self) -> bool:
        """True once when the fault is over: whoever keeps the frames says anew that the camera is up, which ends it."""
        calmed, self._calmed = self._calmed, False
        return calmed

    def _calm(self) -> None:
        self._restless, self._calmed = False, True
        self._changes.clear()
