"""Text from outside made harmless, at three levels: `printable` escapes (`readable` less, in what people wrote),
`one_line` also folds and cuts, `clean` also hides what must not be shown. Pure.

What comes from a card, a device, a file or another process is shown on terminals and written into logs: a terminal
obeys control characters, a reversed line reads as another one, an address holds a password, an error quotes media.
"""

from __future__ import annotations

import re

_MARKS = ((b"\xef\xbb\xbf", ""), (b"\xff\xfe\0\0", "UTF-32"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
MAX_CHARACTERS = 500  # of one text in a log line or an answer
MAX_ERROR_CHARACTERS = 300

# No terminal obeys them, and without them Hindi, Persian, families and flags are others.
_JOINER = re.compile("[\u200c\u200d\U000e0020-\U000e007f]")
_CREDENTIALS = re.compile(r"(?<=://)\S*@")  # greedy: a password may hold an @ of its own
# Many cameras take user and password, or a token, in the path or the query of their address.
_STREAM = re.compile(
    r"(?P<host>\brtsps?://[^\s/?#\"'<>]*)(?P<rest>[/?#][^\s\"'<>]*?)(?=[:,.;)\]]*(?:[\s\"'<>]|$))", re.IGNORECASE
)
_QUERY = re.compile(r"(?P<host>\bhttps?://[^\s?#\"'<>]*)(?P<rest>[?#][^\s\"'<>]*)", re.IGNORECASE)
_PLAIN = re.compile(  # a path's part that tells one stream of a camera from another, and nothing else
    r"(?:(?:live|streams?|streaming|ch|channels?|cam|camera|main|sub|media|video|h26[45]|onvif|profile|unicast|track)"
    r"[_-]?[0-9]{0,3}(?:\.sdp)?)?",
    re.IGNORECASE | re.ASCII,
)
_NO_LABEL = re.compile(r"[^a-z0-9.]+")
BLOTTED = "***"
_BYTES = re.compile(r"""\bb(['"])(?:\\.|(?!\1).)*\\x(?:\\.|(?!\1).)*(?:\1|$)""")  # b'..\x..', as errors quote it


def foreign_encoding(data: bytes) -> str:
    """What a text file was saved as that is to be UTF-8 without a byte order mark, and what to do; "" where it is that.

    Editors, and `>` in some shells, write the others unasked; the first line then says nothing that it seems to say.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            found = f"is {name}" if name else "begins with a byte order mark"
            return f"{found}: save it as UTF-8 without a byte order mark"
    begin = data[:4]
    if len(begin) == 4 and (begin[1] == begin[3] == 0 or begin[0] == begin[2] == 0):  # ASCII in it, without a mark
        return "is UTF-16: save it as UTF-8 without a byte order mark"
    return ""


def printable(text: str) -> str:
    """`text` with everything escaped that a terminal would obey or a name in no encoding would carry; not cut."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


def readable(text: str) -> str:
    """What a person wrote, as `printable`, but with the joiners and tags that scripts and emoji are written with."""
    if text.isprintable():
        return text
    return "".join(c if _JOINER.fullmatch(c) else printable(c) for c in text)


def one_line(error: object) -> str:
    """An error's text without line breaks, printable, at most MAX_ERROR_CHARACTERS long before escaping."""
    return printable(" ".join(str(error).split())[:MAX_ERROR_CHARACTERS])


def clean(text: str, limit: int = MAX_CHARACTERS) -> str:
    """`text` for a log line or a person: printable, without quoted bytes or an address's user and password; cut."""
    cut = text if len(text) <= limit else f"{text[:limit]}… <{len(text) - limit} more>"
    return printable(without_credentials(_BYTES.sub("<bytes>", cut)))


def without_credentials(text: str) -> str:
    """`text` whose addresses have no user and password: what stands between `://` and a word's last `@` is left out,
    and of a stream's path and a query what may be a secret is blotted out."""
    text = _CREDENTIALS.sub("…@", text)
    return _QUERY.sub(_blotted, _STREAM.sub(_blotted, text))


def stream_address(text: str) -> str:
    """What is shown and stored of a stream's address: its scheme, host and port, and a path that gives nothing away."""
    return without_credentials(text).replace("…@", "", 1)


def source_address(text: str) -> str:
    """What is shown and stored of a source's address; of a program its name alone: arguments may hold a password."""
    scheme, _, command = text.partition(":")
    if scheme == "exec" and (words := command.split()):
        return f"exec:{words[0].rpartition('/')[2]}"
    return stream_address(text)


def _blotted(match: re.Match[str]) -> str:
    path, sign, _ = re.split(r"([?#]|$)", match["rest"], maxsplit=1)
    parts = [part if _PLAIN.fullmatch(part) else BLOTTED for part in path.split("/")]
    return match["host"] + "/".join(parts) + (f"{sign}{BLOTTED}" if sign else "")


def address_label(url: str) -> str:
    """An address as a part of a file's name: `http://timestamp.example/tsa` is `timestamp.example-tsa`."""
    where = url.lower().partition("://")[2]
    return _NO_LABEL.sub("-", where).strip("-.")[:80].rstrip("-.")


def counted(count: int, what: str) -> str:
    """`1 segment`, `2 segments`: a number and what there are so many of."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
