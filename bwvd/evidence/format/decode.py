"""Decoding of lines: the record that one holds, and the signature in the line behind it. Checks no signature. Pure.

What only looks at a recording reads it with this alone, and needs no cryptography.
"""

from __future__ import annotations

import base64
from typing import Any, get_args

import msgspec

from bwvd.evidence.format.records import FORMAT, Init, JournalRecord, ManifestRecord, Open, Record
from bwvd.text import one_line

MAX_LINE = 1_048_576  # bytes, newline included; a longer line is no line of ours

SIGNATURE_BEGIN = b'{"sig":"'
_SIG_END = b'"}\n'
CLAIMANTS = (b'{"type":"recovered"', b'{"type":"torn"')  # the records that may follow an unfinished append

_KINDS = ManifestRecord | JournalRecord
_DECODER = msgspec.json.Decoder(_KINDS)
_KNOWN = frozenset(str(kind.__struct_config__.tag) for kind in get_args(_KINDS))


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """A record of a type that this version does not know: signed like any other, and skipped."""

    n: int
    type: str
    fields: dict[str, Any]


def decode(line: bytes) -> Record | Unknown | str:
    """The record in a line; or why there is none."""
    try:
        record: Record = _DECODER.decode(line)
    except msgspec.ValidationError as error:
        reason = one_line(error)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return f"not a record: {one_line(error)}"
    else:
        if isinstance(record, Open | Init) and not _is_base64(record.init):
            return "a malformed record: its init segment is not base64"
        return record
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return f"not a record: {one_line(error)}"
    if not isinstance(fields, dict):
        return "not a record: not a JSON object"
    kind, n = fields.get("type"), fields.get("n")
    if not isinstance(kind, str) or type(n) is not int:
        return "not a record: it has no type or no number"
    if kind in ("open", "journal") and fields.get("format") != FORMAT:
        return Unknown(n=n, type=kind, fields=fields)  # another format is not malformed, but not ours to read
    if kind in _KNOWN:
        return f"a malformed record ({kind}): {reason}"
    return Unknown(n=n, type=kind, fields=fields)


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True


def signature_of(line: bytes) -> bytes | None:
    """The binary signature in a signature line, if it is one in its one canonical form."""
    if not (line.startswith(SIGNATURE_BEGIN) and line.endswith(_SIG_END)):
        return None
    text = line[len(SIGNATURE_BEGIN) : -len(_SIG_END)]
    try:
        blob = base64.b64decode(text, validate=True)
    except ValueError:  # also binascii.Error, which is one
        return None
    return blob if base64.b64encode(blob) == text else None
