"""FORMAT.md is true: its example is made anew, every name in it exists, and a stranger's verifier agrees with ours.

python -m tests.evidence.format.test_format       writes the example into FORMAT.md
"""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pyrage
import pytest

from bwvd.clock import Reading
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import JOURNAL_NAMESPACE, MANIFEST_NAMESPACE, SUMS_NAMESPACE, Chain
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.keys.age import AgeSealer
from bwvd.evidence.keys.sshsig import armour, signed_bytes
from bwvd.evidence.startup.recovery import recover
from bwvd.testing.clock import VirtualClock
from tests.support import format_stranger
from tests.support.desk import verify_recording
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer
from tests.support.format_stranger import Wrong, check_recording, read_pairs
from tests.support.stock import need

FORMAT = Path(records.__file__).with_name("FORMAT.md")
BEGIN, END = "<!-- example -->\n", "<!-- /example -->\n"
RECORDING = "20261122T071505Z-BWV-0001-000001"
SEGMENT = b"no video, but bytes\n"
INIT = b"no init segment either\n"


def example_files() -> dict[str, bytes]:
    """The example's folder, built from records and chain alone."""
    stamp = records.Stamp(mono_ns=1_002_000_000_000, utc="2026-11-22T07:15:05.000Z", quality="synchronised")
    first = records.Stamp(mono_ns=1_000_000_000_000, utc="2026-11-22T07:15:03.000Z", quality="synchronised")
    signer = fixed_signer(1)
    chain = Chain(signer, MANIFEST_NAMESPACE)
    sha256 = hashlib.sha256(SEGMENT).hexdigest()
    manifest = b""
    for record in (
        records.Open(
            n=0,
            format=records.FORMAT,
            recording=RECORDING,
            device="BWV-0001",
            serial=1,
            software="an example",
            boot="00000000-0000-0000-0000-000000000000",
            signer=signer.public_key,
            press=records.Press(source="gpio:record", stamp=stamp, handled_mono_ns=1_002_003_000_000),
            pre_event=records.PreEvent(asked_s=30.0, got_s=2.0, reason="started"),
            origin_mono_ns=1_000_000_000_000,
            origin_utc="2026-11-22T07:15:03.000Z",
            segment_s=1.0,
            tracks=[],
            init=base64.b64encode(INIT).decode(),
            recipients=[],
        ),
        records.Segment(
            n=1,
            segment=1,
            file="000001.m4s",
            bytes=len(SEGMENT),
            sha256=sha256,
            plain_bytes=len(SEGMENT),
            plain_sha256=sha256,
            epoch=1,
            pts_ns=0,
            duration_ns=1_000_000_000,
            frames=30,
            audio_frames=0,
            gops=1,
            stamp=first,
        ),
        records.Close(
            n=2,
            reason="stop",
            segments=1,
            frames=30,
            audio_frames=0,
            bytes=len(SEGMENT),
            duration_ns=1_000_000_000,
            gaps=0,
            stamp=stamp,
        ),
    ):
        manifest += chain.line(record)
    playlist = b"#EXTM3U\n#EXTINF:1.0,\n000001.m4s\n#EXT-X-ENDLIST\n"
    files = {"000001.m4s": SEGMENT, "index.m3u8": playlist, "init.mp4": INIT, "manifest.jsonl": manifest}
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()).encode()
    files["SHA256SUMS"] = sums
    files["SHA256SUMS.sig"] = armour(signer.sign(hashlib.sha512(sums).digest(), SUMS_NAMESPACE)).encode()
    return files


def example_text() -> str:
    """The example as FORMAT.md shows it."""
    files = example_files()
    lines = files["manifest.jsonl"].splitlines(keepends=True)
    message = b"".join(lines[:3])
    digest = hashlib.sha512(message).digest()
    blob = fixed_signer(1).sign(digest, MANIFEST_NAMESPACE)
    shown = "".join(
        f"\n`{name}` ({len(data)} bytes):\n\n{block(data.decode())}" for name, data in sorted(files.items())
    )
    return (
        f"The folder `{RECORDING}`:\n{shown}\n"
        f"The signature in line 4 of the manifest is over lines 1 to 3, {len(message)} bytes, whose SHA-512 is\n\n"
        f"{block(folded(digest.hex()))}\n"
        f"What is signed with Ed25519 ({len(signed_bytes(digest, MANIFEST_NAMESPACE))} bytes):\n\n"
        f"{block(folded(signed_bytes(digest, MANIFEST_NAMESPACE).hex()))}\n"
        f"The blob ({len(blob)} bytes), of which line 4 holds the Base64:\n\n{block(folded(blob.hex()))}"
    )


def block(text: str) -> str:
    return textwrap.indent(text if text.endswith("\n") else text + "\n", "    ")


def folded(text: str) -> str:
    return "\n".join(text[at : at + 64] for at in range(0, len(text), 64))


def test_the_example_is_what_the_code_writes() -> None:
    text = FORMAT.read_text()
    assert text[text.index(BEGIN) + len(BEGIN) : text.index(END)] == example_text()


