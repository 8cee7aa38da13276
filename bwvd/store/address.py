"""Addresses of stores: `file:/mnt/dock`, `s3://BUCKET[/PREFIX]`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bwvd.store.errors import AddressWrong
from bwvd.store.names import is_name
from bwvd.text import one_line

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)


@dataclass(frozen=True, slots=True)
class FolderAddress:
    """A folder: of a mounted disk, a NAS, a dock."""

    path: str  # absolute

    def __str__(self) -> str:
        return f"file:{self.path}"


@dataclass(frozen=True, slots=True)
class BucketAddress:
    """A bucket of an S3 store, and what the names of its objects begin with."""

    bucket: str
    prefix: str = ""  # "" or with a final "/"

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


Address = FolderAddress | BucketAddress


def is_address(text: str) -> bool:
    """True for what looks like an address of a store, and no path of a file: `verify` and `desk` take both."""
    return text.startswith(("file:", "s3://"))


def parse(text: str) -> Address:
    """The store that `text` names. Raises: AddressWrong, one line."""
    shown = one_line(text)
    if text.startswith("file:"):
        path = text.removeprefix("file:")
        if path.startswith("//"):  # a URL with an empty host
            path = path.removeprefix("//")
        if not path.startswith("/") or "\0" in path:
            raise AddressWrong(f"{shown}: must be file: and an absolute path")
        return FolderAddress(path)
    if text.startswith("s3://"):
        bucket, _, prefix = text.removeprefix("s3://").partition("/")
        if not _BUCKET.fullmatch(bucket) or ".." in bucket:
            raise AddressWrong(f"{shown}: a bucket's name has 3 to 63 of the characters a-z 0-9 . -")
        prefix = prefix.rstrip("/")
        if prefix and not is_name(prefix):
            raise AddressWrong(f"{shown}: a prefix is of names of A-Z a-z 0-9 . _ -, with / between them")
        return BucketAddress(bucket, f"{prefix}/" if prefix else "")
    raise AddressWrong(f"{shown}: no store; must begin with file: or s3://")
