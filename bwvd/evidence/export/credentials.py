"""Content Credentials (C2PA) of an exported MP4: who exported it, and of which recording, in a form that others read.

What is signed is what the desk says: the file's own bytes, and the recording that they were taken from by its id and
its manifest's digest. The camera's signatures stay in the recording; no C2PA reader asks for them. Specification: C2PA
2.2, sections 9 (actions), 10 (ingredients) and 14 (certificates). c2pa-python does the work.
"""

from __future__ import annotations

import datetime
import errno
import io
import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from bwvd import __version__
from bwvd.evidence.errors import EvidenceError, ExportRefused, KeyUnusable
from bwvd.evidence.export.exif import METADATA
from bwvd.evidence.flash.regular_file import read_regular
from bwvd.evidence.flash.whole_file import beside_again
from bwvd.evidence.keys.sshsig import read_key_file
from bwvd.text import one_line

if TYPE_CHECKING:
    from cryptography import x509

MIME = "video/mp4"
RECORDING = "bwvd.recording"  # the assertion of our own: what the recording says, which was verified
COPY = "bwvd.copy"  # that of a clip of an MP4: what its metadata says, which anybody can write
_PEM_BYTES = 1024 * 1024  # of a file of certificates or a key: no such file is longer
_SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}},
    # Asks nobody: an MP4 that a clip is made of may name an address for its history, and whoever wrote it would learn
    # of the desk, or reach through it what only the desk can.
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "core": {"allowed_network_hosts": []},
}


class CredentialsUnusable(EvidenceError):
    """A certificate or a key that nothing can be signed with as C2PA wants it, or the extra is not installed."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the credentials of one MP4 say of it."""

    title: str  # the file's name
    recording: str  # id
    claims: dict[str, Any]  # of the assertion RECORDING; of COPY where it is a clip of an MP4
    from_s: float  # of the recording: where the file begins and ends
    to_s: float
    whole: bool  # nothing was cut off at either end
    position: dict[str, Any] | None = None  # of the assertion METADATA, see `exif_position`; None = none is said


class Credentials:
    """A certificate chain and its key.

    Args:
        certs: PEM; the signer's certificate first, then those that vouch for it.
        key: PEM, without a passphrase, readable by nobody else: Ed25519, P-256, P-384, P-521, or RSA of 2048 bits at
            least.

    Raises: CredentialsUnusable, KeyUnusable; OSError.
    """

    def __init__(self, certs: Path, key: Path) -> None:
        try:
            import c2pa  # here: most exports sign nothing, and it brings a library of 40 MB
        except ImportError:
            raise CredentialsUnusable("c2pa is not installed: pip install 'bwvd[c2pa]'") from None
        self._c2pa = c2pa
        self._certs = certs
        pem = _read(certs)
        chain = _chain(certs, pem)
        private = _private(key)
        _require_order(certs, chain, key, private)
        now = datetime.datetime.now(datetime.UTC)
        if not chain[0].not_valid_before_utc <= now <= chain[0].not_valid_after_utc:
            valid = f"{chain[0].not_valid_before_utc:%Y-%m-%d} to {chain[0].not_valid_after_utc:%Y-%m-%d}"
            raise CredentialsUnusable(f"{certs}: the first certificate is valid from {valid}, which is not today")
        algorithm, sign = _signing(key, private)
        self._sign_bytes = sign
        self._algorithm = getattr(c2pa.C2paSigningAlg, algorithm)
        self._pem = pem.decode("ascii", "replace")
        self._context = c2pa.Context.from_dict(_SETTINGS)

    def sign(self, path: Path, told: Told, parent: Path | None = None) -> None:
        """Put credentials into the MP4 at `path`, in place.

        Args:
            parent: an MP4 that `path` is a clip of; its own credentials, where it has any, go along as the history.

        Blocking. Raises: ExportRefused; OSError. Then the file is as it was.
        """
        signed = beside_again(path)
        ended = Event()
        try:
            # In a thread of its own: the library calls back for each piece that it reads, and would swallow what a
            # signal raises there. Here it is raised, and the thread ends at its next piece.
            with ThreadPoolExecutor(1, "credentials") as pool:
                signing = pool.submit(self._sign, path, signed, told, parent, ended)
                try:
                    signing.result()
                except BaseException:
                    ended.set()
                    raise
            signed.replace(path)
        except self._c2pa.C2paError as error:
            raise ExportRefused(f"{told.title}: {self._why(error)}") from None
        finally:
            with suppress(OSError):
                signed.unlink()

    def _sign(self, path: Path, signed: Path, told: Told, parent: Path | None, ended: Event) -> None:
        signer = self._c2pa.Signer.from_callback(self._sign_bytes, self._algorithm, self._pem)
        builder = self._c2pa.Builder(_manifest(told, parent), self._context)
        if parent is not None:
            with io.BufferedReader(_Endable(parent, "rb", ended)) as file:
                builder.add_ingredient(
                    {"title": parent.name, "relationship": "parentOf", "label": "original"}, MIME, file
                )
        with io.BufferedReader(_Endable(path, "rb", ended)) as source, _Endable(signed, "x+b", ended) as target:
            os.fchmod(target.fileno(), 0o640)
            builder.sign(signer, MIME, source, target)

    def _why(self, error: Exception) -> str:
        text = one_line(error).removeprefix("Signature: ")
        if "certificate" in text:
            return (
                f"{self._certs}: {text} (C2PA wants one for digitalSignature, with an extended key usage such as "
                "emailProtection, that has not signed itself)"
            )
        return f"it can't be given credentials: {text}"


