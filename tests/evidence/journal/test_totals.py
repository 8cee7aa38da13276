"""What a start has to know of the journal, and what it reads for that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.clock import Reading
from bwvd.evidence.format import chain_tail
from bwvd.evidence.format.decode import Unknown, decode
from bwvd.evidence.format.layout import JOURNAL
from bwvd.evidence.format.records import Entry, Record, Stamp
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.journal.totals import ASKED_FOR, JournalTotals
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.evidence_keys import fixed_signer

SIGNER = fixed_signer()
READING = Reading(5_000_000_000, 1_795_331_703_250_000_000, "synchronised", 500)
STAMP = Stamp(mono_ns=1, utc="2026-11-22T07:15:03.000Z", quality="synchronised")

EVENTS = st.sampled_from([*sorted(ASKED_FOR), "boot", "press", "state", "storage_rolled_back", "newest_of_all"])
DETAILS = st.fixed_dictionaries(
    {},
    optional={
        "serial": st.integers(-1, 5) | st.booleans() | st.none(),
        "recording": st.sampled_from(["a", "b", "c"]) | st.none(),
        "segments": st.integers(0, 3),
        "found": st.just("at_start"),
        "manifest_sha512": st.just("0"),
        "manifest_bytes": st.integers(0, 3),
    },
)


@given(st.lists(st.tuples(EVENTS, DETAILS), max_size=12))
def test_only_the_entries_that_are_asked_for_add_something(
    entries: list[tuple[str, dict[str, str | int | float | bool | None]]],
) -> None:
    """Invariants 6 and 13: used numbers, releases and ends are known also where the rest is passed over."""
    of_all, of_asked = JournalTotals(), JournalTotals()
    for n, (event, detail) in enumerate(entries):
        entry = Entry(n=n, event=event, stamp=STAMP, detail=detail)
        of_all.take(entry)
        if event in ASKED_FOR:
            of_asked.take(entry)
        else:
            of_asked.entries += 1
    assert of_asked == of_all


def test_a_start_reads_the_journal_once_and_decodes_little_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted: bytes that are read and lines that are decoded; and it knows what a start that decodes all would."""
    volume = VirtualVolume()
    journal = Journal.open(volume, SIGNER, device="BWV-0001", limit_bytes=1 << 30)
    for i in range(1, 41):
        presses = [Draft("press", {"order": "press", "source": "gpio:record", "label": "x" * 200}, READING)] * 49
        journal.append([*presses, Draft("opened", {"recording": f"r{i}", "serial": i}, READING)])
    journal.close()
    size = volume.size(JOURNAL)
    decoded: list[bytes] = []

    def counting(data: bytes) -> Record | Unknown | str:
        decoded.append(data)
        return decode(data)

    class Counting(VirtualVolume):
        read_bytes = 0

        def read(self, path: str, offset: int = 0, size: int = -1) -> bytes:
            data = super().read(path, offset, size)
            self.read_bytes += len(data)
            return data

    monkeypatch.setattr(chain_tail, "decode", counting)
    card = Counting.from_state({path: content and bytes(content) for path, content in volume.tree().items()})
    assert isinstance(card, Counting)
    again = Journal.open(card, SIGNER, device="BWV-0001", limit_bytes=1 << 30)
    assert card.read_bytes == size
    assert len(decoded) <= 40 + 2 * (1 + size // 262_144) + 2
    assert not again.is_new
    assert again.last_serial == 40
    assert again.said("r40", 40) is not None
    assert again.head() == journal.head()
