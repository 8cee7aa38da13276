"""What a store answers is foreign text: bounded, without entities, and never more than what was asked for."""

from __future__ import annotations

import contextlib
import gc
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.store.errors import StoreMisbehaved
from bwvd.store.s3 import answers

LISTING = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>url</EncodingType>
<IsTruncated>true</IsTruncated><NextContinuationToken>next&amp;</NextContinuationToken>
<Contents><Key>a%2Bb+c%00/%FF</Key><Size>12</Size></Contents>
<CommonPrefixes><Prefix>d/</Prefix></CommonPrefixes></ListBucketResult>"""
LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "ha"}">' for n in range(10))


def test_a_listing() -> None:
    found = answers.listing(LISTING.encode())
    assert found.objects == (("a+b c\0/\udcff", 12),)
    assert found.folders == ("d/",)
    assert found.token == "next&"  # noqa: S105 - of a listing
    assert answers.listing(LISTING.replace(">true<", ">false<").encode()).token == ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<ListBucketResult>",
        b"<html><body>Welcome</body></html>",
        b"<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
        b"<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>",
        b"<ListBucketResult><Contents><Key>a</Key><Size>" + 99 * b"9" + b"</Size></Contents></ListBucketResult>",
        b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        f"<!DOCTYPE x [{LAUGHS}]><ListBucketResult>&a9;</ListBucketResult>".encode(),
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><ListBucketResult/>',
        b"<ListBucketResult>" + 100 * b"<a>" + 100 * b"</a>" + b"</ListBucketResult>",
        b"<ListBucketResult>" + 25_000 * b"<a/>" + b"</ListBucketResult>",
        b"<ListBucketResult><IsTruncated>" + 8_000_000 * b"x" + b"</IsTruncated></ListBucketResult>",
        9_000_000 * b" ",
    ],
    ids=lambda content: content[:50].decode(),
)
def test_an_answer_that_is_made_to_hurt_is_refused_soon(content: bytes) -> None:
    gc.freeze()  # what other tests left in this process is not looked through while the answer is read
    try:
        began = time.process_time()
        with pytest.raises(StoreMisbehaved) as raised:
            answers.listing(content)
        took_s = time.process_time() - began
    finally:
        gc.unfreeze()
    assert str(raised.value).isprintable()
    assert took_s < 5  # what expands or backtracks takes minutes
    assert answers.refusal(500, content) == answers.Refusal(500, "")
    assert answers.retention(content) is None
    assert not answers.lock_configuration(content).on


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for root in ("", "Error", "Retention", "ListBucketResult"):
        whole = f"<{root}>".encode() + content + f"</{root}>".encode() if root else content
        with contextlib.suppress(StoreMisbehaved):
            answers.listing(whole)
        answers.refusal(403, whole, content.decode("latin-1"))
        answers.retention(whole)
        answers.lock_configuration(whole)


def test_a_refusal_keeps_its_code_and_none_of_its_foreign_text() -> None:
    said = answers.refusal(403, b"<Error><Code>AccessDenied</Code><Message>\x1b[2J</Message></Error>")
    assert said.code == ""  # XML 1.0 knows no escape character
    said = answers.refusal(403, b"<Error><Code>AccessDenied</Code></Error>", "Sun, 06 Nov 1994 08:49:37 GMT")
    assert (said.code, str(said.server_time)) == ("AccessDenied", "1994-11-06 08:49:37+00:00")
    assert answers.refusal(403, b"<Error><Code>a b&#27;</Code></Error>").code == ""


def test_retentions_and_configurations() -> None:
    text = "<Retention><Mode>{}</Mode><RetainUntilDate>{}</RetainUntilDate></Retention>"
    found = answers.retention(text.format("COMPLIANCE", "2026-12-01T12:40:36.5Z").encode())
    assert found is not None
    assert found.compliance
    assert found.until.isoformat() == "2026-12-01T12:40:36.500000+00:00"
    found = answers.retention(text.format("GOVERNANCE", "2026-12-01T12:40:36Z").encode())
    assert found is not None
    assert not found.compliance
    for mode, until in (("", "2026-12-01T12:40:36Z"), ("OFF", "2026-12-01T12:40:36Z"), ("COMPLIANCE", "soon")):
        assert answers.retention(text.format(mode, until).encode()) is None
    rule = (
        "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>"
        "<Mode>COMPLIANCE</Mode><Years>2</Years></DefaultRetention></Rule></ObjectLockConfiguration>"
    )
    configured = answers.lock_configuration(rule.encode())
    assert configured.on
    assert configured.default is not None
    assert configured.default.days == 730


def test_versions_and_marks_come_in_one_order() -> None:
    page = answers.version_listing(
        b"<ListVersionsResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
        b"<NextKeyMarker>a%2Fc</NextKeyMarker><NextVersionIdMarker>9</NextVersionIdMarker>"
        b"<DeleteMarker><Key>a/b</Key><VersionId>3</VersionId></DeleteMarker>"
        b"<Version><Key>a/b</Key><VersionId>2</VersionId><ETag>&quot;x&quot;</ETag><Size>7</Size></Version>"
        b"</ListVersionsResult>"
    )
    assert page.versions == (("a/b", "3", 0, "", True), ("a/b", "2", 7, '"x"', False))
    assert (page.key_marker, page.version_marker) == ("a/c", "9")


@pytest.mark.parametrize(
    "content",
    [
        b"<ListBucketResult/>",
        b"<ListVersionsResult><Version><Key>a</Key><Size>-1</Size></Version></ListVersionsResult>",
        b"<ListVersionsResult><IsTruncated>true</IsTruncated></ListVersionsResult>",
    ],
)
def test_what_is_no_listing_of_versions(content: bytes) -> None:
    with pytest.raises(StoreMisbehaved):
        answers.version_listing(content)
