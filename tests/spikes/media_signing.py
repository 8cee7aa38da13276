"""ONVIF Media Signing inside the H.264 stream: what it costs and what it gives. `python -m tests.spikes.media_signing`.

Signs a stream of our own encoder as ONVIF's Media Signing Specification 25.12 says (document and signature in an SEI of
each GOP, P-256, SHA-256), cuts the MP4, changes it, and lets a reader judge each. The reader is our own, and with
`--validator liboms.so` (built from ONVIF's framework, see bwvd/docs/standards.md) theirs.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from bwvd.media.nal import annexb_units
from tests.support.certificates import make_chain

UUID = bytes.fromhex("005bc93f2d715e95ada4796f90877a6f")
GENERAL, HASHES, SIGNATURE, CRYPTO, VENDOR, CERTIFICATES = 1, 2, 3, 4, 5, 6
SHA256_OID = bytes.fromhex("0609608648016503040201")
MAX_SIGNATURE = 72  # bytes of an ECDSA signature on P-256 in DER
SINCE_1601 = 11_644_473_600  # seconds to 1970
IDR, SLICE, SEI = 5, 1, 6
HASH = 32
RATE, GOP = 30, 30


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def kind(nal: bytes) -> int:
    return nal[0] & 31


def escaped(raw: bytes) -> bytes:
    """With emulation prevention (H.264 7.4.1.1): no start code lies inside."""
    out = bytearray()
    zeros = 0
    for byte in raw:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


def unescaped(nal: bytes) -> bytes:
    return nal.replace(b"\0\0\3", b"\0\0")


def nal_units(stream: bytes) -> Iterator[bytes]:
    for begin, end in annexb_units(stream):
        yield stream[begin:end]


def tlv(tag: int, value: bytes) -> bytes:
    return bytes([tag]) + len(value).to_bytes(2, "big") + value


@dataclass
class Signer:
    """Signs each GOP when the next one begins. `take` returns what goes before a NAL unit."""

    key: ec.EllipticCurvePrivateKey
    certificates: bytes  # PEM, without the root; b"" = in no SEI but the first
    low_bitrate: bool = False  # no list of hashes
    hashes: list[bytes] = field(default_factory=list)
    anchor: bytes = b""
    before: bytes = bytes(HASH)
    number: int = 0
    began: int = 0
    sizes: list[int] = field(default_factory=list)

    def take(self, nal: bytes, utc_100ns: int) -> list[bytes]:
        if kind(nal) not in (IDR, SLICE):
            return []
        digest = sha256(nal)
        out = []
        if kind(nal) == IDR:
            out = self.end(utc_100ns)
            self.anchor, self.began = digest, utc_100ns
            self.hashes = [digest]
        else:
            self.hashes.append(sha256(self.anchor, digest))
        return out

    def end(self, utc_100ns: int) -> list[bytes]:
        """The SEI of the GOP so far; none before the first."""
        if not self.hashes:
            return []
        general = bytes([2, 25, 12, 0, 0]) + self.began.to_bytes(8, "big") + utc_100ns.to_bytes(8, "big")
        general += self.number.to_bytes(4, "big") + len(self.hashes).to_bytes(2, "big")
        general += sha256(*self.hashes) + self.before
        body = [tlv(CRYPTO, bytes([1, len(SHA256_OID)]) + SHA256_OID + bytes(3))]
        if self.certificates:
            body.append(tlv(VENDOR, bytes([1, 5]) + b"0.1.0" + bytes([8]) + b"BWV-0001" + bytes([4]) + b"bwvd"))
            body.append(tlv(CERTIFICATES, bytes([1, 0]) + self.certificates))
        body.append(tlv(GENERAL, general))
        if not self.low_bitrate:
            body.append(tlv(HASHES, b"\1" + b"".join(self.hashes)))
        content = UUID + b"\x40" + b"".join(body)
        size = len(content) + 3 + 3 + MAX_SIGNATURE
        head = bytes([SEI, 5]) + b"\xff" * (size // 255) + bytes([size % 255])
        document = head + content
        signature = self.key.sign(sha256(escaped(document)), ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        value = b"\1" + len(signature).to_bytes(2, "big") + signature.ljust(MAX_SIGNATURE, b"\1")
        sei = escaped(document + tlv(SIGNATURE, value)) + b"\x80"
        self.before, self.number = self.anchor, self.number + 1
        self.sizes.append(len(sei) + 4)
        return [sei]


@dataclass
class Judged:
    """What our own reader found."""

    signed: int = 0  # GOPs whose signature and frames hold
    wrong: int = 0
    unsigned: int = 0  # frames behind the last SEI
    broken_order: int = 0  # GOPs that do not follow the one before


def judge(nals: Iterator[bytes], root: x509.Certificate) -> Judged:
    """Check each GOP against the SEI that follows it."""
    found = Judged()
    gops: list[list[bytes]] = []
    last_anchor: bytes | None = None
    for nal in nals:
        if kind(nal) in (IDR, SLICE):
            digest = sha256(nal)
            if kind(nal) == IDR:
                gops.append([digest])
            elif gops:
                gops[-1].append(sha256(gops[-1][0], digest))
        elif kind(nal) == SEI and UUID in unescaped(nal)[:40]:
            if not gops:
                continue  # of a GOP that was cut off
            gop, gops = gops[0], gops[1:]
            general = _signed_general(nal, root)
            holds = general is not None and general[-2 * HASH : -HASH] == sha256(*gop)
            if general is not None and last_anchor is not None and general[-HASH:] != last_anchor:
                found.broken_order += 1
            found.signed += holds
            found.wrong += not holds
            last_anchor = gop[0]
    found.unsigned = sum(map(len, gops))
    return found


def _signed_general(nal: bytes, root: x509.Certificate) -> bytes | None:
    """The general TLV of an SEI whose signature and certificate hold."""
    raw = unescaped(nal)
    at = raw.index(UUID) + len(UUID) + 1
    parts: dict[int, bytes] = {}
    begins = 0
    while at < len(raw) - 1 and SIGNATURE not in parts:
        length = int.from_bytes(raw[at + 1 : at + 3], "big")
        begins = at
        parts[raw[at]] = raw[at + 3 : at + 3 + length]
        at += 3 + length
    signature = parts[SIGNATURE][3 : 3 + int.from_bytes(parts[SIGNATURE][1:3], "big")]
    leaf = x509.load_pem_x509_certificate(parts[CERTIFICATES][2:])
    leaf.verify_directly_issued_by(root)
    public = leaf.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    try:
        public.verify(signature, sha256(escaped(raw[:begins])), ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    except InvalidSignature:
        return None
    return parts[GENERAL]


def encoded(seconds: int) -> list[bytes]:
    """Frames as our software encoder's settings give them: 720p30, 4 Mbit/s, Annex B."""
    words = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=size=1280x720:rate={RATE}", "-t", str(seconds)]
    words += ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", str(GOP), "-sc_threshold", "0"]
    words += ["-b:v", "4M", "-x264-params", "sliced-threads=0", "-pix_fmt", "yuv420p", "-f", "h264", "-"]
    stream = subprocess.run(words, capture_output=True, check=True).stdout
    frames: list[bytes] = []
    current: list[bytes] = []
    for nal in nal_units(stream):
        current.append(nal)
        if kind(current[-1]) in (IDR, SLICE):
            frames.append(b"".join(b"\0\0\0\1" + each for each in current))
            current = []
    return frames


