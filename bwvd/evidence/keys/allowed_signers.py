"""The allowed_signers file of ssh-keygen(1), which says whose signatures count: patterns, periods, authorities."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bwvd.evidence.errors import KeyUnusable, SignatureBad, SignersUnusable
from bwvd.evidence.flash.regular_file import read_regular
from bwvd.evidence.keys.ssh_keys import USER_CERTIFICATE, Certificate, PublicKey, parse_key_line
from bwvd.text import foreign_encoding, printable

FILE_BYTES = 16_777_216  # a fleet of 100,000 devices fits

_KEY_TYPES = ("ssh-", "ecdsa-", "sk-")
_OPTION = re.compile(r'(?P<name>[A-Za-z-]+)(="(?P<value>(?:[^"\\]|\\.)*)")?(?P<next>,|[ \t]+|$)')
_NAMES = ("cert-authority", "namespaces", "valid-after", "valid-before")
_TIMES = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}


@dataclass(frozen=True, slots=True)
class AllowedKey:
    """One line of the file."""

    file: str
    line: int
    principals: str  # patterns
    key: PublicKey
    authority: bool = False  # the key signs certificates; it vouches for no signature of its own
    namespaces: str | None = None  # patterns; None = any
    valid_after: int | None = None  # Unix seconds
    valid_before: int | None = None

    def allows(self, namespace: str) -> bool:
        """Whether the key may sign in a namespace, by name, by a pattern, or because none is named."""
        return self.namespaces is None or matches(namespace, self.namespaces)

    def names(self, namespace: str) -> bool:
        """Whether the namespace itself is named, and not excluded."""
        return self.namespaces is not None and namespace in self.namespaces.split(",") and self.allows(namespace)


class AllowedSigners:
    """The lines of one allowed_signers file. **Synchronization:** immutable; any thread."""

    def __init__(self, keys: list[AllowedKey], name: str) -> None:
        self.name = name
        self._of_key: dict[bytes, list[AllowedKey]] = {}
        for key in keys:
            self._of_key.setdefault(key.key.blob, []).append(key)

    @classmethod
    def load(cls, path: str | Path) -> AllowedSigners:
        """Raises: SignersUnusable, naming file and line. A line that can't be understood is an error, not skipped."""
        try:
            data = read_regular(path, FILE_BYTES, follow=True)
        except OSError as error:
            raise SignersUnusable(f"{path}: {error.strerror}") from None
        return cls.parse(data, str(path))

    @classmethod
    def parse(cls, data: bytes, name: str) -> AllowedSigners:
        """Raises: SignersUnusable, naming `name` and the line."""
        if encoding := foreign_encoding(data):
            raise SignersUnusable(f"{name} {encoding}")
        keys = []
        for number, raw in enumerate(data.split(b"\n"), 1):
            try:
                text = raw.rstrip(b"\r").decode("utf-8").strip(" \t")
                if text and not text.startswith("#") and (key := _parse_line(name, number, text)):
                    keys.append(key)
            except (ValueError, KeyUnusable) as error:
                raise SignersUnusable(f"{name} line {number}: {error}") from None
        return cls(keys, name)

    @classmethod
    def joined(cls, lists: Sequence[AllowedSigners]) -> AllowedSigners:
        """All keys of several lists."""
        keys = [key for one in lists for key in one.lines()]
        return cls(keys, " or ".join(one.name for one in lists))

    @property
    def principals(self) -> list[str]:
        """The patterns of names in the lines that vouch for a key itself, not for what an authority has certified."""
        return [line.principals for line in self.lines() if not line.authority]

    def lines(self) -> Iterator[AllowedKey]:
        """What stands in the file, a key after the other."""
        for lines in self._of_key.values():
            yield from lines

    def check(
        self,
        key: PublicKey | Certificate,
        namespace: str,
        principals: tuple[str, ...],
        at_s: float | None = None,
        *,
        by_name: bool = False,
    ) -> str:
        """Whether `key` may sign in `namespace` under one of the names `principals`; returns that name.

        `at_s` is the Unix time at which it has to be valid; None is now. For a certificate a line of its authority
        counts, its own period, and the names in both the line and the certificate. `by_name`: the line must name the
        namespace itself; none, or a pattern that it matches, is not enough.

        Raises: SignatureBad, saying what no line allows.
        """
        at_s = time.time() if at_s is None else at_s
        vouching = key.authority if isinstance(key, Certificate) else key
        reason = f"{vouching.fingerprint} is not in {self.name}"
        for line in self._of_key.get(vouching.blob, ()):
            refusal = _refusal(line, key, namespace, at_s, by_name=by_name)
            if refusal:
                reason = f"{vouching.fingerprint}: {line.file} line {line.line}: {refusal}"
                continue
            names = key.principals if isinstance(key, Certificate) else principals
            for name in principals:
                if name in names and matches(name, line.principals):
                    return name
            known = ",".join(names) if isinstance(key, Certificate) else line.principals
            asked = " or ".join(name[:80] for name in principals)
            reason = printable(f"{vouching.fingerprint} is known as {known[:80]}, not as {asked}")
        raise SignatureBad(reason)


