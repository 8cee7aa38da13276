"""A recording's files inside a proof's ZIP.

Apart from `folder`, because a card holds no proofs: `zipfile` is a tenth of what a short command would wait for.
"""

from __future__ import annotations

import errno
import io
import os
import zipfile
import zlib
from typing import IO, Any

from bwvd.evidence.flash.regular_file import kind_of
from bwvd.evidence.format.file_names import original
from bwvd.text import one_line


class ZipFolder:
    """A folder inside an open ZIP.

    Args:
        prefix: the folder's name in the archive, with its `/`.
    """

    def __init__(self, archive: zipfile.ZipFile, prefix: str, path: str) -> None:
        self.path = path
        self._archive = archive
        self._files: dict[str, list[zipfile.ZipInfo]] = {}
        for info in archive.infolist():
            if info.filename.startswith(prefix) and info.filename != prefix:
                # A ZIP takes no name that is no text: a proof has it as records write it.
                self._files.setdefault(original(info.filename[len(prefix) :]), []).append(info)

    def names(self) -> dict[str, str]:
        return {name: self._odd(name, infos) for name, infos in self._files.items()}

    def size(self, name: str) -> int:
        return self._info(name).file_size

    def open(self, name: str) -> io.RawIOBase:
        info = self._info(name)
        try:
            return _Member(self._archive.open(info))
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise OSError(errno.EIO, f"can't be read from the archive: {one_line(error)}", name) from None

    def _info(self, name: str) -> zipfile.ZipInfo:
        infos = self._files.get(name)
        if not infos:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        if odd := self._odd(name, infos):
            raise OSError(errno.EPERM, f"{odd}, not a regular file", name)
        return infos[0]

    @staticmethod
    def _odd(name: str, infos: list[zipfile.ZipInfo]) -> str:
        if len(infos) > 1:
            return "two files of one name"
        if "/" in name:
            return "a folder"
        return kind_of(infos[0].external_attr >> 16)


class _Member(io.RawIOBase):
    """A file in an archive, whose damage is an OSError as a damaged medium's would be."""

    def __init__(self, member: IO[bytes]) -> None:
        self._member = member

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        try:
            data = self._member.read(len(view))
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
            raise OSError(errno.EIO, f"damaged in the archive: {one_line(error)}") from None
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._member.close()
        super().close()
