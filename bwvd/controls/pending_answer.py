"""The answer to a command that is still awaited."""

from __future__ import annotations

import trio

from bwvd.messages import Answer

ANSWER_PATIENCE_S = 10.0  # a recorder that says nothing for this long is in trouble, and the asker must hear of it


class PendingAnswer:
    """A command's `reply`, and the wait for it. **Synchronization:** trio's thread."""

    def __init__(self) -> None:
        self._answer: Answer | None = None
        self._given = trio.Event()

    def give(self, answer: Answer) -> None:
        """The command's `reply`; only the first answer counts."""
        if self._answer is None:
            self._answer = answer
            self._given.set()

    async def wait(self) -> Answer:
        """The answer, or one that says that there is none after ANSWER_PATIENCE_S."""
        with trio.move_on_after(ANSWER_PATIENCE_S):
            await self._given.wait()
        return self._answer or Answer(ok=False, text="no answer")
