"""`bwvd desk`: the page on which a person finds, sees, verifies and hands out recordings, in a browser."""

from __future__ import annotations

import os
import pwd
import re
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bwvd.cli.options import NAME, Failure, identity_option, signers_option, tsa_certs_option
from bwvd.cli.store_options import store_options
from bwvd.cli.vouching import listed
from bwvd.clock import SystemClock
from bwvd.evidence.errors import EvidenceError
from bwvd.store.address import is_address
from bwvd.text import without_credentials

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from bwvd.desk.access import Access
    from bwvd.desk.desk import Desk
    from bwvd.desk.facts import Listed
    from bwvd.desk.store_source import StoreSource
    from bwvd.evidence.keys.allowed_signers import AllowedSigners
    from bwvd.evidence.keys.sshsig import KeySigner
    from bwvd.store.open import BucketAccess

_NOT_OF_A_NAME = re.compile("[^A-Za-z0-9._-]")
_SQLITE = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for."""

    places: Sequence[str]
    access: dict[str, str]  # to buckets
    identities: Sequence[str]
    signers: str | None
    port: int
    browser: bool
    log: str | None
    key: str | None
    by: str | None
    reason_needed: bool
    headers: tuple[str, ...]
    proxy_user: str | None
    public_url: str | None
    receipts: tuple[str, ...]
    receipt_key: str | None
    out: str = "."
    tsa_certs: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """With what a source is read."""

    signers: AllowedSigners | None
    identities: Sequence[Any]
    receipts: Sequence[Path]
    roots: Sequence[Certificate] | None
    buckets: BucketAccess


@click.command()
@store_options
@identity_option("age identity or SSH key to decrypt with.")
@signers_option()
@tsa_certs_option
@click.option("--port", default=0, type=click.IntRange(0, 65535), metavar="N", help="Default: any that is free.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option("--log", metavar="DIR|STORE", type=NAME, help="Where the desk's log goes; default: this user's own.")
@click.option(
    "--key", type=NAME, metavar="FILE", help="OpenSSH Ed25519 key of the desk; default: made at the first start."
)
@click.option("--by", metavar="NAME", help="The desk's name, under which a list has its key; default: desk-USER.")
@click.option("--reason", "reason_needed", is_flag=True, help="Show nothing to who gives no reason.")
@click.option("--receipts", multiple=True, type=NAME, metavar="DIR", help="Where receipts for what is shown lie.")
@click.option("--receipt-key", type=NAME, metavar="FILE", help="Sign receipts with this key, as bwvd receipt does.")
@click.option("-o", "--out", default=".", show_default=True, type=NAME, metavar="DIR", help="Where exports go.")
@click.option("--trust-header", "headers", multiple=True, metavar="NAME", help="Believe a proxy who is looking.")
@click.option("--proxy-user", metavar="USER", help="The system user that the proxy runs as; only it is believed.")
@click.option("--public-url", metavar="URL", help="The address by which people reach the proxy.")
@click.argument("places", type=NAME, nargs=-1, required=True, metavar="PATH|STORE|INDEX…")
def desk(places: tuple[str, ...], *, no_browser: bool, **given: Any) -> None:
    """Find, see, verify and hand out what lies at each PATH, in a store, or in a custodian's index, in a browser.

    Serves a page on this machine alone, and prints its address. Every look is entered into a signed log.
    """
    access = {name: given.pop(name) for name in ("endpoint", "region", "credentials", "ca_file")}
    run_desk(Order(places, access, browser=not no_browser, **given))


def require_desk() -> None:
    """Raises: Failure where the extra is not installed."""
    try:
        import bwvd.desk.serve  # noqa: F401  it imports all of them
    except ImportError as error:
        raise Failure(f"{(error.name or '').partition('.')[0]} is not installed: pip install 'bwvd[desk]'", 2) from None


def run_desk(order: Order) -> None:
    """Serve until a signal ends it. Raises: Failure."""
    require_desk()
    import trio

    from bwvd.desk.serve import listen
    from bwvd.store.errors import AddressWrong, StoreError

    try:
        listening = listen(order.port)
    except OSError as error:
        raise Failure(f"port {order.port}: {error.strerror}", 2) from None
    try:
        with listening:
            trio.run(_serve, order, listening)
    except AddressWrong as error:
        raise Failure(str(error), 2) from None
    except StoreError as error:
        raise Failure(str(error), 1) from None
    except EvidenceError as error:
        raise Failure(str(error), 2) from None


async def _serve(order: Order, listening: socket.socket) -> None:
    """Raises: EvidenceError, StoreError, Failure."""
    import trio

    from bwvd.desk.serve import serve

    access = _access(order, listening.getsockname()[1])
    async with AsyncExitStack() as opened:
        desk = await _desk(order, access, opened)

        def told() -> None:
            click.echo(f"{access.address}/enter?token={desk.sessions.ticket}")

        async def ready() -> None:
            told()
            desk.sessions.renewed = told
            if order.browser:
                import webbrowser

                await trio.to_thread.run_sync(
                    webbrowser.open, f"{access.address}/enter?token={desk.sessions.ticket}", abandon_on_cancel=True
                )

        await serve(desk, listening, ready)


async def _desk(order: Order, access: Access, opened: AsyncExitStack) -> Desk:
    from bwvd.cli.signing import desk_key
    from bwvd.custody.log import DESK, CustodyLog
    from bwvd.desk.desk import Desk
    from bwvd.desk.trail import Trail
    from bwvd.evidence.keys.age import load_identities
    from bwvd.store.open import BucketAccess, open_store

    signers = listed(order.signers)
    identities = load_identities(order.identities) if order.identities else ()
    roots: Sequence[Certificate] | None = None
    if order.tsa_certs is not None:
        from bwvd.evidence.keys.rfc3161 import load_certificates, require_library

        require_library()
        roots = load_certificates(order.tsa_certs)
    buckets = BucketAccess(**order.access)
    signer, name = _key(order, access.user)
    store = open_store(_log_address(order), buckets)
    opened.push_async_callback(store.aclose)
    log = CustodyLog(store, signer, name, SystemClock(), DESK)
    await log.find()
    reading = Reading(signers, identities, [Path(folder) for folder in order.receipts], roots, buckets)
    sources: list[Listed] = []
    for number, place in enumerate(order.places, 1):
        source = _source(place, number, reading)
        opened.push_async_callback(source.aclose)
        sources.append(source)
    return Desk(
        sources,
        access,
        Trail(log, access.user),
        identities,
        signers,
        out=_out(order),
        receipts=desk_key(order.receipt_key, None, signers) if order.receipt_key else None,
    )


def _out(order: Order) -> Path:
    """Raises: Failure."""
    folder = Path(order.out).absolute()
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"{error.filename or folder}: {error.strerror}", 2) from None
    return folder


def _source(place: str, number: int, reading: Reading) -> Listed:
    """Raises: Failure, EvidenceError, StoreError."""
    from bwvd.desk.folder_source import FolderSource

    if is_address(place):
        return _store(place, number, reading)
    if "://" in place or _is_index(Path(place)):
        return _index(place, number, reading)
    path = Path(place)
    if not path.is_dir() and not (path.is_file() and path.suffix.lower() == ".zip"):
        raise Failure(f"{place}: neither a folder nor a proof (.zip), nor a store, nor an index", 2)
    return FolderSource(
        path, reading.signers, reading.identities, receipts=reading.receipts, roots=reading.roots, number=number
    )


def _store(address: str, number: int, reading: Reading) -> StoreSource:
    from bwvd.custody.verify_store import parted
    from bwvd.desk.store_source import StoreSource
    from bwvd.store.open import open_store

    store, path = parted(address)
    parts = path.split("/") if path else []
    if parts and (len(parts) > 2 or parts[0] != "devices"):
        raise Failure(f"{address}: name a store, or one device of it: STORE/devices/ID", 2)
    device = parts[1] if len(parts) == 2 else ""
    opened = open_store(store, reading.buckets)
    return StoreSource(
        opened, store, reading.signers, reading.identities, roots=reading.roots, device=device, number=number
    )


def _index(url: str, number: int, reading: Reading) -> Listed:
    try:
        from bwvd.custody.index import Index, IndexLost, fact
        from bwvd.desk.index_source import IndexSource
    except ImportError as error:
        raise Failure(f"{error.name} is not installed: pip install 'bwvd[custody]'", 2) from None
    try:
        index = Index.reading(url)
        address = index.do(lambda db: fact(db, "store"))
    except IndexLost as error:
        raise Failure(str(error), 1) from None
    if not address:
        raise Failure(f"{without_credentials(url)}: the index is of no store yet", 2)
    # A bucket on a server of one's own is named with it, as the custodian reaches it; here that may have another name.
    place, _, server = address.partition(" at ") if address.startswith("s3:") else (address, "", "")
    if server and not reading.buckets.endpoint:
        raise Failure(f"{without_credentials(url)}: the index is of {address}: name that server with --endpoint", 2)
    return IndexSource(index, without_credentials(url), _store(place, number, reading), number=number)


def _is_index(path: Path) -> bool:
    """Whether an SQLite database lies there."""
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def _access(order: Order, port: int) -> Access:
    """Raises: Failure."""
    from bwvd.desk.access import Access, public_names

    uid = os.getuid()
    access = Access.loopback(port, uid, _user(uid), reason_needed=order.reason_needed)
    if not (order.headers or order.proxy_user or order.public_url):
        return access
    if not (order.headers and order.proxy_user and order.public_url):
        raise Failure(
            "behind a proxy it takes all three: --trust-header NAME, --proxy-user USER and --public-url URL", 2
        )
    try:
        host, origin = public_names(order.public_url)
        proxy = pwd.getpwnam(order.proxy_user).pw_uid
    except ValueError as error:
        raise Failure(f"--public-url {error}", 2) from None
    except KeyError:
        raise Failure(f"--proxy-user {order.proxy_user}: there is no such user", 2) from None
    return replace(
        access,
        hosts=access.hosts | {host},
        origins=access.origins | {origin},
        trusted=tuple(header.lower() for header in order.headers),
        proxy_uid=proxy,
        secure=origin.startswith("https:"),
    )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def state_folder() -> Path:
    """Where a person's desk keeps its key and its log: `$XDG_STATE_HOME/bwvd/desk`."""
    configured = os.environ.get("XDG_STATE_HOME", "")
    home = Path(configured if Path(configured).is_absolute() else os.path.expanduser("~/.local/state"))  # noqa: PTH111  raises nothing where there is no home
    if not home.is_absolute():
        raise Failure("this user has no home: give --log DIR and --key FILE", 2)
    return home / "bwvd" / "desk"


def key_file() -> Path:
    """The key of a person's desk."""
    return state_folder() / "desk_key"


def log_folder() -> Path:
    """The log of a person's desk."""
    return state_folder() / "log"


def _key(order: Order, user: str) -> tuple[KeySigner, str]:
    """The desk's key and its name. Raises: Failure, EvidenceError."""
    from bwvd.cli.signing import desk_key
    from bwvd.evidence.keys.sshsig import new_key

    name = order.by or f"desk-{_NOT_OF_A_NAME.sub('_', user)}"
    if order.key:
        return desk_key(order.key, order.by, listed(order.signers))
    path = key_file()
    if not os.path.lexists(path):
        new_key(path, name)
    return desk_key(str(path), order.by, listed(order.signers))


def _log_address(order: Order) -> str:
    """The store that the log goes into. Raises: Failure."""
    if order.log and is_address(order.log):
        return order.log
    folder = Path(order.log) if order.log else log_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"{error.filename or folder}: {error.strerror}", 2) from None
    return f"file:{folder.resolve()}"
