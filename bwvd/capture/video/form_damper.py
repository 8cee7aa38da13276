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
# A form that has lasted for so long is taken again, and one that is away for so long is not waited for.
HELD_NS = 3 * NS
FORM_CHANGES = "form_changes"
"""Of the gap that names frames of another form than the one that is kept."""


class FormDamper:
    """Says which frames are kept: those of the form that was there when it became too much, as long as it comes at all.

    **Synchronization:** one thread.
    """

    def __init__(self) -> None:
        self._form: object | None = None
        self._kept_ns = 0  # when it was there last
        self._changes: deque[int] = deque()
        self._other: tuple[object, int] | None = None  # another form, and since when there was no other
        self._other_ns = 0  # when there was one last
        self._restless = False
        self._told = False  # the fault
        self._calmed = False

    def takes(self, form: object, at_ns: int, out: Out) -> bool:
        """True if a frame of this form is kept. Tells the fault `camera` where the changes are too many."""
        if self._form is None or form is self._form or form == self._form:
            self._keep(form, at_ns)
            if self._restless and at_ns - self._other_ns >= HELD_NS:
                self._calm()
            return True
        self._other_ns = at_ns
        while self._changes and at_ns - self._changes[0] >= WINDOW_NS:
            self._changes.popleft()
        self._restless = self._restless or len(self._changes) >= MOST
        if self._restless:
            if self._other is None or self._other[0] != form:
                self._other = form, at_ns
            lasted = at_ns - self._other[1] >= HELD_NS
            if not lasted and at_ns - self._kept_ns < HELD_NS:
                self._tell(at_ns, out)
                return False
            if lasted:
                self._calm()
            # Else the form that is kept comes no more, and none of the others lasts: one of them is better than none.
            self._told = False  # the track that begins now says that the camera is up
        self._changes.append(at_ns)
        self._keep(form, at_ns)
        return True

    def has_calmed(self) -> bool:
        """True once when the fault is over: whoever keeps the frames says anew that the camera is up, which ends it."""
        calmed, self._calmed = self._calmed, False
        return calmed

    def _keep(self, form: object, at_ns: int) -> None:
        self._form, self._kept_ns, self._other = form, at_ns, None

    def _tell(self, at_ns: int, out: Out) -> None:
        if not self._told:
            self._told = True
            detail = f"changes the form of its frames again and again: more than {MOST} times in {WINDOW_NS // NS} s"
            out(FaultChanged("camera", True, at_ns, detail))

    def _calm(self) -> None:
        self._restless, self._told, self._calmed = False, False, True
        self._changes.clear()