def signed(frames: list[bytes], signer: Signer) -> tuple[list[bytes], list[float], list[float]]:
    """The frames with their SEIs; seconds of each frame's hashing, and of each frame that ends a GOP."""
    out: list[bytes] = []
    plain: list[float] = []
    ending: list[float] = []
    for number, frame in enumerate(frames):
        utc = (SINCE_1601 + 1_790_000_000) * 10_000_000 + number * 10_000_000 // RATE
        nals = list(nal_units(frame))
        begin = time.perf_counter()
        put = [(signer.take(nal, utc), nal) for nal in nals]
        (ending if any(seis for seis, _ in put) else plain).append(time.perf_counter() - begin)
        seis = [sei for before, _ in put for sei in before]
        head = [nal for nal in nals if kind(nal) not in (IDR, SLICE)]
        rest = [nal for nal in nals if kind(nal) in (IDR, SLICE)]
        out.append(b"".join(b"\0\0\0\1" + nal for nal in (*head, *seis, *rest)))
    return out, plain, ending


def write_mp4(frames: list[bytes], path: Path) -> None:
    raw = path.with_suffix(".h264")
    raw.write_bytes(b"".join(frames))
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-r", str(RATE), "-i", raw, "-c", "copy", path], check=True)


def read_mp4(path: Path) -> Iterator[bytes]:
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            data, at = bytes(packet), 0
            while at < len(data):
                size = int.from_bytes(data[at : at + 4], "big")
                yield data[at + 4 : at + 4 + size]
                at += 4 + size


CUT = "cut by ffmpeg -c copy, 5 s to 13 s"
PROVENANCE = ("not feasible", "NOT OK", "no root", "OK")