def put(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def test_the_example_verifies_with_ours_and_with_the_strangers(tmp_path: Path) -> None:
    folder = put(tmp_path / RECORDING, example_files())
    assert verify_recording(folder).verdict == "authentic"
    assert check_recording(folder) == 1
    command = [sys.executable, format_stranger.__file__, str(folder)]
    assert subprocess.run(command, check=True, capture_output=True).stdout == b"good: 1 segments\n"


def test_the_stock_commands_of_the_text_check_the_example(tmp_path: Path) -> None:
    """Invariant 7, by stock tools alone: good is good, and one flipped bit is bad."""
    for tool in ("ssh-keygen", "sha256sum", "sed", "fold"):
        need(tool)
    section = FORMAT.read_text().split("## 12. ")[1].split("## 13. ")[0]
    lines = [line[4:] for line in section.splitlines() if line.startswith("    ")]
    script = "set -e\n" + "\n".join(lines).replace("DEVICE", "BWV-0001")
    files = {**example_files(), "signers": fixed_signer(1).allowed_signers("BWV-0001").encode()}

    def run(name: str) -> int:
        return subprocess.run(["sh", "-c", script], cwd=tmp_path / name, capture_output=True, check=False).returncode

    put(tmp_path / "good", files)
    assert run("good") == 0
    for name in ("manifest.jsonl", "000001.m4s", "SHA256SUMS", "index.m3u8"):
        altered = bytearray(files[name])
        altered[len(altered) // 3] ^= 1
        put(tmp_path / name, {**files, name: bytes(altered)})
        assert run(name) != 0


@pytest.mark.parametrize(
    "options", [{}, {"other_camera_from": 2}, {"gap_after": 1}, {"grouped": 3}, {"sealed": True}, {"cut": 300}], ids=str
)
def test_a_strangers_verifier_agrees_with_ours(tmp_path: Path, options: dict[str, int | bool]) -> None:
    """Invariant 7, by a verifier that was written from the text alone."""
    storage = make_storage(tmp_path / "storage")
    sealer = AgeSealer([str(pyrage.x25519.Identity.generate().to_public())]) if options.pop("sealed", False) else None
    cut = options.pop("cut", 0)
    folder = make_recording(storage, sealer=sealer, close="" if cut else "stop", **options)  # type: ignore[arg-type]  # mixed values
    if cut:
        os.truncate(folder / "manifest.jsonl", (folder / "manifest.jsonl").stat().st_size - cut)
        with PosixVolume(storage) as volume:
            recover(volume, fixed_signer(), VirtualClock(seconds=lambda: 9.0), "boot-2", reserve=Reserve(0))
    assert check_recording(folder) == verify_recording(folder).segments
    for name in sorted(path.name for path in folder.iterdir()):
        data = (folder / name).read_bytes()
        altered = bytearray(data)
        altered[len(data) // 2] ^= 4
        (folder / name).write_bytes(altered)
        assert not verify_recording(folder).good
        with pytest.raises((Wrong, ValueError)):
            check_recording(folder)
        (folder / name).write_bytes(data)
    (folder / "stranger").touch()
    with pytest.raises(Wrong, match="do not belong"):
        check_recording(folder)


def test_a_strangers_reader_follows_the_journal(tmp_path: Path) -> None:
    storage = make_storage(tmp_path / "storage")
    for _ in range(3):
        with PosixVolume(storage) as volume:
            journal = Journal.open(volume, fixed_signer(), device="BWV-0001", limit_bytes=9000)
            journal.append([Draft("boot", {"boot": str(n)}, Reading(n, n, "free", None)) for n in range(3)])
            journal.close()
        os.truncate(storage / "journal.jsonl", (storage / "journal.jsonl").stat().st_size - 40)
    with PosixVolume(storage) as volume:
        Journal.open(volume, fixed_signer(), device="BWV-0001", limit_bytes=9000).close()
    current = read_pairs((storage / "journal.jsonl").read_bytes(), JOURNAL_NAMESPACE)
    assert "torn" in {record["type"] for record in current}
    previous = current[0]["previous"]
    before = (storage / previous["file"]).read_bytes()[: previous["bytes"]]
    assert hashlib.sha512(before).hexdigest() == previous["sha512"]
    assert read_pairs(before, JOURNAL_NAMESPACE)[0]["file_number"] == current[0]["file_number"] - 1


def test_every_record_and_member_is_described() -> None:
    text = FORMAT.read_text()
    structs: list[type[msgspec.Struct]] = [
        *records.Record.__subclasses__(),
        records.Sealed,
        records.Stamp,
        records.TrackInfo,
        records.Press,
        records.PressPosition,
    ]
    structs += [records.PreEvent, records.JournalHead, records.Found]
    missing = {
        f"{struct.__name__}.{name}"
        for struct in structs
        for name in struct.__struct_fields__
        if name != "n" and f"`{name}`" not in text
    }
    assert missing == set()
    assert {t for t in map(tag, records.Record.__subclasses__()) if f"**{t}**" not in text} == set()


def tag(struct: type[msgspec.Struct]) -> str:
    return str(struct.__struct_config__.tag)


def test_the_words_of_the_text_are_those_of_the_code() -> None:
    text = FORMAT.read_text()
    for namespace in (MANIFEST_NAMESPACE, JOURNAL_NAMESPACE, SUMS_NAMESPACE):
        assert f"`{namespace}`" in text
    assert f"The evidence format, version {records.FORMAT}" in text


if __name__ == "__main__":
    whole = FORMAT.read_text()
    FORMAT.write_text(whole[: whole.index(BEGIN) + len(BEGIN)] + example_text() + whole[whole.index(END) :])
