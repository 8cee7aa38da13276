"""Signatures of requests, held against the four examples that AWS publishes for S3."""

from __future__ import annotations

import datetime
import hashlib

import pytest

from bwvd.store.s3.sigv4 import EMPTY_SHA256, AccessKey, encoded_path, encoded_query, signed

# "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk", API reference of S3
KEY = AccessKey("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
AT = datetime.datetime(2013, 5, 24, tzinfo=datetime.UTC)
HOST = "examplebucket.s3.amazonaws.com"
PUT_HEADERS = {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"}
WELCOME = hashlib.sha256(b"Welcome to Amazon S3.").hexdigest()


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "body", "names", "signature"),
    [
        (
            "GET", "/test.txt", (), {"range": "bytes=0-9"}, EMPTY_SHA256,
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT", "/test$file.text", (), PUT_HEADERS, WELCOME,
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET", "/", (("lifecycle", ""),), {}, EMPTY_SHA256,
            "host;x-amz-content-sha256;x-amz-date",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET", "/", (("prefix", "J"), ("max-keys", "2")), {}, EMPTY_SHA256,
            "host;x-amz-content-sha256;x-amz-date",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
    ids=["get", "put", "lifecycle", "list"],
)  # fmt: skip
def test_the_published_examples(
    method: str, path: str, query: tuple[tuple[str, str], ...], headers: dict[str, str], body: str, names: str,
    signature: str,
) -> None:  # fmt: skip
    found = signed(
        method, encoded_path(path), encoded_query(query), {"host": HOST, **headers},
        body_sha256=body, key=KEY, region="us-east-1", at=AT,
    )  # fmt: skip
    assert found["x-amz-date"] == "20130524T000000Z"
    assert found["x-amz-content-sha256"] == body
    assert found["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        f"SignedHeaders={names},Signature={signature}"
    )


def test_a_temporary_keys_token_is_signed_with_the_rest() -> None:
    key = AccessKey("A", "s", "token")
    found = signed("GET", "/", "", {"host": HOST}, body_sha256=EMPTY_SHA256, key=key, region="r", at=AT)
    assert found["x-amz-security-token"] == "token"
    assert "x-amz-security-token" in found["authorization"]


def test_paths_and_queries_are_encoded_once_and_queries_sorted() -> None:
    assert encoded_path("/b/a b+c~é%/(1)") == "/b/a%20b%2Bc~%C3%A9%25/%281%29"
    assert encoded_query([("b", "/ ="), ("a-", "1"), ("a", "2"), ("a", "1")]) == "a=1&a=2&a-=1&b=%2F%20%3D"


def test_the_secret_is_in_no_text() -> None:
    assert "wJalr" not in f"{KEY!r} {KEY}"