def theirs(library: Path, nals: Iterator[bytes], root: Path) -> str:
    """ONVIF's own validator: what it says of each GOP, a letter a NAL unit."""
    oms = ctypes.CDLL(str(library))
    oms.onvif_media_signing_create.restype = ctypes.c_void_p
    session = ctypes.c_void_p(oms.onvif_media_signing_create(0))
    pem = root.read_bytes()
    oms.onvif_media_signing_set_trusted_certificate(session, pem, ctypes.c_size_t(len(pem)))
    said = []
    for nal in nals:
        data = b"\0\0\0\1" + nal
        report = ctypes.c_void_p()
        oms.onvif_media_signing_add_nalu_and_authenticate(
            session, data, ctypes.c_size_t(len(data)), ctypes.byref(report)
        )
        if report:
            latest = ctypes.cast((report.value or 0) + _LATEST, ctypes.POINTER(_Latest)).contents
            said.append(f"{latest.validation.decode()}|{PROVENANCE[latest.provenance]}")
            oms.onvif_media_signing_authenticity_report_free(report)
    oms.onvif_media_signing_free(session)
    return " ".join(said)


class _Latest(ctypes.Structure):
    _fields_ = (
        ("combined", ctypes.c_int),
        ("provenance", ctypes.c_int),
        ("key_changed", ctypes.c_bool),
        ("authenticity", ctypes.c_int),
        ("expected", ctypes.c_int),
        ("received", ctypes.c_int),
        ("pending", ctypes.c_int),
        ("validation", ctypes.c_char_p),
    )


_LATEST = 2 * 8 + 3 * 256  # bytes before it in the report: two pointers, and three names of the vendor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--validator", type=Path, help="ONVIF's library, as a shared object")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bwvd-spike-") as name:
        run(Path(name), given.seconds, given.validator)


def run(folder: Path, seconds: int, validator: Path | None) -> None:
    chain = make_chain(folder / "pki")
    key = serialization.load_pem_private_key(chain.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    certificates = x509.load_pem_x509_certificates(chain.certs.read_bytes())
    leaf = certificates[0].public_bytes(serialization.Encoding.PEM)
    frames = encoded(seconds)
    total = sum(map(len, frames))
    print(f"{len(frames)} frames of 1280x720, {total * 8 / seconds / 1e6:.2f} Mbit/s, a GOP of {GOP}")
    for what, low in (("with the list of hashes", False), ("low bitrate mode", True)):
        signer = Signer(key, leaf, low)
        _, plain, ending = signed(frames, signer)
        size = statistics.mean(signer.sizes)
        print(
            f"{what}: {statistics.median(plain) * 1e6:.0f} us a frame, {statistics.median(ending) * 1e6:.0f} us at "
            f"a GOP's end, {size:.0f} bytes a GOP, {sum(signer.sizes) / total:.2%} of the stream"
        )
    bare = Signer(key, b"")
    signed(frames, bare)
    print(
        f"of which the certificate: {size - 0:.0f} against {statistics.mean(bare.sizes):.0f} bytes with the list alone"
    )
    out, _, _ = signed(frames, Signer(key, leaf))
    whole = folder / "whole.mp4"
    write_mp4(out, whole)
    cut = folder / "cut.mp4"
    words = ["ffmpeg", "-v", "error", "-ss", "5", "-i", str(whole), "-t", "8", "-c", "copy", str(cut)]
    subprocess.run(words, check=True)
    cases = {"whole MP4": list(read_mp4(whole)), CUT: list(read_mp4(cut))}
    first = next(i for i, nal in enumerate(cases[CUT]) if kind(nal) == IDR)
    cases["the same without the SEI of the GOP that was cut off"] = [
        nal for i, nal in enumerate(cases[CUT]) if i > first or kind(nal) != SEI
    ]
    changed = list(cases["whole MP4"])
    at = next(i for i, nal in enumerate(changed) if i > len(changed) // 2 and kind(nal) == SLICE)
    changed[at] = changed[at][:-9] + bytes([changed[at][-9] ^ 1]) + changed[at][-8:]
    cases["one bit of one frame changed"] = changed
    missing = list(cases["whole MP4"])
    del missing[at]
    cases["one frame taken out"] = missing
    idrs = [i for i, nal in enumerate(missing) if kind(nal) == SEI and UUID in unescaped(nal)[:40]]
    cases["one GOP taken out"] = [nal for i, nal in enumerate(cases["whole MP4"]) if not idrs[4] <= i < idrs[5]]
    cases["end cut off inside a GOP"] = cases["whole MP4"][: len(changed) - 10]
    for what, nals in cases.items():
        print(f"{what}: {judge(iter(nals), certificates[1])}")
        if validator is not None:
            print(f"   ONVIF's: {theirs(validator, iter(nals), chain.anchors)}")


if __name__ == "__main__":
    main()
