"""The store of an address, opened."""

from __future__ import annotations

from dataclasses import dataclass

from bwvd.store.address import BucketAddress, parse
from bwvd.store.errors import AddressWrong
from bwvd.store.folder import FolderStore
from bwvd.store.ports import Store


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """How to reach a bucket; a folder needs none of it."""

    endpoint: str = ""  # http(s)://HOST[:PORT]; "" = the region's own at AWS
    region: str = "us-east-1"
    credentials: str = ""  # a file in AWS' shared format; "" = AWS_ACCESS_KEY_ID and so on from the environment
    ca_file: str = ""  # certificates that sign the endpoint's; "" = the system's


def open_store(address: str, access: BucketAccess | None = None) -> Store:
    """The store at `address`: `file:/mnt/dock` or `s3://BUCKET[/PREFIX]`. Asks nothing of it yet; `Store.facts` does.

    Blocking, for a short time: reads the credentials, opens the folder.
    Raises: AddressWrong (also for unusable credentials or an extra that is not installed), StoreUnreachable,
    StoreRefused.
    """
    match parse(address):
        case BucketAddress():
            raise AddressWrong(f"{address}: buckets are not spoken to yet, not with {access}")
        case folder:
            return FolderStore(folder.path)
