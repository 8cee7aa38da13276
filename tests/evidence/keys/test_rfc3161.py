"""Time-stamp tokens by openssl: what counts, and everything that does not."""

from __future__ import annotations

import datetime
import random
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate
from hypothesis import given
from hypothesis import strategies as st

from bwvd.evidence.keys import rfc3161
from bwvd.evidence.keys.rfc3161 import (
    CertificatesUnusable,
    TokenBad,
    in_order,
    load_certificates,
    new_request,
    read_token,
)
from tests.support.time_authority import Authority

DATA = b"bwvd digest list 1\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa"))


@pytest.fixture(scope="module")
def answered(authority: Authority) -> tuple[bytes, int]:
    request = new_request(DATA)
    return authority.reply(request.der), request.nonce


def test_a_good_token_says_when_and_by_whom(authority: Authority, answered: tuple[bytes, int]) -> None:
    answer, nonce = answered
    token = read_token(answer, DATA, roots=load_certificates(authority.root), nonce=nonce)
    assert abs(token.at - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(minutes=5)
    assert token.at.tzinfo is datetime.UTC
    assert token.by == "CN=time authority of the tests"


def test_openssl_says_the_same(authority: Authority, answered: tuple[bytes, int], tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(DATA)
    (tmp_path / "token.tsr").write_bytes(answered[0])
    command = ["openssl", "ts", "-verify", "-data", "list", "-in", "token.tsr", "-CAfile", str(authority.root)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "Verification: OK\n"


def test_the_order_of_the_certificates_is_nobodys_business(authority: Authority) -> None:
    """OpenSSL sends its own certificate first, whichever is smaller; DER has an order for them."""
    request = new_request(DATA)
    answer = authority.reply(request.der)
    own = subprocess.run(
        ["openssl", "x509", "-in", "own.pem", "-outform", "DER"], cwd=authority.folder, capture_output=True, check=True
    ).stdout
    chain = subprocess.run(
        ["openssl", "x509", "-in", "chain.pem", "-outform", "DER"],
        cwd=authority.folder,
        capture_output=True,
        check=True,
    ).stdout
    assert {own + chain in answer, chain + own in answer} == {True, False}
    other = (
        answer.replace(own + chain, chain + own) if own + chain in answer else answer.replace(chain + own, own + chain)
    )
    for one in (answer, other):
        read_token(one, DATA, roots=load_certificates(authority.root), nonce=request.nonce)


def refusal(answer: bytes, authority: Authority | None, *, data: bytes = DATA, nonce: int | None = None) -> str:
    roots = load_certificates(authority.root) if authority is not None else None
    with pytest.raises(TokenBad) as refused:
        read_token(answer, data, roots=roots, nonce=nonce)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_another_imprint_and_another_nonce(authority: Authority, answered: tuple[bytes, int]) -> None:
    for whose in (authority, None):
        assert refusal(answered[0], whose, data=DATA + b"x") == "the token is for something else"
        assert "another nonce" in refusal(answered[0], whose, nonce=answered[1] + 1)


def test_an_untrusted_authority(authority: Authority, answered: tuple[bytes, int], tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    assert "the authority's certificate: " in refusal(answered[0], other)
    assert "issuer certificate" in refusal(answered[0], other)


@pytest.mark.parametrize(("valid", "why"), [((-20, -10), "has expired"), ((10, 20), "not yet valid")])
def test_a_certificate_that_was_not_valid_then(tmp_path: Path, valid: tuple[int, int], why: str) -> None:
    late = Authority(tmp_path, valid=valid)
    assert why in refusal(late.reply(new_request(DATA).der), late)


def test_a_certificate_that_is_not_for_time_stamps(answered: tuple[bytes, int]) -> None:
    """OpenSSL makes no token with such a one: of a good token the usage is exchanged, and who has signed not judged."""
    usage, other = bytes.fromhex("06082b06010505070308"), bytes.fromhex("06082b06010505070301")  # serverAuth
    assert usage in answered[0]
    said = refusal(answered[0].replace(usage, other), None)
    assert said == "the authority's certificate is not for time-stamps alone (extended key usage)"


def test_openssl_makes_no_token_with_a_certificate_for_something_else(tmp_path: Path) -> None:
    plain = Authority(tmp_path, for_time=False)
    with pytest.raises(subprocess.CalledProcessError):
        plain.reply(new_request(DATA).der)


def test_two_certificates_of_one_name_and_number(authority: Authority, answered: tuple[bytes, int]) -> None:
    """Or the signature would be held against the one, and what it is for be read from the other."""
    one = load_pem_x509_certificate((authority.folder / "own.pem").read_bytes())
    twin = one.public_bytes(Encoding.DER)
    at = answered[0].index(twin)
    chain = load_pem_x509_certificate((authority.folder / "chain.pem").read_bytes()).public_bytes(Encoding.DER)
    assert len(chain) < len(twin)
    begin = min(at, answered[0].index(chain))
    # in the place of the chain's: its own again, with another last byte
    grown = (
        answered[0][:begin] + twin + twin[:-1] + bytes([twin[-1] ^ 1]) + answered[0][begin + len(twin) + len(chain) :]
    )
    assert "several certificates" in refusal(lengthened(grown, len(twin) - len(chain)), None)


def lengthened(answer: bytes, more: int) -> bytes:
    """The answer with the lengths of all that holds the certificates so much larger."""
    out, at = bytearray(answer), 0

    def grow(position: int) -> int:
        assert out[position + 1] == 0x82
        size = int.from_bytes(out[position + 2 : position + 4], "big") + more
        out[position + 2 : position + 4] = size.to_bytes(2, "big")
        return position + 4

    def behind(position: int) -> int:
        size, begin = out[position + 1], position + 2
        if size > 0x80:
            begin += size - 0x80
            size = int.from_bytes(out[position + 2 : begin], "big")
        return begin + size

    at = behind(grow(0))  # TimeStampResp, behind its status
    at = behind(grow(at))  # ContentInfo, behind its type
    at = grow(grow(at))  # [0], SignedData
    for _ in range(3):  # version, digests, content
        at = behind(at)
    grow(at)
    return bytes(out)


def test_an_authority_that_refuses(authority: Authority) -> None:
    request = new_request(DATA).der
    sha256 = bytes.fromhex("608648016503040201")
    answer = authority.reply(request.replace(sha256, bytes.fromhex("608648016503040209")))
    assert "the authority refuses (status 2" in refusal(answer, authority)


def test_a_flipped_signature(authority: Authority, answered: tuple[bytes, int]) -> None:
    answer = bytearray(answered[0])
    answer[-20] ^= 1
    assert "signature" in refusal(bytes(answer), authority)


@given(st.binary(max_size=2000))
def test_hostile_bytes_are_refused_in_a_line(answer: bytes) -> None:
    refusal(answer, None)
    in_order(answer)


def test_a_damaged_answer_is_refused_or_says_the_same(authority: Authority, answered: tuple[bytes, int]) -> None:
    """2,000 seeded damages: cut, doubled, bits and lengths changed. None of them gives another time, or crashes."""
    roots = load_certificates(authority.root)
    good = read_token(answered[0], DATA, roots=roots, nonce=answered[1])
    dice = random.Random(18)
    for _ in range(2000):
        answer = bytearray(answered[0])
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(answer))
            match dice.randrange(4):
                case 0:
                    answer[at] ^= 1 << dice.randrange(8)
                case 1:
                    answer[at] = dice.choice((0, 0x7F, 0x80, 0x84, 0xFF))
                case 2:
                    del answer[at : at + dice.randint(1, 40)]
                case 3:
                    answer[at:at] = answer[at : at + dice.randint(1, 40)]
            if not answer:
                break
        try:
            token = read_token(bytes(answer), DATA, roots=roots, nonce=answered[1])
        except TokenBad:
            continue
        assert token == good


def test_an_answer_beyond_the_bound_is_not_even_read() -> None:
    assert "more than 16384 bytes" in refusal(bytes(20_000), None)


def test_certificates_that_are_none(tmp_path: Path) -> None:
    for name, content in (("empty", ""), ("key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")):
        (tmp_path / name).write_text(content)
        with pytest.raises(CertificatesUnusable, match="holds no certificates"):
            load_certificates(tmp_path / name)
    with pytest.raises(CertificatesUnusable, match="No such file"):
        load_certificates(tmp_path / "missing")


def test_the_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rfc3161_client", None)
    for ask in (lambda: new_request(DATA), lambda: read_token(b"", DATA, roots=None)):
        with pytest.raises(TokenBad, match=r"pip install 'bwvd\[witness\]'"):
            ask()
    assert rfc3161.NO_LIBRARY
