"""Options by which commands on a desk reach a store, and what opens it: imported when there is one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bwvd.cli.options import Failure

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from bwvd.evidence.keys.allowed_signers import AllowedSigners
    from bwvd.evidence.verify.report import Report
    from bwvd.store.ports import Store

Command = TypeVar("Command", bound=Callable[..., Any])
T = TypeVar("T")


def store_options(command: Command) -> Command:
    """--endpoint, --region, --credentials and --ca-file, for stores in buckets."""
    for option in (
        click.option(
            "--ca-file", default="", metavar="FILE", help="Of a bucket: certificates that sign the endpoint's."
        ),
        click.option(
            "--credentials",
            default="",
            envvar="AWS_SHARED_CREDENTIALS_FILE",
            metavar="FILE",
            help="Of a bucket: in AWS' shared format; default: AWS_ACCESS_KEY_ID and so on from the environment.",
        ),
        click.option(
            "--region", default="us-east-1", envvar="AWS_REGION", show_default=True, help="Of a bucket.", metavar="NAME"
        ),
        click.option(
            "--endpoint",
            default="",
            envvar="AWS_ENDPOINT_URL",
            metavar="URL",
            help="Of a bucket: the S3 service; default: AWS' in the region.",
        ),
    ):
        command = option(command)
    return command


def run_with_store(address: str, access: Mapping[str, str], work: Callable[[Store], Awaitable[T]]) -> T:
    """Open the store at `address`, run `work` on it, close it.

    Raises: Failure, exit code 2 for an address or credentials that can't be used, 1 where the store does not answer.
    """
    import trio

    from bwvd.store.errors import AddressWrong, StoreError
    from bwvd.store.open import BucketAccess, open_store

    async def main() -> T:
        store = open_store(address, BucketAccess(**access))
        try:
            return await work(store)
        finally:
            await store.aclose()

    try:
        return trio.run(main)
    except AddressWrong as error:
        raise Failure(str(error), 2) from None
    except StoreError as error:
        raise Failure(str(error), 1) from None


def verify_in_store(
    address: str,
    access: Mapping[str, str],
    signers: AllowedSigners | None,
    identities: Sequence[Any],
    roots: Sequence[Certificate] | None = None,
) -> list[Report]:
    """Reports on what lies in a store at `address`; `roots`: of trusted time-stamp authorities. Raises: Failure."""
    from bwvd.custody.verify_store import StoreVerifier, parted

    store_address, path = parted(address)
    return run_with_store(
        store_address,
        access,
        lambda store: StoreVerifier(store, signers, identities, roots, address=store_address).verify(path),
    )
