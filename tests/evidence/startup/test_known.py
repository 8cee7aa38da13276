"""What the journal's files know together, and whether they lead to each other."""

from __future__ import annotations

import pytest

from bwvd.evidence.flash.steps import at_once
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format import chain_tail
from bwvd.evidence.format.decode import Unknown, decode
from bwvd.evidence.format.records import Record
from bwvd.evidence.journal.journal import Journal
from bwvd.evidence.startup.known import CHANGED, MISSING, Known, known_steps
from bwvd.testing.flash.storage import VirtualVolume
from tests.evidence.release.test_archive import FIRST, LIMIT, SECOND, enter, fill, opened, receipt_for, releasing, run
from tests.support.evidence_keys import fixed_signer
from tests.support.storage_recording import recording_id


def card() -> VirtualVolume:
    """Three files: a recording opened in each, the first released in the second."""
    volume = VirtualVolume.from_state({"recordings": None})
    journal = opened(volume)
    enter(journal, "opened", 1)
    fill(journal)
    enter(journal, "opened", 2)
    enter(journal, "released", 1)
    fill(journal)
    enter(journal, "opened", 3)
    journal.close()
    return volume


def known(volume: Volume) -> Known:
    return at_once(known_steps(volume))


def gone(found: Known, *there: int) -> list[str]:
    return [finding.where for finding in found.gone({recording_id(serial) for serial in there}, set(there))]


def found(one: Known) -> list[tuple[str, str]]:
    return [(finding.where, finding.fault) for finding in one.findings]


def test_a_journal_as_it_was_left() -> None:
    """Invariant 7: what must be there is what was opened and not released."""
    one = known(card())
    assert (found(one), one.whole, one.known_from) == ([], True, 1)
    assert gone(one, 2, 3) == []
    assert gone(one, 3) == [recording_id(2)]
    assert gone(one, 2) == [recording_id(3)]
    assert gone(one, 2, 3, 6) == ["number 4 to 5"], "of which the journal says nothing"


def test_an_archive_that_is_missing_is_told_once() -> None:
    """Invariant 7: what may have been released there is not told beside it."""
    volume = card()
    volume.remove(SECOND)
    one = known(volume)
    assert found(one) == [(SECOND, MISSING)]
    assert gone(one, 3) == []
    assert gone(one) == [recording_id(3)]


@pytest.mark.parametrize("at", [0, 9_000, -1])
def test_an_archive_that_was_changed_is_told(at: int) -> None:
    """Invariant 7: by its digest, wherever it was."""
    volume = card()
    data = bytearray(volume.read(FIRST))
    data[at] ^= 1
    volume.remove(FIRST)
    file = volume.create(FIRST)
    file.write(data)
    file.close()
    assert found(known(volume)) == [(FIRST, CHANGED)]


def test_bytes_behind_what_the_next_file_names_are_told() -> None:
    """Invariant 7."""
    volume = card()
    file = volume.append(FIRST)
    file.write(b"{}\n")
    file.close()
    assert found(known(volume)) == [(FIRST, CHANGED)]


def test_lines_of_another_key_count_for_nothing_and_are_told() -> None:
    """Invariants 7 and 8: a release that a stranger has entered is none."""
    volume = card()
    stranger = Journal.open(volume, fixed_signer(7), device="BWV-0001", limit_bytes=LIMIT)
    enter(stranger, "released", 2)  # in a file of his own, behind this device's
    stranger.close()
    one = known(volume)
    assert found(one) == []
    assert one.keys == {fixed_signer().public_key, fixed_signer(7).public_key}


def test_the_row_may_end_with_what_a_custodian_has() -> None:
    """Invariant 8: the entry names the archive by its digest."""
    volume = card()
    run(releasing(volume, receipt_for(volume.tree())))
    assert FIRST not in volume.names("")
    one = known(volume)
    assert (found(one), one.whole, one.taken_over) == ([], True, True)
    assert gone(one, 2, 3) == []


def test_only_what_counts_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the megabytes of entries about presses and faults it is enough that they are there."""
    lines = 0

    def counting(data: bytes) -> Record | Unknown | str:
        nonlocal lines
        lines += 1
        return decode(data)

    volume = card()
    monkeypatch.setattr(chain_tail, "decode", counting)
    assert known(volume).whole
    assert lines <= 30, "of more than 160"
