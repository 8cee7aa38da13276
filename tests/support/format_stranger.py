"""A verifier written from FORMAT.md alone: the standard library, and Ed25519. It shares no line with bwvd.

python tests/support/format_stranger.py FOLDER      prints what is wrong, or "good"
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Wrong(Exception):
    """What is wrong, and where."""


def fields(data: bytes) -> list[bytes]:
    """SSH strings, one after the other, to the end."""
    found = []
    while data:
        size = int.from_bytes(data[:4], "big")
        if len(data) < 4 + size:
            raise Wrong("a signature is cut short")
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    return found


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def check_blob(blob: bytes, digest: bytes, namespace: str) -> str:
    """Section 3. Returns the key as `open.signer` writes it."""
    if blob[:10] != b"SSHSIG" + (1).to_bytes(4, "big"):
        raise Wrong("not an SSHSIG blob of version 1")
    key, name, reserved, algorithm, signature = fields(blob[10:])
    if (name, reserved, algorithm) != (namespace.encode(), b"", b"sha512"):
        raise Wrong("signed for something else")
    (key_type, raw), (signature_type, value) = fields(key), fields(signature)
    if key_type != b"ssh-ed25519" or signature_type != b"ssh-ed25519":
        raise Wrong("not Ed25519")
    message = b"SSHSIG" + string(name) + string(b"") + string(b"sha512") + string(digest)
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(value, message)
    except InvalidSignature:
        raise Wrong("the signature does not hold") from None
    return "ssh-ed25519 " + base64.b64encode(key).decode()


def pair(line: bytes, following: bytes, n: int) -> tuple[dict[str, Any], bytes, int]:
    """Section 2: a record, the blob of the signature behind it, and the bytes of that one's line."""
    record = json.loads(line)
    blob = base64.b64decode(following[8:-2], validate=True)
    if record["n"] != n or following != b'{"sig":"' + base64.b64encode(blob) + b'"}':
        raise Wrong("no pair")
    return record, blob, len(following) + 1


def read_pairs(data: bytes, namespace: str) -> list[dict[str, Any]]:
    """Sections 2 and 4: the records that hold, every byte accounted for. An unfinished end is not forgiven here."""
    lines = data.split(b"\n")
    if lines.pop() != b"":
        raise Wrong("no newline at the end")
    held: list[dict[str, Any]] = []
    keys = set()
    at = index = 0
    region: int | None = None
    while index < len(lines):
        line = lines[index] + b"\n"
        try:
            record, blob, size = pair(line, lines[index + 1], len(held))
            key = check_blob(blob, hashlib.sha512(data[: at + len(line)]).digest(), namespace)
        except (Wrong, ValueError, LookupError, TypeError):
            region = at if region is None else region
            at, index = at + len(line), index + 1
            continue
        if region is not None:
            found = record.get("found", [])
            named = {"offset": region, "bytes": at - region, "sha256": hashlib.sha256(data[region:at]).hexdigest()}
            if not any(named.items() <= thing.items() for thing in (found if isinstance(found, list) else [found])):
                raise Wrong(f"byte {region}: nothing names these bytes")
            region = None
        held.append(record)
        keys.add(key)
        at, index = at + len(line) + size, index + 2
    if region is not None:
        raise Wrong(f"byte {region}: nothing vouches for what follows")
    if len(keys) != 1 or held[0].get("signer", *keys) not in keys:
        raise Wrong("another key")
    return held


def check_recording(folder: Path) -> int:
    """Sections 6, 9 and 10, of a recording that has ended. Returns the number of its segments."""
    records = read_pairs((folder / "manifest.jsonl").read_bytes(), "bwvd-manifest")
    if records[0].get("format", 1) != 1 or records[-1]["type"] not in ("close", "recovered"):
        raise Wrong("another format, or no end")
    segments = [record for record in records if record["type"] == "segment"]
    if [segment["segment"] for segment in segments] != list(range(1, records[-1]["segments"] + 1)):
        raise Wrong("a segment is missing")
    for total in ("frames", "audio_frames", "silent_frames", "bytes"):
        if sum(segment.get(total, 0) for segment in segments) != records[-1].get(total, 0):
            raise Wrong(f"the {total} of the segments are not those of the end")
    if any(not 0 <= segment.get("silent_frames", 0) <= segment["audio_frames"] for segment in segments):
        raise Wrong("more silence than audio")
    expected = {"manifest.jsonl", "SHA256SUMS", "SHA256SUMS.sig"}
    named = [*segments, *(record["sealed"] for record in records if record.get("sealed"))]
    found = [thing for thing in records[-1].get("found", []) if thing["what"] == "file_without_line"]
    for thing in named + found:
        name = thing.get("file") or re.sub(r"\\u([0-9a-f]{4})", lambda code: chr(int(code[1], 16)), thing["where"])
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != thing["sha256"]:
            raise Wrong(f"{name} is not what was recorded")
        expected.add(name)
    epochs = [record["init"] for record in records if record["type"] in ("open", "init")]
    if not records[0].get("recipients"):
        for number, init in enumerate(epochs, 1):
            name = "init.mp4" if number == 1 else f"init-{number}.mp4"
            if (folder / name).read_bytes() != base64.b64decode(init):
                raise Wrong(f"{name} is not what the manifest holds")
            expected |= {name, "index.m3u8"}
    sums = (folder / "SHA256SUMS").read_bytes()
    armour = (folder / "SHA256SUMS.sig").read_text().splitlines()
    check_blob(base64.b64decode("".join(armour[1:-1])), hashlib.sha512(sums).digest(), "bwvd-sums")
    for line in sums.decode().splitlines():
        digest, _, name = line.partition("  ")
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            raise Wrong(f"{name} is not what SHA256SUMS says")
    if expected != {path.name for path in folder.iterdir()}:
        raise Wrong(f"files that do not belong together: {expected ^ {path.name for path in folder.iterdir()}}")
    return len(segments)


