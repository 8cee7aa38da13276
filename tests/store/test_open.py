"""Addresses, and the store that opens from one: where it is, what vouches for it, and what can't be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from bwvd.store.address import BucketAddress, FolderAddress, is_address, parse
from bwvd.store.errors import AddressWrong, StoreError, StoreRefused, StoreUnreachable
from bwvd.store.open import BucketAccess, open_store
from bwvd.store.ports import Put
from bwvd.store.s3.store import server_of
from bwvd.testing.conformance.store import put, read
from tests.support import s3_server
from tests.support.absent_library import take_away
from tests.support.tls_server import authority_and_server


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("file:/mnt/dock", FolderAddress("/mnt/dock")),
        ("file:///mnt/dock", FolderAddress("/mnt/dock")),
        ("s3://evidence", BucketAddress("evidence")),
        ("s3://evidence/", BucketAddress("evidence")),
        ("s3://ev.id-1/fleet/north/", BucketAddress("ev.id-1", "fleet/north/")),
    ],
)
def test_addresses(text: str, address: FolderAddress | BucketAddress) -> None:
    assert parse(text) == address
    assert parse(str(address)) == address
    assert is_address(text)


@pytest.mark.parametrize(
    "text",
    ["", "/mnt/dock", "file:", "file:dock", "file:/a\0", "http://x", "s3:evidence", "s3://", "s3://A", "s3://ab",
     "s3://a..b", "s3://evidence/../x", "s3://evidence//x", "s3://evidence/.x", "s3://evidence/a b", "s3://\x1b[2J"],
)  # fmt: skip
def test_what_is_no_address_is_said_in_a_line(text: str) -> None:
    with pytest.raises(AddressWrong) as raised:
        parse(text)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("address", "endpoint", "region", "authority", "path_style"),
    [
        ("s3://evidence", "", "eu-north-1", "evidence.s3.eu-north-1.amazonaws.com", False),
        ("s3://evidence", "", "cn-north-1", "evidence.s3.cn-north-1.amazonaws.com.cn", False),
        ("s3://evi.dence", "", "us-east-1", "s3.us-east-1.amazonaws.com", True),
        ("s3://evidence", "http://box:8333", "us-east-1", "box:8333", True),
        ("s3://evidence", "http://box/", "us-east-1", "box", True),
        ("s3://evidence", "https://box", "us-east-1", "box", True),
        ("s3://evidence", "https://box:8333", "us-east-1", "box:8333", True),
        ("s3://evidence", "http://[fd00::1]:8333", "us-east-1", "[fd00::1]:8333", True),
        ("s3://evidence", "http://[fd00::1]", "us-east-1", "[fd00::1]", True),
    ],
)
def test_where_a_bucket_is(address: str, endpoint: str, region: str, authority: str, path_style: bool) -> None:
    found = parse(address)
    assert isinstance(found, BucketAddress)
    server, style = server_of(found, endpoint, region, "")
    assert (server.authority, style) == (authority, path_style)
    assert (server.tls is None) == endpoint.startswith("http://")


def _credentials(folder: Path, more: str = "") -> str:
    path = folder / "credentials"
    key = s3_server.KEY
    path.write_text(f"[default]\naws_access_key_id = {key.id}\naws_secret_access_key = {key.secret}\n{more}")
    path.chmod(0o600)
    return str(path)


async def test_tls_with_an_authority_of_ones_own(tmp_path: Path) -> None:
    ca_file, context = authority_and_server(tmp_path)
    async with s3_server.serving(context) as server:
        endpoint = server.endpoint.replace("http:", "https:")
        plain = BucketAccess(endpoint, credentials=_credentials(tmp_path))
        store = open_store("s3://evidence", plain)
        with pytest.raises(StoreRefused, match="its certificate: ") as raised:
            await put(store, "a", b"content")
        assert str(raised.value).isprintable()
        assert server.asked == []
        for ca_bundle, outcome in (("", Put.NEW), (f"ca_bundle = {ca_file}\n", Put.SAME)):
            credentials = _credentials(tmp_path, ca_bundle)
            access = BucketAccess(endpoint, credentials=credentials, ca_file="" if ca_bundle else str(ca_file))
            store = open_store("s3://evidence", access)
            assert await put(store, "a", bytes(3_000_000)) is outcome
            assert len(await read(store, "a")) == 3_000_000
            await store.aclose()


@pytest.mark.parametrize(
    ("address", "access", "error", "says"),
    [
        ("file:/nonexistent/dock", BucketAccess(), StoreUnreachable, "No such file"),
        ("file:/etc/hostname", BucketAccess(), StoreUnreachable, "Not a directory"),
        ("s3://evidence", BucketAccess(credentials="/nonexistent"), AddressWrong, "No such file"),
        ("s3://evidence", BucketAccess(endpoint="ftp://box"), AddressWrong, "https://HOST"),
        ("s3://evidence", BucketAccess(endpoint="https://box:x"), AddressWrong, "https://HOST"),
        ("s3://evidence", BucketAccess(ca_file="/nonexistent"), StoreRefused, "no certificates"),
        ("s3://evidence", BucketAccess(region="../x"), AddressWrong, "region"),
    ],
)
def test_what_can_not_be_opened(
    address: str, access: BucketAccess, error: type[StoreError], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "A")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    with pytest.raises(error, match=says) as raised:
        open_store(address, access)
    assert str(raised.value).isprintable()


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    take_away(monkeypatch, "h11", "bwvd.store.s3")
    with pytest.raises(AddressWrong, match=r"install bwvd\[s3\]"):
        open_store("s3://evidence", BucketAccess(credentials=""))
