"""The table of the carrier: where recordings go, off by default, and each mistake in one line that names its key."""

from __future__ import annotations

import pytest

from bwvd.config.load import parse
from bwvd.config.schema import ConfigError, Offload


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f")
    return str(caught.value).removeprefix("f: ")


def test_nothing_is_carried_away_by_default() -> None:
    assert parse("", "f").offload == Offload()
    assert Offload().store == ""


@pytest.mark.parametrize(
    "text",
    [
        'store = "file:/mnt/dock"',
        'store = "s3://evidence"',
        'store = "s3://evidence-1.north/force/district"',
        'store = "s3://evidence"\nendpoint = "https://store.example:8333"\nregion = "eu-north-1"\nretain_days = 90',
        'store = "s3://evidence"\nendpoint = "http://[fd00::1]:8333"',
        'store = "s3://evidence"\nmax_mbit = 0.5\nwhen = "manual"\nrelease = false',
        'store = "file:/mnt/dock"\nwhen = "always"\n[power]\nsupply = "none"',
    ],
)
def test_what_can_be_used(text: str) -> None:
    assert parse(f"[offload]\n{text}", "f").offload.store


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('store = "/mnt/dock"', 'offload.store = "/mnt/dock": did you mean "file:/mnt/dock"?'),
        ('store = "fiel:/mnt/dock"', 'offload.store = "fiel:/mnt/dock": did you mean "file:/mnt/dock"?'),
        ('store = "dock"', 'offload.store = "dock": must be "" (off), file:PATH or s3://BUCKET[/PREFIX]'),
        ('store = "file:mnt/dock"', "must be file:PATH with the absolute path of a folder of its own"),
        ('store = "file:/"', "must be file:PATH with the absolute path of a folder of its own"),
        ('store = "file:/mnt/../var"', "must be file:PATH without .. in the path"),
        ('store = "s3:evidence"', "must be s3://BUCKET[/PREFIX]"),
        ('store = "s3://Evidence"', "must be s3://BUCKET[/PREFIX]; a bucket's name has 3 to 63 of the characters"),
        ('store = "s3://ev/../other"', "must be s3://BUCKET[/PREFIX]"),
        ('store = "s3://evidence/../other"', "the prefix must be names of the characters"),
        (f'store = "s3://evidence/{"/".join(["x" * 100] * 6)}"', "the prefix must be names of the characters"),
        ('store = "s3://evidence/a b"', "the prefix must be names of the characters"),
        ('store = "s3://evidence//a"', "the prefix must be names of the characters"),
        ('store = "https://s3.example/evidence"', "the address of an S3 server belongs into offload.endpoint"),
        ('endpoint = "https://user:secret@s3.example"', "without a path or a password"),
        ('endpoint = "https://s3.example/evidence"', "without a path or a password"),
        ('endpoint = "https://s3.example:99999"', "without a path or a password"),
        ('region = "EU North"', "must be the name of a region"),
        ('credentials = "credentials"', "must be an absolute path"),
        ("retain_days = -1", "offload.retain_days = -1: must be 0, or from 1 to 36500 days"),
        ("max_mbit = 0.01", "offload.max_mbit = 0.01: must be 0, or from 0.1 to 100000 megabits a second"),
        ('when = "charging"', 'must be one of "always", "external_power", "manual", not "charging"'),
        ('stor = ""', "offload.stor: unknown key; did you mean store?"),
    ],
)
def test_a_mistake_is_named(text: str, expected: str) -> None:
    said = refused(f"[offload]\n{text}")
    assert expected in said
    assert said.startswith("offload.")
    assert "secret" not in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[offload]\nstore = "file:/mnt/dock"\nendpoint = "https://s3.example"',
            'offload.endpoint, offload.store = "file:/mnt/dock": an endpoint belongs to a store that is s3://BUCKET',
        ),
        (
            '[offload]\nstore = "file:/mnt/dock"\nretain_days = 5',
            'offload.retain_days = 5, offload.store = "file:/mnt/dock": a folder locks nothing',
        ),
        (
            '[offload]\nstore = "file:/var/lib/bwvd/copy"',
            'offload.store = "file:/var/lib/bwvd/copy", storage.path = "/var/lib/bwvd": one lies in the other',
        ),
        (
            '[offload]\nstore = "file:/var/./lib/"',
            'offload.store = "file:/var/./lib/", storage.path = "/var/lib/bwvd": one lies in the other',
        ),
        (
            '[offload]\nstore = "s3://evidence"\n[power]\nsupply = "none"',
            'offload.when = "external_power", power.supply = "none": nobody looks at the power',
        ),
    ],
)
def test_what_does_not_go_together_is_named(text: str, expected: str) -> None:
    assert refused(text).startswith(expected)


def test_a_storage_beside_the_copy_is_no_mistake() -> None:
    parse('[offload]\nstore = "file:/var/lib/bwvd-copy"', "f")


# --- time-stamp authorities ------------------------------------------------------------------------------------------


def test_authorities_that_can_be_asked() -> None:
    text = 'tsa = ["https://freetsa.org/tsr", "http://[::1]:8080/a?b=c"]\ncerts = "/etc/bwvd/tsa_certs.pem"'
    witness = parse(f"[witness]\n{text}", "f").witness
    assert len(witness.tsa) == 2
    assert parse("", "f").witness.tsa == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('tsa = ["freetsa.org"]', "witness.tsa, entry 1: must be https://HOST[:PORT][/PATH]"),
        ('tsa = ["https://user:secret@x.example/"]', "witness.tsa, entry 1: must be https://HOST"),
        ('tsa = ["ftp://x.example/"]', "witness.tsa, entry 1: must be https://HOST"),
        ('tsa = ["https://x.example:99999/"]', "witness.tsa, entry 1: must be https://HOST"),
        ('tsa = ["https://x.example/a", "http://x.example/a"]', "would have the same files"),
        ('tsa = ["https://x.example/a", "https://x.example/a"]', "would have the same files"),
        (f"tsa = {[f'https://x{n}.example/' for n in range(9)]}", "witness.tsa: at most 8"),
        ('certs = "/x.pem"', "certificates belong to authorities, and none is asked"),
        ('tsa = ["https://x.example/"]\ncerts = "x.pem"', "witness.certs"),
    ],
)
def test_authorities_that_can_not(text: str, said: str) -> None:
    assert said in refused(f"[witness]\n{text}")


# --- the receiver ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source", ["", "gpsd://127.0.0.1:2947", "gpsd://localhost", "gpsd://[::1]:1", "serial:/dev/ttyACM0"]
)
def test_receivers(source: str) -> None:
    assert parse(f'[gnss]\nsource = "{source}"', "f").gnss.source == source


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('source = "gpsd://192.0.2.1"', "the recorder reaches no other machine"),
        ('source = "gpsd://127.0.0.1:0"', "must be gpsd://127.0.0.1"),
        ('source = "/dev/ttyACM0"', 'did you mean "serial:/dev/ttyACM0"?'),
        ('source = "serial:ttyACM0"', "must be serial:PATH"),
        ('source = "gps"', 'must be "" (off), gpsd://'),
        ("every_s = 0", "must be from 0.2 to 60 seconds"),
        ("baud = 9601", "must be one of"),
    ],
)
def test_receivers_that_are_none(text: str, said: str) -> None:
    assert said in refused(f"[gnss]\n{text}")
