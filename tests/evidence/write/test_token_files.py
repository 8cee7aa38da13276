"""Time-stamp tokens on the flash: bounded, durable, and nothing that is there is replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from bwvd.controls.socket_protocol import MAX_REQUEST_BYTES
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.format.digest_list import LIST_BYTES, DigestList, list_name, token_name
from bwvd.evidence.keys.rfc3161 import TOKEN_BYTES
from bwvd.evidence.startup.admission import StorageRefused, open_storage, strays
from bwvd.evidence.write import token_files
from bwvd.evidence.write.token_files import TokenRefused, keep_token
from bwvd.testing.flash.crash import crash_states
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.storage_recording import new_volume

LIST = DigestList(frozenset({"a" * 128})).encode()
FILES = {list_name(LIST): LIST, token_name(LIST, "one.example"): b"a token"}


def there(volume: VirtualVolume) -> dict[str, bytes]:
    return {name: volume.read(f"witness/{name}") for name in volume.names("witness")}


def test_a_list_and_its_tokens_lie_beside_each_other() -> None:
    volume = new_volume()
    keep_token(volume, LIST, "one.example", b"a token")
    assert there(volume) == FILES
    keep_token(volume, LIST, "two.example", b"another")
    assert there(volume) == {**FILES, token_name(LIST, "two.example"): b"another"}


def test_the_folder_is_no_stray_and_keeps_no_card_from_being_used(tmp_path: Path) -> None:
    with PosixVolume(tmp_path) as volume:
        keep_token(volume, LIST, "one.example", b"a token")
        assert strays(volume, []) == []
    with open_storage(tmp_path, device="BWV-0001") as volume:
        assert there_in(volume) == sorted(FILES)
    for file in (tmp_path / "witness").iterdir():
        file.unlink()
    (tmp_path / "witness").rmdir()
    (tmp_path / "witness").write_bytes(b"a file in its place")
    with pytest.raises(StorageRefused, match="witness"):
        open_storage(tmp_path, device="BWV-0001")


def there_in(volume: PosixVolume) -> list[str]:
    return volume.names("witness")


def test_what_is_there_is_not_replaced() -> None:
    """Invariant 8: by no process that the network reaches."""
    volume = new_volume()
    keep_token(volume, LIST, "one.example", b"a token")
    keep_token(volume, LIST, "one.example", b"something else")
    assert there(volume) == FILES


def test_after_a_cut_each_file_is_whole_or_not_there() -> None:
    """Invariant 6."""
    volume = new_volume(trace=True)
    keep_token(volume, LIST, "one.example", b"a token")
    states = crash_states(volume.moments)
    assert len(states) > 3
    for state in states:
        for name, content in FILES.items():
            assert state.tree.get(f"witness/{name}", content) == content
    before = len(volume.moments)
    keep_token(volume, LIST, "two.example", b"another")
    for state in crash_states(volume.moments[before:]):
        assert {name: state.tree.get(f"witness/{name}") for name in FILES} == FILES


@pytest.mark.parametrize(
    ("listed", "label", "answer", "why"),
    [
        (b"no list\n", "one.example", b"x", "no list of digests"),
        (LIST + b"manifest x\n", "one.example", b"x", "line 3 is none"),
        (LIST, "../../x", b"x", "an authority's label"),
        (LIST, "one.example", b"", "1 to 16384 bytes"),
        (LIST, "one.example", bytes(TOKEN_BYTES + 1), "1 to 16384 bytes"),
    ],
)
def test_nothing_else_is_taken(listed: bytes, label: str, answer: bytes, why: str) -> None:
    volume = new_volume()
    with pytest.raises(TokenRefused, match=why):
        keep_token(volume, listed, label, answer)
    assert "witness/" not in volume.names("")


def test_whoever_breaks_into_the_carrier_fills_a_corner_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 12: the room of recordings is theirs."""
    monkeypatch.setattr(token_files, "MOST_BYTES", 2000)
    volume = new_volume()
    for number in range(10):
        keep_token(volume, LIST, f"a{number}.example", b"x" * 150)
    with pytest.raises(TokenRefused, match="no room for more tokens"):
        keep_token(volume, LIST, "b.example", b"x" * 1000)
    assert sum(volume.sizes("witness").values()) <= 2000
    monkeypatch.setattr(token_files, "LEAST_FREE_BYTES", 1 << 60)
    with pytest.raises(TokenRefused, match="nearly full"):
        keep_token(new_volume(), LIST, "one.example", b"x")


def test_the_largest_fits_into_a_request_of_the_socket() -> None:
    assert LIST_BYTES + (TOKEN_BYTES + 2) // 3 * 4 + 1000 < MAX_REQUEST_BYTES
