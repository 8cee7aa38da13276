"""The process around the carrier: logging, signals, exit codes; as a service, or once through."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio

from bwvd.clock import Clock, SystemClock
from bwvd.config.schema import Config
from bwvd.evidence.keys.rfc3161 import load_certificates
from bwvd.log import configure, get_logger, quiet, unconfigured
from bwvd.offload.authority import HttpAuthority
from bwvd.offload.book import Book, Row
from bwvd.offload.carrier import Carrier, Terms
from bwvd.offload.collector import Collector
from bwvd.offload.faults import Faults
from bwvd.offload.flash import ThreadReader
from bwvd.offload.pace import Pacer, socket_recording
from bwvd.offload.power_gate import PowerGate
from bwvd.offload.receipts import socket_hand_in
from bwvd.offload.service import News, Service, lock_trouble
from bwvd.offload.stamping import Stamping, socket_keep
from bwvd.offload.state import state_file
from bwvd.service.backoff import Backoff
from bwvd.service.notify import Notifier
from bwvd.service.power import read_in_thread
from bwvd.service.signals_held import let_signals_in
from bwvd.store.errors import AddressWrong, LockMissing, StoreError, StoreUnreachable
from bwvd.store.open import BucketAccess, open_store
from bwvd.store.ports import Store

GOOD, NO, USAGE = 0, 1, 2
ONCE_TRIES = 4  # of a store that does not answer, with `--once`
ONCE_AGAIN = Backoff(first_s=1.0, limit_s=4.0)

_log = get_logger("offload")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of `--once`."""

    rows: list[dict[str, Any]]  # one for each recording
    faults: dict[str, str]
    journal: bool  # the journal is in the store as well
    complete: bool  # everything closed is stored, and stamped
    witness: dict[str, Any] | None = None  # the time-stamps, where an authority is configured


def connector(config: Config) -> Callable[[], Awaitable[Store]]:
    """Opens the store of the configuration, in a thread. Raises StoreError."""
    offload = config.offload
    access = BucketAccess(offload.endpoint, offload.region, offload.credentials)
    connect = partial(open_store, offload.store, access)
    return partial(trio.to_thread.run_sync, connect, abandon_on_cancel=True)  # a NAS that hangs is not waited for


def make_carrier(config: Config, clock: Clock, faults: Faults, changed: Callable[[], None]) -> Carrier:
    """The carrier of a configuration."""
    book = Book()
    return Carrier(
        terms=Terms(config.device.id, config.offload.retain_days),
        reader=ThreadReader(config.storage.path),
        clock=clock,
        pacer=Pacer(config.offload.max_mbit, clock, socket_recording(config.socket.path)),
        faults=faults,
        collector=Collector(
            device=config.device.id,
            clock=clock,
            book=book,
            faults=faults,
            hand_in=socket_hand_in(config.socket.path),
            release=config.offload.release,
        ),
        book=book,
        changed=changed,
    )


def make_stamping(
    config: Config, clock: Clock, faults: Faults, changed: Callable[[], None] = lambda: None
) -> Stamping | None:
    """Who asks for time-stamps, where an authority is configured. Blocking. Raises: CertificatesUnusable."""
    if not config.witness.tsa:
        return None
    roots = load_certificates(config.witness.certs) if config.witness.certs else None
    return Stamping(
        device=config.device.id,
        authorities=[HttpAuthority(url, roots, clock) for url in config.witness.tsa],
        reader=ThreadReader(config.storage.path),
        clock=clock,
        faults=faults,
        keep=socket_keep(config.socket.path),
        changed=changed,
    )


def rights_trouble(config: Config) -> str:
    """What this process can reach and must not, in a line; "" where all is as it should be, or root looks.

    The unit gives the carrier the storage and nothing else of the recorder's: a key that it can read all the same is
    one that whoever breaks into it over the network can read as well.
    """
    key = Path(config.keys.signing)
    if os.geteuid() in (0, _owner(key)):
        return ""
    if os.access(key, os.R_OK):
        return f"keys.signing: {key} can be read by the user that carries recordings away"
    if os.access(config.storage.path, os.W_OK):
        return f"storage.path: {config.storage.path} can be written by the user that carries recordings away"
    return ""


