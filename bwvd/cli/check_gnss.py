"""What `bwvd check` says of the satellite receiver."""

from __future__ import annotations

from collections.abc import Iterator

from bwvd.cli.finding import Finding
from bwvd.config.schema import Config

LISTEN_S = 3.0  # receivers say something each second


def gnss_findings(config: Config, *, probe: bool) -> Iterator[Finding]:
    """Whether the receiver can be opened and says something. Blocking; nothing where none is configured.

    One that is absent is no reason not to start: a camera records without it.
    """
    source = config.gnss.source
    if not source:
        return
    if not probe:
        yield Finding("gnss", True, f"gnss.source: {source}")
        return
    import trio

    from bwvd.daemon.position_source import receiver_of
    from bwvd.position.receiver import ReceiverLost

    async def heard() -> bool:
        with trio.move_on_after(LISTEN_S):
            async with receiver_of(config).open() as feed:
                return bool(await feed.receive())
        return False

    try:
        said = trio.run(heard)
    except ReceiverLost as lost:
        yield Finding("gnss", True, f"gnss.source: not now: {lost}", advice=True)
    else:
        what = "answers" if said else f"says nothing for {LISTEN_S:g} s"
        yield Finding("gnss", True, f"gnss.source: {source}: {what}", advice=not said)