def check_row(folder: Path, following: bytes | None) -> tuple[dict[str, Any] | None, str]:
    """Section 6, "before": the recording in `folder`, and what a proof's next.jsonl says of it.

    Returns what it says of the one before, None if it was made by a version that does not say it, and the id of the one
    after, "" if nothing is told.
    """
    manifest = (folder / "manifest.jsonl").read_bytes()
    held = read_pairs(manifest, "bwvd-manifest")
    before = held[0].get("before")
    number = int(held[0]["recording"].rpartition("-")[2])
    if before is not None and before["serial"] != number - 1:
        raise Wrong("another number before it")
    if following is None:
        return before, ""
    first, *more = read_pairs(following, "bwvd-manifest")
    key = check_blob(
        base64.b64decode(following.split(b'"')[-2]),
        hashlib.sha512(following.split(b"\n")[0] + b"\n").digest(),
        "bwvd-manifest",
    )
    if more or key != held[0].get("signer", key):
        raise Wrong("more than one record, or another key")
    named = first["before"]
    if (named["serial"], named["recording"]) != (number, held[0]["recording"]):
        raise Wrong("the one after names another one before it")
    if named["event"] in ("closed", "recovered") and named["manifest_sha512"] != hashlib.sha512(manifest).hexdigest():
        raise Wrong("the one after names another manifest")
    return before, first["recording"]


def check_excerpt(folder: Path, declaration: bytes) -> tuple[int, int, int]:
    """Section 12, an excerpt of a recording that has ended. Returns its first segment, its last, and of how many."""
    try:
        declared = json.loads(declaration)
    except RecursionError:
        raise Wrong("no declaration") from None
    manifest = (folder / "manifest.jsonl").read_bytes()
    records = read_pairs(manifest, "bwvd-manifest")
    if (declared["type"], declared["format"], declared["recording"]) != ("excerpt", 1, records[0]["recording"]):
        raise Wrong("a declaration of something else")
    if declared["manifest_sha512"] != hashlib.sha512(manifest).hexdigest():
        raise Wrong("a declaration for another manifest")
    first, last, of = declared["first"], declared["last"], declared["of"]
    if (
        records[-1]["type"] not in ("close", "recovered")
        or of != records[-1]["segments"]
        or not 1 <= first <= last <= of
    ):
        raise Wrong("no end, or no segments of this recording")
    number, files, all_named = 1, {}, set()
    for record in records:
        named = record if record["type"] == "segment" else record.get("sealed")
        if named:
            all_named.add(named["file"])
            if first <= number <= last:
                files[named["file"]] = named["sha256"]
        number += record["type"] == "segment"
    sums = (folder / "SHA256SUMS").read_bytes()
    armour = (folder / "SHA256SUMS.sig").read_text().splitlines()
    check_blob(base64.b64decode("".join(armour[1:-1])), hashlib.sha512(sums).digest(), "bwvd-sums")
    listed = {line[66:]: line[:64] for line in sums.decode().splitlines()}
    found = {thing["where"] for thing in records[-1].get("found", [])}
    rest = {name: digest for name, digest in listed.items() if name not in all_named | found - {"manifest.jsonl"}}
    expected = files | rest
    if {path.name for path in folder.iterdir()} != expected.keys() | {"SHA256SUMS", "SHA256SUMS.sig"}:
        raise Wrong("other files than the excerpt declares")
    for name, digest in expected.items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            raise Wrong(f"{name} is not what was recorded")
    return first, last, of


if __name__ == "__main__":
    try:
        sys.stdout.write(f"good: {check_recording(Path(sys.argv[1]))} segments\n")
    except (Wrong, OSError) as error:
        sys.exit(f"not good: {error}")
