"""Progress bars on stderr, for work on evidence that takes long and that a person watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

FROM_BYTES = 64_000_000  # less is over before a bar could be read

ProgressCall = Callable[[int], None]


def size_of(paths: Sequence[str]) -> int:
    """Bytes below the paths, for the progress bar."""
    total = 0
    for path in map(Path, paths):
        files = path.rglob("*") if path.is_dir() else [path]
        for file in files:
            try:
                total += file.lstat().st_size
            except OSError:
                continue
    return total


@contextmanager
def progress_bar(total: int, what: str, *, quiet: bool = False) -> Iterator[ProgressCall | None]:
    """A bar on stderr for long work that a person watches."""
    if quiet or total < FROM_BYTES or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # here: a pipe, a small storage and a failure need none of it
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)

        def advance(size: int) -> None:
            bar.advance(task, size)

        yield advance
