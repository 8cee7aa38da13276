"""Names of objects: what a carrier and a custodian make of a device's files is a name, and is read back as it was."""

from __future__ import annotations

from bwvd.store import names

DEVICE = "BWV-0001"
RECORDING = f"20261122T071505Z-{DEVICE}-000042"
STORAGE = "adda05a01b88ccb9ac17fb2383d0904c"
SHA512 = "f" * 128


def test_every_kind_of_name_is_one_and_is_read_back() -> None:
    """A head's last part is the longest: two numbers and a SHA-512 in hex."""
    made = {
        names.recording_file(DEVICE, RECORDING, "SHA256SUMS.sig"): names.RecordingFile(
            DEVICE, RECORDING, "SHA256SUMS.sig"
        ),
        names.journal_archive(DEVICE, STORAGE, "journal-000001.jsonl"): names.JournalArchive(
            DEVICE, STORAGE, "journal-000001.jsonl"
        ),
        names.journal_head(DEVICE, STORAGE, 1, 8192, SHA512): names.JournalHead(DEVICE, STORAGE, 1, 8192, SHA512),
        names.receipt(DEVICE, RECORDING): names.ReceiptFile(DEVICE, RECORDING),
        names.archive_receipt(DEVICE, STORAGE, "journal-000001.jsonl"): names.ReceiptFile(
            DEVICE, "journal-000001.jsonl", STORAGE
        ),
    }
    assert {name: names.parsed(name) for name in made} == made
