"""Time-stamps on the page: of the authorities that count here, and of no other."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from bwvd.desk.folder_source import FolderSource
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.format.digest_list import DigestList
from bwvd.evidence.keys.rfc3161 import load_certificates, new_request
from bwvd.evidence.write.token_files import keep_token
from tests.desk.test_command import serving
from tests.support.desk import SIGNERS
from tests.support.desk_page import desk_of
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.time_authority import Authority

PLACE = "/r/BWV-0001/20261122T071505Z-BWV-0001-000001"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa"))


@pytest.fixture
def card(tmp_path: Path, authority: Authority) -> Path:
    """A card with one recording, stamped."""
    root = make_storage(tmp_path / "card")
    manifest = make_recording(root) / "manifest.jsonl"
    listed = DigestList(frozenset([hashlib.sha512(manifest.read_bytes()).hexdigest()]), None).encode()
    with PosixVolume(root) as volume:
        keep_token(volume, listed, "one.example", authority.reply(new_request(listed).der))
    return root


def existed(verdict: dict[str, Any]) -> str:
    """What the chain says of its time."""
    [link] = [link["text"] for link in verdict["chain"] if link["text"].startswith("existed")]
    return str(link)


async def test_a_time_stamp_counts_by_the_authorities_that_are_named(card: Path, authority: Authority) -> None:
    """Invariant 14: whose word counts is said from outside the card."""
    for roots, link in ((load_certificates(authority.root), "existed"), (None, "existed_none")):
        async with desk_of(FolderSource(card, SIGNERS, roots=roots)) as asked:
            assert existed(await asked.verdict(PLACE)) == link


def test_the_command_takes_the_authorities_certificates(
    card: Path, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 14."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with serving(str(card), "--tsa-certs", str(authority.root), "-o", str(tmp_path / "out")) as (_, address):
        origin = address.partition("/enter")[0]
        with httpx.Client(base_url=origin, timeout=60) as client:
            client.get(address)
            client.post("/who", data={"name": "Ann", "next": "/"}, headers={"origin": origin})
            while not (said := json.loads(client.get(f"{PLACE}/verdict.json").text))["known"]:
                pass
    assert existed(said) == "existed"
