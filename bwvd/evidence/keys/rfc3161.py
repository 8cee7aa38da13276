"""Time-stamp tokens (RFC 3161): asking for one, and judging what an authority has answered.

The protocol and the signatures are rfc3161-client's, of the extra `witness`: it reads DER in Rust and verifies with
OpenSSL. It is imported when there is something to ask or to judge: recording needs none of it.
"""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bwvd import hashing
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.flash.regular_file import read_regular
from bwvd.text import one_line

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from rfc3161_client import TimeStampResponse

REQUEST_TYPE = "application/timestamp-query"
ANSWER_TYPE = "application/timestamp-reply"
TOKEN_BYTES = 16_384  # of an answer; certificates and all, some have 7,000
NO_LIBRARY = "rfc3161-client is not installed: pip install 'bwvd[witness]'"

_CERTIFICATES_BYTES = 4_194_304  # a system's whole list of authorities has 200,000
_SHA256 = "2.16.840.1.101.3.4.2.1"


class TokenBad(EvidenceError):
    """What an authority has answered vouches for nothing. One line that says why."""


class CertificatesUnusable(EvidenceError):
    """A file of authorities' certificates can't be used."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question to an authority."""

    der: bytes
    nonce: int


@dataclass(frozen=True, slots=True)
class Token:
    """A moment before which what it was asked for existed."""

    at: datetime.datetime  # UTC
    by: str  # the subject of the certificate that has signed it


def require_library() -> None:
    """Raises: TokenBad if what reads tokens is not installed."""
    try:
        import rfc3161_client  # noqa: F401  only whether it is there
    except ImportError:
        raise TokenBad(NO_LIBRARY) from None


def new_request(data: bytes) -> Request:
    """A request for a token over `data`, with a new nonce; the answer is to hold its certificates.

    Raises: TokenBad if the library is not installed.
    """
    require_library()
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    request = TimestampRequestBuilder().data(data).hash_algorithm(HashAlgorithm.SHA256).nonce(nonce=True).build()
    nonce = request.nonce
    assert nonce is not None  # noqa: S101  it was asked for
    return Request(request.as_bytes(), nonce)