def matches(text: str, patterns: str) -> bool:
    """OpenSSH's pattern list: comma-separated, `*` and `?`, and `!` in front of what must not match."""
    good = False
    for pattern in patterns.split(","):
        if pattern.startswith("!"):
            if _match(text, pattern[1:]):
                return False
        elif _match(text, pattern):
            good = True
    return good


def _match(text: str, pattern: str) -> bool:
    """One wildcard pattern, in time linear in len(text) x len(pattern) whatever they are."""
    at = of = 0
    star, mark = -1, 0
    while at < len(text):
        if of < len(pattern) and pattern[of] == "*":
            star, mark = of, at
            of += 1
        elif of < len(pattern) and pattern[of] in ("?", text[at]):
            at, of = at + 1, of + 1
        elif star >= 0:
            mark += 1
            at, of = mark, star + 1
        else:
            return False
    return pattern[of:].strip("*") == ""


def _refusal(line: AllowedKey, key: PublicKey | Certificate, namespace: str, at_s: float, *, by_name: bool) -> str:
    """Why `line` does not let `key` sign; "" if it does."""
    if line.authority != isinstance(key, Certificate):
        return "the key is an authority for certificates only" if line.authority else "the key is no cert-authority"
    if not line.allows(namespace):
        return f"not for {namespace}"
    if by_name and not line.names(namespace):
        return f"its namespaces do not name {namespace}"
    if line.valid_after is not None and at_s < line.valid_after:
        return "not valid yet"
    if line.valid_before is not None and at_s > line.valid_before:
        return "no longer valid"
    if isinstance(key, Certificate):
        if key.usage != USER_CERTIFICATE:
            return "the certificate is for a host"
        if key.critical:
            return f"the certificate has an option that is not understood: {key.critical[0][:40]}"
        if at_s < key.valid_after:
            return "the certificate is not valid yet"
        if at_s >= key.valid_before:
            return "the certificate is no longer valid"
    return ""


def _parse_line(file: str, number: int, text: str) -> AllowedKey | None:
    """principals [options] keytype base64 [comment]; None for a person's security key, which no device or server has"""
    if text.startswith('"'):
        principals, quote, rest = text[1:].partition('"')
        if not quote:
            raise ValueError("a quote without an end")
    else:
        principals, *after = re.split(r"[ \t]+", text, maxsplit=1)
        rest = after[0] if after else ""
    rest = rest.strip(" \t")
    if not principals:
        raise ValueError("no principals")
    options: dict[str, str | None] = {}
    if not rest.startswith(_KEY_TYPES):
        options, rest = _options(rest)
    if rest.startswith("sk-"):
        return None
    key = parse_key_line(rest)
    if isinstance(key, Certificate):
        raise ValueError("a certificate where a key must stand")  # noqa: TRY004  what the file says, not an argument
    return AllowedKey(
        file,
        number,
        principals,
        key,
        "cert-authority" in options,
        options.get("namespaces"),
        _time(options.get("valid-after")),
        _time(options.get("valid-before")),
    )


def _options(text: str) -> tuple[dict[str, str | None], str]:
    """The options at the front of `text`, and what follows them."""
    options: dict[str, str | None] = {}
    at = 0
    while True:
        found = _OPTION.match(text, at)
        if found is None:
            raise ValueError("expected principals, options, key type and key")
        name, value = found["name"].lower(), found["value"]
        if name in options:
            raise ValueError(f"{name} is given twice")
        if (name == "cert-authority") != (value is None) or name not in _NAMES:
            raise ValueError(f"unknown option {found['name'][:40]!r}")
        options[name] = None if value is None else re.sub(r"\\(.)", r"\1", value)
        at = found.end()
        if found["next"] != ",":
            return options, text[at:]


def _time(text: str | None) -> int | None:
    """YYYYMMDD[HHMM[SS]][Z] in Unix seconds; without Z in the time zone of this machine, as ssh-keygen reads it."""
    if text is None:
        return None
    digits = text.removesuffix("Z")
    if len(digits) not in _TIMES or not digits.isascii() or not digits.isdigit():
        raise ValueError(f"{text[:40]!r} is not a time: YYYYMMDD[HHMM[SS]][Z]")
    moment = datetime.strptime(digits, _TIMES[len(digits)])
    try:
        moment = moment.replace(tzinfo=UTC) if text.endswith("Z") else moment.astimezone()
    except OverflowError:
        raise ValueError(f"{text} is a year that can't be counted in this time zone") from None
    return int(moment.timestamp())


DEFAULT_PRINCIPAL = "bwvd"  # what keygen writes for a device without a name
