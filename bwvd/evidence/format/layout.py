"""Every name on the flash: folders and files of a storage and of a recording. FORMAT.md describes what is in them."""

from __future__ import annotations

import re

# In the storage's root
RECORDINGS = "recordings"
WITNESS = "witness"  # lists of digests and time-stamp tokens; in a store and in a proof as well
JOURNAL = "journal.jsonl"
ALLOWED_SIGNERS = "allowed_signers"
ARCHIVE = re.compile(r"journal-([0-9]{6,})\.jsonl")  # a journal file that is full; the number in it
RESERVE = ".reserve"
SPARES = tuple(f"{RESERVE}-{number}" for number in range(1, 17))  # empty: where files are counted, so many are kept
LOCK = ".lock"
PROBE = ".probe"
OFFICER = ".wearer"
NEW = ".new"  # behind the name of a file that is being replaced whole
NEW_JOURNAL = JOURNAL + NEW  # the next journal file, until the one before has its archive's name

FILES = re.compile(
    r"journal\.jsonl(\.new)?|journal-\d{6,}\.jsonl|allowed_signers(\.new)?"
    r"|\.(reserve(-\d+)?|lock|probe|wearer|wearer\.new)"
)

# What desktops and repair tools put onto any card that they are shown. Nothing of it is evidence, nothing of it is in
# the way, and it comes and goes: the trash of freedesktop.org, macOS, Windows, file system checks, Android, KDE, FUSE.
_LITTER = re.compile(
    r"\.trash(-\d+|es)?|\.ds_store|\._.*|\.spotlight-v100|\.fseventsd|\.temporaryitems|\.documentrevisions-v100|\.apdisk"
    r"|\.volumeicon\.icns|\.com\.apple\..*|\.metadata_never_index|system volume information|\$recycle\.bin|recycler"
    r"|desktop\.ini|(eh)?thumbs(_vista)?\.db|indexervolumeguid|wpsettings\.dat|lost\+found|found\.\d{3}|fsck\d{4}\.(rec|ren)"
    r"|lost\.dir|\.android_secure|\.directory|\.fuse_hidden.*|\.nfs[0-9a-f]+|\.thumbnails",
    re.IGNORECASE,
)

# In a proof, beside the recording; nothing of it is signed, and nothing depends on it
README = "README.txt"
CHAIN = "CHAIN.txt"
PUBLIC_KEY = "device_key.pub"
AUTHORITY_KEY = "authority_key.pub"

# In a recording's folder
MANIFEST = "manifest.jsonl"
MANIFEST_BYTES = 1 << 30  # more is none: one of seven days has 0.6 GB
PLAYLIST = "index.m3u8"
SUMS = "SHA256SUMS"
SUMS_SIGNATURE = "SHA256SUMS.sig"
ENCRYPTED = ".age"  # behind the name of a segment or a text that is one whole age file
CONVENIENCES = (PLAYLIST, SUMS, SUMS_SIGNATURE)  # and init.mp4, init-2.mp4 …
_SEALED = re.compile(r"sealed-([0-9]{6,12})\.json\.age")
_INIT = re.compile(r"init(-\d+)?\.mp4")


def is_convenience(name: str) -> bool:
    """Whether it is the name of a file that is made from the manifest after a recording's end, and may be made anew."""
    return name in CONVENIENCES or _INIT.fullmatch(name) is not None


def is_litter(name: str) -> bool:
    """Whether a file or folder (with or without its `/`) is what a desktop leaves on every card, by its name."""
    return _LITTER.fullmatch(name.removesuffix("/")) is not None


def init_name(epoch: int) -> str:
    """The init segment of an epoch: `init.mp4`, `init-2.mp4`, …"""
    return "init.mp4" if epoch == 1 else f"init-{epoch}.mp4"


def segment_name(segment: int, *, encrypted: bool) -> str:
    """The file of a segment, counted from 1: `000001.m4s`, and `.age` behind it where it is encrypted."""
    return f"{segment:06d}.m4s" + (ENCRYPTED if encrypted else "")


def sealed_name(sealed: int) -> str:
    """The file of a recording's n-th sealed text (a marker's label, the officer's id), counted from 1."""
    return f"sealed-{sealed:06d}.json{ENCRYPTED}"


def sealed_number(name: str) -> int | None:
    """Which of a recording's sealed texts a file of that name holds; None for any other name."""
    found = _SEALED.fullmatch(name)
    number = int(found[1]) if found else 0
    return number if number and sealed_name(number) == name else None


def archive_name(number: int) -> str:
    """What the n-th journal file is called once a newer one has taken its place; see ARCHIVE."""
    return f"journal-{number:06d}.jsonl"