class _Endable(io.FileIO):
    """A file that gives and takes nothing more once `ended` is set."""

    def __init__(self, path: Path, mode: str, ended: Event) -> None:
        super().__init__(path, mode)
        self._ended = ended

    def readinto(self, buffer: Any, /) -> int | None:
        self._require_time()
        return super().readinto(buffer)

    def write(self, data: Any, /) -> int:
        self._require_time()
        return super().write(data)

    def _require_time(self) -> None:
        if self._ended.is_set():
            raise OSError(errno.EINTR, "broken off")


def _manifest(told: Told, parent: Path | None) -> dict[str, Any]:
    actions: list[dict[str, Any]] = [
        {"action": "c2pa.opened", "parameters": {"ingredientIds": ["original"]}},
    ]
    if not told.whole:
        cut = f"from {told.from_s:.3f} s to {told.to_s:.3f} s of {told.recording}"
        actions.append({"action": "c2pa.trimmed", "description": cut})
    actions.append({"action": "c2pa.repackaged", "description": "the coded frames and audio as they were recorded"})
    manifest: dict[str, Any] = {
        "claim_generator_info": [{"name": "bwvd", "version": __version__}],
        "title": told.title,
        "format": MIME,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}},
            {"label": RECORDING if parent is None else COPY, "data": told.claims},
        ],
    }
    if told.position is not None:
        manifest["assertions"].append({"label": METADATA, "data": told.position})
    if parent is None:
        # The recording has no credentials of C2PA's; its manifest's digest is what ties the file to it.
        digest = told.claims.get("manifest_sha512", "")
        manifest["ingredients"] = [
            {
                "title": told.recording,
                "format": "application/vnd.bwvd.recording",
                "instance_id": f"bwvd:{told.recording}",
                "relationship": "parentOf",
                "label": "original",
                "description": f"bwvd recording; SHA-512 of its manifest: {digest}",
                "metadata": {"dateTime": told.claims.get("press_utc", "")},
            }
        ]
    return manifest


def _read(path: Path) -> bytes:
    return read_regular(path, _PEM_BYTES, follow=True)


def _chain(path: Path, pem: bytes) -> Sequence[x509.Certificate]:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise CredentialsUnusable(f"{path}: holds no certificate in PEM") from None


def _require_order(certs: Path, chain: Sequence[x509.Certificate], key: Path, private: Any) -> None:
    """The signer's certificate, then who vouches for it, and so on: a reader follows them in this order, or not at all.

    Raises: CredentialsUnusable.
    """
    from cryptography.exceptions import InvalidSignature

    publics = [_public_of(one) for one in chain]
    if (own := _public(private)) != publics[0]:
        if own in publics:
            at = publics.index(own) + 1
            raise CredentialsUnusable(f"{certs}: its certificates are out of order: the signer's is number {at}, not 1")
        raise CredentialsUnusable(f"{key}: is not the key of the first certificate in {certs}")
    for number, (one, by) in enumerate(itertools.pairwise(chain), 1):
        try:
            one.verify_directly_issued_by(by)
        except (ValueError, TypeError, InvalidSignature):
            raise CredentialsUnusable(
                f"{certs}: its certificates are out of order: number {number + 1} does not vouch for number {number}"
            ) from None


def _private(path: Path) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem = read_key_file(path, secret=True)
    try:
        return load_pem_private_key(pem, None)
    except TypeError:
        what = "has a passphrase, and bwvd asks nobody for it; take it off a copy: openssl pkey -in KEY -out COPY"
    except Exception as error:  # noqa: BLE001 - cryptography raises several kinds for what is no key
        what = f"is no private key in PEM ({one_line(error)[:80]})" if str(error) else "is no private key in PEM"
    raise KeyUnusable(f"{path}: {what}")


def _public(private: Any) -> bytes:
    return _spki(private.public_key())


def _public_of(certificate: x509.Certificate) -> bytes:
    return _spki(certificate.public_key())


def _spki(public: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    coded: bytes = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return coded


def _signing(path: Path, key: Any) -> tuple[str, Callable[[bytes], bytes]]:
    """C2PA's name of the algorithm, and what signs by it. COSE wants an EC signature's two numbers side by side."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ED25519", key.sign
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
        return "PS256", lambda data: key.sign(
            data, padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size), hashes.SHA256()
        )
    by_curve: dict[str, tuple[str, hashes.HashAlgorithm]] = {
        "secp256r1": ("ES256", hashes.SHA256()),
        "secp384r1": ("ES384", hashes.SHA384()),
        "secp521r1": ("ES512", hashes.SHA512()),
    }
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in by_curve:
        name, digest = by_curve[key.curve.name]
        size = (key.curve.key_size + 7) // 8

        def sign(data: bytes) -> bytes:
            r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")

        return name, sign
    raise CredentialsUnusable(f"{path}: C2PA takes Ed25519, P-256, P-384, P-521, and RSA of 2048 bits or more")
