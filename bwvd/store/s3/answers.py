"""What a store answers, read as what it is: foreign, of any size, and maybe made to hurt. Pure.

XML without document types and entities, of a bounded size and depth, and of it only the elements that are asked for.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote_plus
from xml.parsers import expat

from bwvd.store.errors import StoreMisbehaved

MOST_BYTES = 8_388_608  # of an answer in XML: a page of 1000 names of 1024 bytes, each of them as %XX, is half of it
_MOST_DEPTH = 16
_MOST_ELEMENTS = 20_000
_MOST_TEXT = 16_384  # characters of one element


@dataclass(slots=True)
class Element:
    """An element of an answer: its name without its namespace, its own text, and what is in it."""

    name: str
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def find(self, path: str) -> Element | None:
        """The first element at `path`, as in "Rule/DefaultRetention"."""
        found: Element | None = self
        for name in path.split("/"):
            found = next((one for one in found.children if one.name == name), None) if found else None
        return found

    def all(self, name: str) -> Iterator[Element]:
        return (one for one in self.children if one.name == name)

    def value(self, path: str) -> str:
        """The text of the element at `path`; "" if there is none."""
        found = self.find(path)
        return found.text.strip() if found else ""


def parse_xml(content: bytes, root: str) -> Element:
    """The element that an answer is, which must have the name `root`. Raises: StoreMisbehaved."""
    if len(content) > MOST_BYTES:
        raise StoreMisbehaved("the store answers without an end")
    parser = expat.ParserCreate()
    parser.buffer_text = True
    document = Element("")
    open_elements = [document]
    count = 0

    def start(name: str, _: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if count > _MOST_ELEMENTS or len(open_elements) > _MOST_DEPTH:
            raise StoreMisbehaved("the store answers with more than belongs into an answer")
        element = Element(name.rpartition(":")[2])
        open_elements[-1].children.append(element)
        open_elements.append(element)

    def end(_: str) -> None:
        open_elements.pop()

    def text(data: str) -> None:
        open_elements[-1].text += data
        if len(open_elements[-1].text) > _MOST_TEXT:
            raise StoreMisbehaved("the store answers with more than belongs into an answer")

    def refused(*_: object) -> None:
        raise StoreMisbehaved("the store answers with a document type, which may hold anything")

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refused
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError):
        raise StoreMisbehaved(f"the store's answer is no {root}") from None
    top = document.children[0]
    if top.name != root:
        raise StoreMisbehaved(f"the store's answer is no {root}")
    return top


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that says no."""

    status: int
    code: str  # of S3, as "AccessDenied"; "" if there is none
    server_time: datetime.datetime | None = None  # UTC


_CODE = re.compile(r"[A-Za-z0-9.]{1,64}", re.ASCII)


def refusal(status: int, content: bytes, date: str = "") -> Refusal:
    """What an answer with an error's status says. Its message, which is foreign text, is not used."""
    try:
        code = parse_xml(content, "Error").value("Code")
    except StoreMisbehaved:
        code = ""
    return Refusal(status, code if _CODE.fullmatch(code) else "", http_date(date))


def http_date(text: str) -> datetime.datetime | None:
    """The time of a `Date` header, UTC; None if it is none."""
    try:
        return datetime.datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=datetime.UTC)
    except ValueError:
        return None


