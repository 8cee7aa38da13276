"""One hash whoever makes it: hashlib's OpenSSL, or the one that signs."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd import hashing
from bwvd.evidence.keys.openssl import share_openssl

pieces = st.lists(st.binary(max_size=5_000), max_size=5)
PLAIN = hashing._begin


@pytest.fixture(scope="module", params=["hashlib", "shared"], autouse=True)
def provider(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "shared":
        share_openssl()
        assert hashing._begin is not PLAIN
    yield
    hashing._begin = PLAIN


@given(pieces, st.binary(max_size=100))
def test_a_hash_is_that_of_all_bytes_and_goes_on_behind_each_look(parts: list[bytes], more: bytes) -> None:
    """Invariant 7: a digest is of the bytes, whatever they came in, and looking at it changes nothing."""
    for begin, name in ((hashing.sha256, "sha256"), (hashing.sha512, "sha512")):
        made, whole = begin(parts[0] if parts else b""), b"".join(parts)
        for part in parts[1:]:
            made.digest()
            made.update(memoryview(bytearray(part)))
        other = made.copy()
        assert made.digest() == hashlib.new(name, whole).digest()
        assert made.hexdigest() == hashlib.new(name, whole).hexdigest()
        other.update(more)
        assert other.hexdigest() == hashlib.new(name, whole + more).hexdigest()
        assert made.hexdigest() == hashlib.new(name, whole).hexdigest()


def test_other_threads_run_while_much_is_hashed() -> None:
    """Invariant 10: the camera's thread doesn't wait for the hash of what is stored. An older cryptography than is
    required kept the interpreter's lock to the end."""
    data, interval = memoryview(bytearray(16 << 20)), sys.getswitchinterval()
    go, ran = threading.Event(), threading.Event()

    def run() -> None:
        go.wait()
        ran.set()

    for begin in (hashing.sha256, hashing.sha512):
        made = begin()
        go.clear()
        ran.clear()
        other = threading.Thread(target=run)
        sys.setswitchinterval(1_000)  # nobody gets the lock that isn't let go of
        try:
            other.start()
            go.set()
            tries = 0
            while not ran.is_set() and tries < 20:
                made.update(data)
                tries += 1
            alongside = ran.is_set()
        finally:
            sys.setswitchinterval(interval)
            other.join()
        assert alongside


def test_who_shares_has_one_openssl() -> None:
    code = (
        "import sys; from bwvd import hashing; from bwvd.evidence.keys.openssl import share_openssl; share_openssl(); "
        "print(hashing.sha256(b'x').hexdigest(), hashing.sha512().hexdigest(), '_hashlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [hashlib.sha256(b"x").hexdigest(), hashlib.sha512().hexdigest(), "False"]