def load_certificates(path: str | Path) -> list[Certificate]:
    """The authorities' certificates in a PEM file: whoever is in it is trusted. Raises: CertificatesUnusable."""
    from cryptography.x509 import load_pem_x509_certificates

    try:
        found = load_pem_x509_certificates(read_regular(path, _CERTIFICATES_BYTES, follow=True))
    except OSError as error:
        raise CertificatesUnusable(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise CertificatesUnusable(f"{path}: holds no certificates (PEM): {one_line(error)}") from None
    unique: list[Certificate] = []
    for certificate in found:
        if certificate not in unique:
            unique.append(certificate)
    return unique


def read_token(answer: bytes, data: bytes, *, roots: Sequence[Certificate] | None, nonce: int | None = None) -> Token:
    """What an authority's answer (TimeStampResp) says of `data`.

    Args:
        roots: whose certificates count; the signer's must have been valid at the time that the token says. None = who
            has signed is not judged, nor whether the signature holds: only that it is an answer to this question.
        nonce: of the request; None = it is not known any more.

    Raises: TokenBad.
    """
    if len(answer) > TOKEN_BYTES:
        raise TokenBad(f"the answer has more than {TOKEN_BYTES} bytes")
    response = _decoded(answer)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # cryptography's, of certificates that it will refuse one day
            return _judged(response, data, roots, nonce)
    except TokenBad:
        raise
    except Exception as error:  # noqa: BLE001  of a hostile certificate cryptography raises what its parts do: told
        raise TokenBad(f"the token can't be read: {one_line(error)[:200]}") from None


def _judged(response: TimeStampResponse, data: bytes, roots: Sequence[Certificate] | None, nonce: int | None) -> Token:
    from rfc3161_client import VerificationError, VerifierBuilder

    if response.status != 0:
        said = "; ".join(response.status_string)
        raise TokenBad(f"the authority refuses (status {response.status}{': ' + one_line(said)[:120] if said else ''})")
    info = response.tst_info
    imprint = info.message_imprint
    if imprint.hash_algorithm.dotted_string != _SHA256 or imprint.message != hashing.sha256(data).digest():
        raise TokenBad("the token is for something else")
    if nonce is not None and info.nonce != nonce:
        raise TokenBad("the token has another nonce: it is the answer to another request")
    signer = _signer(response)
    if roots is not None:
        try:
            VerifierBuilder(roots=list(roots)).build().verify(response, hashing.sha256(data).digest())
        except VerificationError as error:
            raise TokenBad(_reason(str(error))) from None
    return Token(info.gen_time.astimezone(datetime.UTC), signer)


def _signer(response: TimeStampResponse) -> str:
    """The subject of the certificate that has signed, which must be for nothing but time-stamps."""
    from cryptography.x509 import ExtendedKeyUsage, ExtensionNotFound, load_der_x509_certificate
    from cryptography.x509.oid import ExtendedKeyUsageOID

    signed = list(response.signed_data.signer_infos)
    if len(signed) != 1:
        raise TokenBad(f"the token has {len(signed)} signatures instead of one")
    named = (signed[0].issuer, signed[0].serial_number)
    loaded = [load_der_x509_certificate(der) for der in response.signed_data.certificates]
    signers = [one for one in loaded if (one.issuer, one.serial_number) == named]
    if not signers:
        raise TokenBad("the token does not hold the certificate of who has signed it")
    if len(signers) > 1:  # the signature would be held against one of them, and the usage read from another
        raise TokenBad("the token holds several certificates of one name and number")
    try:
        usage = signers[0].extensions.get_extension_for_class(ExtendedKeyUsage)
    except ExtensionNotFound:
        raise TokenBad("the authority's certificate is not for time-stamps (no extended key usage)") from None
    if not usage.critical or list(usage.value) != [ExtendedKeyUsageOID.TIME_STAMPING]:
        raise TokenBad("the authority's certificate is not for time-stamps alone (extended key usage)")
    return one_line(signers[0].subject.rfc4514_string())[:200]


def _reason(error: str) -> str:
    """OpenSSL's reason, without its file and line."""
    _, found, why = error.partition('data: "Verify error: ')
    if found:
        return f"the authority's certificate: {one_line(why.partition(chr(34))[0])}"
    _, found, why = error.partition('reason: "')
    return f"the signature: {one_line(why.partition(chr(34))[0] if found else error)[:200]}"


def _decoded(answer: bytes) -> TimeStampResponse:
    require_library()
    from rfc3161_client import decode_timestamp_response

    try:
        return decode_timestamp_response(in_order(answer))
    except ValueError as error:
        raise TokenBad(f"the answer is no time-stamp: {one_line(error)[:200]}") from None
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # of the library's Rust, which has no class to be imported
            raise TokenBad("the answer is no time-stamp: it could not be read") from None
        raise


# --- what OpenSSL's authorities write --------------------------------------------------------------------------------


def in_order(answer: bytes) -> bytes:
    """The answer with the certificates of its token in DER's order of a SET.

    Authorities that run OpenSSL send them in the order in which they were configured, and the library takes DER alone.
    No signature covers them. What can't be read as far as there comes back as it is.
    """
    try:
        _, begin, end = _element(answer, 0, len(answer))  # TimeStampResp
        begin = _element(answer, begin, end)[2]  # behind its status
        _, begin, end = _element(answer, begin, end)  # ContentInfo
        begin = _element(answer, begin, end)[2]  # behind its type
        _, begin, end = _element(answer, begin, end)
        _, at, end = _element(answer, begin, end)  # SignedData
        while at < end:
            tag, begin, behind = _element(answer, at, end)
            if tag == _CERTIFICATES:
                return answer[:begin] + b"".join(sorted(_elements(answer, begin, behind))) + answer[behind:]
            at = behind
    except ValueError:
        pass
    return answer


_CERTIFICATES = 0xA0  # [0] IMPLICIT of SignedData


def _elements(data: bytes, at: int, end: int) -> list[bytes]:
    found = []
    while at < end:
        behind = _element(data, at, end)[2]
        found.append(data[at:behind])
        at = behind
    return found


def _element(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """The tag of the DER element at `at`, where its content begins and ends. Raises: ValueError."""
    if end - at < 2:
        raise ValueError("cut")
    tag, size, begin = data[at], data[at + 1], at + 2
    if size >= 0x80:
        count = size & 0x7F
        if not 1 <= count <= 4 or begin + count > end:
            raise ValueError("no length")
        size = int.from_bytes(data[begin : begin + count], "big")
        begin += count
    if size > end - begin:
        raise ValueError("longer than what it is in")
    return tag, begin, begin + size
