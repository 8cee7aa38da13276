"""A chain of signed lines whose signer fails: what comes after goes on from what is there."""

from __future__ import annotations

import io

import pytest

from bwvd.clock import utc_text
from bwvd.evidence import records
from bwvd.evidence.chain import JOURNAL_NAMESPACE, Chain
from bwvd.evidence.manifest import ChainReader
from tests.rig import KEY


class _Moody:
    """A secure element that does not answer when it is told not to."""

    def __init__(self) -> None:
        self.public_key = KEY.public_key
        self.fails = False

    def sign(self, sha512: bytes, namespace: str) -> bytes:
        if self.fails:
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
    signer.fails = True
    with pytest.raises(RuntimeError):
        chain.line(_entry(1))
    signer.fails = False
    assert (chain.n, chain.size) == (1, len(data))
    data += chain.line(_entry(1))
    reader = ChainReader(io.BytesIO(data), "journal.jsonl", JOURNAL_NAMESPACE)
    assert [signed.line for signed in reader] == [1, 3]
    assert reader.problems == []
