"""Lists of digests: one form, one name, nothing taken that is not one."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.evidence.format.digest_list import (
    LIST_BYTES,
    MOST_MANIFESTS,
    DigestList,
    Head,
    is_list,
    list_name,
    parse_list,
    token_name,
    token_of,
)
from bwvd.text import address_label

DIGEST = st.text("0123456789abcdef", min_size=128, max_size=128)
HEAD = st.builds(
    Head,
    DIGEST,
    st.integers(1, 10**15 - 1),
    st.integers(1, 10**9 - 1),
    st.text("0123456789abcdef", min_size=32, max_size=32),
)
LISTS = st.builds(DigestList, st.frozensets(DIGEST, min_size=1, max_size=5), st.none() | HEAD)


@given(LISTS)
def test_a_list_comes_back_as_it_was(listed: DigestList) -> None:
    assert parse_list(listed.encode()) == listed


@given(st.binary(max_size=300))
def test_nothing_else_is_taken(text: bytes) -> None:
    with pytest.raises(ValueError, match="list of digests"):
        parse_list(text)


@given(LISTS, st.data())
def test_one_byte_more_or_another_is_another_list_or_none(listed: DigestList, data: st.DataObject) -> None:
    text = bytearray(listed.encode())
    text[data.draw(st.integers(0, len(text) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with suppress(ValueError):
        assert parse_list(bytes(text)) != listed


def test_lines_out_of_order_or_twice_are_refused() -> None:
    one, other = "a" * 128, "b" * 128
    for lines in ([other, one], [one, one]):
        text = "bwvd digest list 1\n" + "".join(f"manifest {line}\n" for line in lines)
        with pytest.raises(ValueError, match="not in order"):
            parse_list(text.encode())


def test_the_longest_is_within_the_bound() -> None:
    most = frozenset(f"{number:0128x}" for number in range(MOST_MANIFESTS))
    assert len(DigestList(most, Head("f" * 128, 10**15 - 1, 10**9 - 1, "0" * 32)).encode()) < LIST_BYTES


def test_names() -> None:
    text = DigestList(frozenset({"a" * 128})).encode()
    name, token = list_name(text), token_name(text, "freetsa.org-tsr")
    assert is_list(name)
    assert token_of(token) == (name, "freetsa.org-tsr")
    assert token_of(name) is None
    assert not is_list(token)
    for wrong in ("", "..", "a/b", "A", "-a", "a.", "x" * 81, "a\n"):
        with pytest.raises(ValueError, match="label"):
            token_name(text, wrong)


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("http://timestamp.digicert.com", "timestamp.digicert.com"),
        ("https://freetsa.org/tsr", "freetsa.org-tsr"),
        ("https://[2001:db8::1]:8080/a/b?c=d", "2001-db8-1-8080-a-b-c-d"),
        ("https://x.example/" + "y" * 200, ("x.example-" + "y" * 200)[:80]),
    ],
)
def test_an_authority_has_a_label(url: str, label: str) -> None:
    assert address_label(url) == label
    token_name(b"", label)
