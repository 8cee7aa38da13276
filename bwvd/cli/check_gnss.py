"""What `bwvd check` says of the satellite receiver."""

from __future__ import annotations

from collections.abc import Iterator

from bwvd.cli.finding import Finding
from bwvd.config.schema import Config
from bwvd.messages import Fix
from bwvd.text import counted

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
    from bwvd.position.receiver import ReceiverLost

    try:
        fix, trouble = _heard(config)
    except ReceiverLost as lost:
        yield Finding("gnss", True, f"gnss.source: not now: {lost}", advice=True)
        return
    if fix is None:
        yield Finding("gnss", True, f"gnss.source: {source}: {trouble}", advice=True)
        return
    satellites = "" if fix.satellites is None else f" by {counted(fix.satellites, 'satellite')}"
    dimensions = "three" if fix.mode == 3 else "two"
    yield Finding("gnss", True, f"gnss.source: {source}: a position in {dimensions} dimensions{satellites}")


def _heard(config: Config) -> tuple[Fix | None, str]:
    """The first position of some seconds; else what came instead. Raises: ReceiverLost."""
    import trio

    from bwvd.daemon.position_source import receiver_of
    from bwvd.position.receiver import lines_of

    receiver = receiver_of(config)
    language = receiver.language()

    async def listen() -> tuple[Fix | None, str]:
        buffer, heard = bytearray(), 0
        with trio.move_on_after(LISTEN_S):
            async with receiver.open() as feed:
                while True:
                    data = await feed.receive()
                    heard += len(data)
                    buffer.extend(data)
                    for line in lines_of(buffer):
                        if (fix := language.take(line, 0)) is not None:
                            return fix, ""
        return None, language.silence() if heard else f"says nothing for {LISTEN_S:g} s"

    return trio.run(listen)
