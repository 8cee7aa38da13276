"""A chain of signed lines whose signer fails: what comes after goes on from what is there."""

from __future__ import annotations

import io

import pytest

from bwvd.clock import Reading, utc_text
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE, Chain
from bwvd.evidence.format.chain_reader import ChainReader
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.rig import KEY


class _Moody:
    """A secure element that does not answer once."""

    def __init__(self) -> None:
        self.public_key = KEY.public_key
        self.count = 0
        self.fails_at = 0

    def sign(self, sha512: bytes, namespace: str) -> bytes:
        self.count += 1
        if self.count == self.fails_at:
            raise RuntimeError("the secure element does not answer")
        return KEY.sign(sha512, namespace)

    def allowed_signers(self, principal: str) -> str:
        return KEY.allowed_signers(principal)


def _entry(n: int) -> records.Entry:
    stamp = records.Stamp(mono_ns=n, utc=utc_text(n), quality="synchronised", uncertainty_us=None)
    return records.Entry(n=n, event="boot", stamp=stamp, detail={})


def test_a_line_that_could_not_be_signed_leaves_no_trace() -> None:
    """Invariant 7: the next signature covers what is in the file, not what was meant to be."""
    signer = _Moody()
    chain = Chain(signer, JOURNAL_NAMESPACE)
    data = chain.line(_entry(0))
    signer.fails_at = 2
    with pytest.raises(RuntimeError):
        chain.line(_entry(1))
    assert (chain.n, chain.size) == (1, len(data))
    data += chain.line(_entry(1))
    reader = ChainReader(io.BytesIO(data), "journal.jsonl", JOURNAL_NAMESPACE)
    assert [signed.line for signed in reader] == [1, 3]
    assert reader.problems == []


def test_a_journal_whose_signer_fails_within_a_group_goes_on_whole() -> None:
    """Invariant 7: of a group of entries the first was signed and the second not; none of it is in the file."""
    volume = VirtualVolume()
    volume.make_dir("recordings")
    signer = _Moody()
    journal = Journal.open(volume, signer, device="BWV-0001", limit_bytes=1 << 20)
    signer.fails_at = signer.count + 2
    drafts = [
        Draft("boot", {"boot": str(number)}, Reading(number, number, "synchronised", None)) for number in range(3)
    ]
    with pytest.raises(RuntimeError):
        journal.append(drafts)
    journal.append(drafts)
    reader = ChainReader(io.BytesIO(volume.read("journal.jsonl")), "journal.jsonl", JOURNAL_NAMESPACE)
    found = [signed.record for signed in reader if isinstance(signed.record, records.Entry)]
    assert [entry.detail["boot"] for entry in found] == ["0", "1", "2"]
    assert reader.problems == []