def _owner(path: Path) -> int:
    try:
        return path.stat().st_uid
    except OSError:
        return -1


# --- as a service ----------------------------------------------------------------------------------------------------


def run_forever(config: Config) -> int:
    """`bwvd offload`: returns the exit code when it was told to end. Raises: CertificatesUnusable, at the start."""
    configure()
    clock = SystemClock()
    news = News()
    faults = Faults(clock, news.ring)
    stamping = make_stamping(config, clock, faults, news.ring)
    faults.report("offload:rights", bool(trouble := rights_trouble(config)), trouble)
    external = config.offload.when == "external_power"
    read = partial(read_in_thread, config.power.supply) if external else None
    notifier = Notifier.from_environment()
    service = Service(
        address=config.offload.store,
        connect=connector(config),
        carrier=make_carrier(config, clock, faults, news.progress),
        clock=clock,
        faults=faults,
        gate=PowerGate(read, faults.report, news.ring),
        news=news,
        manual=config.offload.when == "manual",
        state=state_file() if state_file().parent.is_dir() else None,
        stamping=stamping,
        notifier=notifier,
    )

    async def work() -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            let_signals_in()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(service.run)
                async for _ in signals:
                    notifier.stopping()
                    nursery.cancel_scope.cancel()
                    break

    try:
        trio.run(work)
    except Exception as error:  # noqa: BLE001  told, and the exit code says so; nothing is swallowed
        _log.critical("crashed", exc_info=error)
        return NO
    finally:
        notifier.close()
    return GOOD


# --- once ------------------------------------------------------------------------------------------------------------


def run_once(config: Config) -> Outcome:
    """`bwvd offload --once`: all there is to do, whatever `offload.when` says; a person has asked.

    Raises: AddressWrong, CertificatesUnusable, for what is wrong in the configuration.
    """
    quiet()
    try:
        return trio.run(_once, config, SystemClock(), connector(config))
    finally:
        unconfigured()


async def _once(config: Config, clock: Clock, connect: Callable[[], Awaitable[Store]]) -> Outcome:
    faults = Faults(clock)
    faults.report("offload:rights", bool(trouble := rights_trouble(config)), trouble)
    carrier = make_carrier(config, clock, faults, lambda: None)
    stamping = await trio.to_thread.run_sync(make_stamping, config, clock, faults)
    if stamping is not None:  # before what is carried: then it goes to the store as well
        await stamping.round()
    await carrier.look()  # so that there is a row for each recording, whatever the store says
    if config.offload.store:
        await _carry_once(carrier, faults, connect)
    told = {name: detail for name, (detail, _) in sorted(faults.active.items())}
    complete = "offload:storage" not in told and (stamping is None or stamping.complete)
    if config.offload.store:
        complete = complete and carrier.book.all_stored() and carrier.journal_stored
    witness = dataclasses.asdict(stamping.told) if stamping is not None else None
    rows = [_document(row) for row in carrier.book.rows.values()] if config.offload.store else []
    return Outcome(rows, told, carrier.journal_stored, complete, witness)


async def _carry_once(carrier: Carrier, faults: Faults, connect: Callable[[], Awaitable[Store]]) -> None:
    for attempt in range(1, ONCE_TRIES + 1):
        store: Store | None = None
        try:
            store = await connect()
            lock_trouble(await store.facts(), faults)
            await carrier.round(store)
        except AddressWrong:
            raise
        except StoreUnreachable as error:
            faults.report("offload:store", True, str(error))
            if attempt < ONCE_TRIES:
                await trio.sleep(ONCE_AGAIN.delay_s(attempt))
        except StoreError as error:
            faults.report("offload:lock" if isinstance(error, LockMissing) else "offload:store", True, str(error))
            break
        else:
            faults.report("offload:store", False)
            break
        finally:
            if store is not None:
                await store.aclose()


def _document(row: Row) -> dict[str, Any]:
    return {
        "recording": row.recording,
        "standing": row.standing.value,
        "files": row.closed.files,
        "bytes": row.closed.size,
        "sent_files": row.sent_files,
        "detail": row.turn.detail,
    }
