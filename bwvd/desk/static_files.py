"""Files of the page that are the same for everybody, below an address that names their contents.

A browser keeps them: it asks for each once, and not whether it has changed at every page. Another version of bwvd has
another address.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable

PREFIX = "/static/"
FOREVER = "private, max-age=31536000, immutable"


@functools.cache
def address() -> str:
    """`/static/DIGEST`, below which they are."""
    digest = hashlib.sha256()
    for name, file in sorted(_files(resources.files("bwvd.desk") / "static", "")):
        content = file.read_bytes()
        digest.update(f"{len(name)}:{name}{len(content)}:".encode() + content)
    return PREFIX + digest.hexdigest()[:16]


def _files(folder: Traversable, before: str) -> Iterator[tuple[str, Traversable]]:
    for one in folder.iterdir():
        if one.is_dir():
            yield from _files(one, f"{before}{one.name}/")
        else:
            yield before + one.name, one
