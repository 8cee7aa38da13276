"""The store of an address, opened."""

from __future__ import annotations

from dataclasses import dataclass

from bwvd.store.address import FolderAddress, parse
from bwvd.store.errors import AddressWrong
from bwvd.store.folder import FolderStore
from bwvd.store.ports import Store


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """How to reach a bucket; a folder needs none of it."""

    endpoint: str = ""  # http(s)://HOST[:PORT]; "" = the region's own at AWS
    region: str = "us-east-1"
    credentials: str = ""  # a file in AWS' shared format; "" = AWS_ACCESS_KEY_ID and so on of the environment
    ca_file: str = ""  # certificates that sign the endpoint's; "" = `ca_bundle` of the credentials, or the system's


def open_store(address: str, access: BucketAccess | None = None) -> Store:
    """The store at `address`: `file:/mnt/dock` or `s3://BUCKET[/PREFIX]`. Asks nothing of it yet; `Store.facts` does.

    Blocking, for a short time: reads the credentials, opens the folder.
    Raises: AddressWrong (also for unusable credentials or an extra that is not installed), StoreUnreachable,
    StoreRefused.
    """
    where = parse(address)
    if isinstance(where, FolderAddress):
        return FolderStore(where.path)
    try:
        from bwvd.store.s3.credentials import read_credentials
        from bwvd.store.s3.sigv4 import AccessKey
        from bwvd.store.s3.store import S3Store, server_of
    except ModuleNotFoundError as error:
        raise AddressWrong(f"{where}: {error.name} is not installed; install bwvd[s3]") from None
    access = access or BucketAccess()
    credentials = read_credentials(access.credentials)
    server, path_style = server_of(where, access.endpoint, access.region, access.ca_file or credentials.ca_bundle)

    def renew() -> AccessKey:
        return read_credentials(access.credentials).key

    return S3Store(
        where,
        server,
        credentials.key,
        region=access.region,
        path_style=path_style,
        renew=renew if access.credentials else None,  # of the environment nothing becomes new
    )