def iso_date(text: str) -> datetime.datetime | None:
    """A time as S3 writes it, UTC; None if it is none."""
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.astimezone(datetime.UTC) if at.tzinfo else at.replace(tzinfo=datetime.UTC)


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of a listing as the store gives it: whole keys, whatever they are."""

    objects: tuple[tuple[str, int], ...]  # key, bytes
    folders: tuple[str, ...]
    token: str  # for the next page; "" after the last


def listing(content: bytes) -> Listing:
    """The page in an answer to ListObjectsV2 with `encoding-type=url`. Raises: StoreMisbehaved."""
    top = parse_xml(content, "ListBucketResult")
    encoded = top.value("EncodingType") == "url"

    def key(text: str) -> str:
        return unquote_plus(text, errors="surrogateescape") if encoded else text

    objects = []
    for one in top.all("Contents"):
        size = one.value("Size")
        if not size.isascii() or not size.isdecimal() or len(size) > 18:
            raise StoreMisbehaved("the store lists an object without its size")
        found = one.find("Key")
        objects.append((key(found.text if found else ""), int(size)))
    folders = tuple(key(prefix.text) for one in top.all("CommonPrefixes") if (prefix := one.find("Prefix")) is not None)
    more = top.value("IsTruncated") == "true"
    token = top.value("NextContinuationToken")
    if more and not token:
        raise StoreMisbehaved("the store says that there is more, and not where")
    return Listing(tuple(objects), folders, token if more else "")


@dataclass(frozen=True, slots=True)
class VersionListing:
    """A page of a listing of versions as the store gives it."""

    versions: tuple[tuple[str, str, int, str, bool], ...]  # key, version, bytes, ETag, whether it is a delete marker
    key_marker: str  # for the next page, with the other one; "" after the last
    version_marker: str


def version_listing(content: bytes) -> VersionListing:
    """The page in an answer to ListObjectVersions with `encoding-type=url`. Raises: StoreMisbehaved."""
    top = parse_xml(content, "ListVersionsResult")
    encoded = top.value("EncodingType") == "url"

    def key(text: str) -> str:
        return unquote_plus(text, errors="surrogateescape") if encoded else text

    found = []
    for one in top.children:  # markers and versions in one order
        if one.name not in ("Version", "DeleteMarker"):
            continue
        size, name = one.value("Size") or "0", one.find("Key")
        if not size.isascii() or not size.isdecimal() or len(size) > 18:
            raise StoreMisbehaved("the store lists a version without its size")
        version, etag = one.value("VersionId")[:1024], one.value("ETag")[:256]
        found.append((key(name.text if name else ""), version, int(size), etag, one.name == "DeleteMarker"))
    more = top.value("IsTruncated") == "true"
    after = top.find("NextKeyMarker")
    if more and (after is None or not after.text):
        raise StoreMisbehaved("the store says that there is more, and not where")
    return VersionListing(
        tuple(found), key(after.text) if more and after else "", top.value("NextVersionIdMarker") if more else ""
    )


@dataclass(frozen=True, slots=True)
class Retention:
    """How an object is locked."""

    compliance: bool  # nobody can take it back; otherwise "governance"
    until: datetime.datetime  # UTC


def retention(content: bytes) -> Retention | None:
    """The retention in an answer to GetObjectRetention; None if it holds none."""
    try:
        top = parse_xml(content, "Retention")
    except StoreMisbehaved:
        return None
    until = iso_date(top.value("RetainUntilDate"))
    mode = top.value("Mode")
    return Retention(mode == "COMPLIANCE", until) if until and mode in ("COMPLIANCE", "GOVERNANCE") else None


@dataclass(frozen=True, slots=True)
class LockConfiguration:
    """Object lock of a bucket."""

    on: bool
    compliance: bool = True  # of the default
    default: datetime.timedelta | None = None


def lock_configuration(content: bytes) -> LockConfiguration:
    """What an answer to GetObjectLockConfiguration says; "off" for any other answer."""
    try:
        top = parse_xml(content, "ObjectLockConfiguration")
    except StoreMisbehaved:
        return LockConfiguration(on=False)
    default = None
    for unit, days in (("Days", 1), ("Years", 365)):
        count = top.value(f"Rule/DefaultRetention/{unit}")
        if count.isascii() and count.isdecimal() and len(count) <= 6:
            default = datetime.timedelta(days=int(count) * days)
    return LockConfiguration(
        on=top.value("ObjectLockEnabled") == "Enabled",
        compliance=top.value("Rule/DefaultRetention/Mode") != "GOVERNANCE",
        default=default,
    )
