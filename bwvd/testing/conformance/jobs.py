# ruff: noqa: S101  # a conformance suite is made of asserts
"""The checks of every `Storage` and the jobs that it is given; what a job does to the volume is `conformance.storage`.

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_my_storage(check): await check(my_storage())

Each check needs a storage of its own. None needs pytest.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable

import trio
import trio.testing

from bwvd.evidence.flash.volume import Storage, Volume

PATIENCE_S = 30.0


async def a_job_gives_its_value(storage: Storage) -> None:
    def job(volume: Volume) -> int:
        file = volume.create("a")
        file.write(b"12345")
        file.close()
        return volume.size("a")

    assert await storage.run(job) == 5


async def a_job_raises_its_own_error(storage: Storage) -> None:
    bug = OSError(errno.EIO, "of the job")

    def job(_: Volume) -> None:
        raise bug

    try:
        await storage.run(job)
    except OSError as error:
        raised = error
    assert raised is bug
    assert await storage.run(lambda _: "goes on") == "goes on"


async def jobs_run_one_at_a_time_in_the_order_of_the_calls(storage: Storage) -> None:
    done: list[int] = []
    running: list[int] = []

    async def ask(number: int) -> None:
        def job(volume: Volume) -> None:
            running.append(number)
            assert running == [number]
            file = volume.create(f"{number:02}")
            file.write(b"x" * 1000)
            file.sync()
            file.close()
            running.remove(number)
            done.append(number)

        await storage.run(job)

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(ask, number)
                await trio.testing.wait_all_tasks_blocked(0)
    assert done == list(range(20))


async def a_job_that_has_begun_is_finished(storage: Storage) -> None:
    """An abandoned write would vanish with its error: cancellation comes before a job or after it, never inside."""
    done: list[str] = []
    begun = trio.Event()
    token = trio.lowlevel.current_trio_token()
    with trio.CancelScope() as scope:

        def job(volume: Volume) -> None:
            token.run_sync_soon(begun.set)
            for number in range(50):
                file = volume.create(f"{number:02}")
                file.sync()
                file.close()
            done.append("whole")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(storage.run, job)
            await begun.wait()
            scope.cancel()
    assert done == ["whole"]


async def a_cancelled_job_is_not_begun(storage: Storage) -> None:
    done: list[str] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        await storage.run(lambda _: done.append("begun"))
    assert scope.cancelled_caught
    assert not done
    await storage.run(lambda _: done.append("later"))
    assert done == ["later"]


CHECKS: tuple[Callable[[Storage], Awaitable[None]], ...] = (
    a_job_gives_its_value,
    a_job_raises_its_own_error,
    jobs_run_one_at_a_time_in_the_order_of_the_calls,
    a_job_that_has_begun_is_finished,
    a_cancelled_job_is_not_begun,
)
