"""What a journal says of recordings, asked for one after the other: an archive is read once, not once for each."""

from __future__ import annotations

from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.evidence_keys import fixed_signer
from tests.support.storage_recording import new_volume, recording_id

CLOCK = VirtualClock(seconds=lambda: 9.0)
COUNT = 300


def opened(volume: VirtualVolume) -> Journal:
    return Journal.open(volume, fixed_signer(), device="BWV-0001", limit_bytes=65_536)


def test_an_archive_is_read_once_for_all_recordings() -> None:
    """Invariants 5 and 13: a look that asks for each of ten thousand must not keep the flash from a press."""
    volume = new_volume()
    for serial in range(1, COUNT + 1):
        volume.make_dir(f"recordings/{recording_id(serial)}")
    journal = opened(volume)
    for serial in range(1, COUNT + 1):
        detail: dict[str, str | int | float | bool | None] = {"recording": recording_id(serial), "serial": serial}
        drafts = [Draft(event, {**detail, "segments": serial}, CLOCK.read()) for event in ("opened", "closed")]
        journal.append(drafts)
    journal.close()
    archives = [name for name in volume.names("") if name.startswith("journal-")]
    assert len(archives) > 3

    journal = opened(volume)
    before = volume.gate.count
    for serial in range(1, COUNT + 1):
        said = journal.said(recording_id(serial), serial)
        assert said is not None
        assert (said.event, said.segments) == ("closed", serial)
    reads = [one for one in volume.gate.log[before:] if one.kind == "read" and one.path in archives]
    assert {one.path for one in reads} == set(archives)
    assert len(reads) <= 5 * len(archives), "each in a piece or a few, and once more for its digest"
