# ruff: noqa: S101  # a conformance suite is made of asserts
"""The checks of every `Volume`, the real one and the virtual one, and any that somebody else writes.

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_my_volume(check): check(Subject(my_volume, my_plant))

Each check needs an empty volume of its own. None needs pytest.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass

from bwvd.evidence.flash.volume import Volume


@dataclass(frozen=True, slots=True)
class Subject:
    """The volume under test, empty, and the means to put something foreign into it."""

    volume: Volume
    plant: Callable[[str, str], None]  # a path and "link" (to anything that exists outside) or "fifo"


def _refusal(action: Callable[..., object], path: str, *more: str | int) -> int | None:
    """The errno of the OSError that `action(path, …)` raises; it must name the path."""
    try:
        action(path, *more)
    except OSError as error:
        refusal = error
    else:
        raise AssertionError(f"no OSError for {path!r}")
    assert refusal.filename == path, f"the error names {refusal.filename!r}, not {path!r}: {refusal}"
    return refusal.errno


def _put(volume: Volume, path: str, content: bytes) -> None:
    file = volume.create(path)
    file.write(content)
    file.sync()
    file.close()
    volume.sync_dir(path.rpartition("/")[0])


def what_is_written_is_read(subject: Subject) -> None:
    volume = subject.volume
    file = volume.create("a")
    file.write(b"one ")
    file.write(bytearray(b"two "))
    file.write(memoryview(b"three"))
    file.write(b"")
    assert volume.size("a") == 13, "a write is seen before it is synced"
    assert volume.sizes("") == {"a": 13}
    file.sync()
    file.close()
    assert volume.read("a") == b"one two three"
    assert volume.read("a", 4) == b"two three"
    assert volume.read("a", 4, 3) == b"two"
    assert volume.read("a", 8, 100) == b"three"
    assert volume.read("a", 13) == b""
    assert volume.read("a", 99, 5) == b""
    assert volume.read("a", 0, 0) == b""


def appending_goes_on_at_the_end(subject: Subject) -> None:
    volume = subject.volume
    _put(volume, "a", b"begin")
    file = volume.append("a")
    file.write(b" end")
    file.sync()
    file.close()
    assert volume.read("a") == b"begin end"


def a_large_write_is_whole(subject: Subject) -> None:
    content = bytes(range(256)) * 12_289  # 3 MiB and a little: more than one block, page or pipe
    _put(subject.volume, "large", content)
    assert subject.volume.size("large") == len(content)
    assert subject.volume.read("large") == content


def a_name_is_created_once(subject: Subject) -> None:
    volume = subject.volume
    _put(volume, "a", b"first")
    assert _refusal(volume.create, "a") == errno.EEXIST
    volume.make_dir("d")
    assert _refusal(volume.make_dir, "d") == errno.EEXIST
    assert _refusal(volume.create, "d") == errno.EEXIST
    assert _refusal(volume.make_dir, "a") == errno.EEXIST
    assert volume.read("a") == b"first"


def what_is_absent_is_named(subject: Subject) -> None:
    volume = subject.volume
    for action in (volume.append, volume.read, volume.size, volume.remove):
        assert _refusal(action, "x") == errno.ENOENT
    for look in (volume.names, volume.sizes, volume.sync_dir):
        assert _refusal(look, "x") == errno.ENOENT
    assert _refusal(volume.rename, "x", "y") == errno.ENOENT
    assert _refusal(volume.create, "x/y") == errno.ENOENT
    assert _refusal(volume.make_dir, "x/y") == errno.ENOENT


def a_file_is_no_folder(subject: Subject) -> None:
    volume = subject.volume
    _put(volume, "a", b"")
    volume.make_dir("d")
    assert _refusal(volume.names, "a") == errno.ENOTDIR
    assert _refusal(volume.sizes, "a") == errno.ENOTDIR
    assert _refusal(volume.create, "a/b") == errno.ENOTDIR
    for action in (volume.append, volume.read, volume.size):
        assert _refusal(action, "d") == errno.EPERM


def names_are_sorted_and_tell_folders(subject: Subject) -> None:
    volume = subject.volume
    assert volume.names("") == []
    volume.make_dir("recordings")
    volume.make_dir("recordings/one")
    _put(volume, "recordings/one/b", b"")
    _put(volume, "recordings/one/a", b"")
    _put(volume, "journal", b"")
    assert volume.names("") == ["journal", "recordings/"]
    assert volume.names("recordings") == ["one/"]
    assert volume.names("recordings/one") == ["a", "b"]
    assert volume.sizes("recordings/one") == {"a": 0, "b": 0}
    assert volume.sizes("recordings") == {}
    for path in ("", "recordings", "recordings/one"):
        volume.sync_dir(path)


def renaming_replaces(subject: Subject) -> None:
    volume = subject.volume
    _put(volume, "new", b"new")
    _put(volume, "old", b"old")
    volume.rename("new", "old")
    volume.rename("old", "other")
    volume.rename("other", "other")
    volume.make_dir("d")
    volume.rename("other", "d/moved")
    volume.sync_dir("")
    volume.sync_dir("d")
    assert volume.names("") == ["d/"]
    assert volume.read("d/moved") == b"new"
    _put(volume, "file", b"")
    assert _refusal(volume.rename, "file", "d") == errno.EISDIR
    volume.rename("d", "e")
    assert volume.read("e/moved") == b"new"
    volume.make_dir("empty")
    assert _refusal(volume.rename, "empty", "e") == errno.ENOTEMPTY
    assert _refusal(volume.rename, "empty", "file") == errno.ENOTDIR


def removing_takes_files_and_empty_folders(subject: Subject) -> None:
    volume = subject.volume
    volume.make_dir("d")
    _put(volume, "d/a", b"x")
    assert _refusal(volume.remove, "d") == errno.ENOTEMPTY
    volume.remove("d/a")
    assert volume.names("d") == []
    volume.remove("d")
    volume.sync_dir("")
    assert volume.names("") == []
    _put(volume, "d", b"a file now")
    assert volume.read("d") == b"a file now"


def an_open_file_outlives_its_name(subject: Subject) -> None:
    volume = subject.volume
    file = volume.create("a")
    volume.remove("a")
    file.write(b"x")
    file.sync()
    file.close()
    file.close()
    assert volume.names("") == []
    assert _refusal(lambda _: file.write(b"y"), "a") == errno.EBADF


def nothing_outside_can_be_reached(subject: Subject) -> None:
    volume = subject.volume
    volume.make_dir("d")
    for path in ("../x", "/x", "d/../x", "d/./x", "d//x", "..", ".", "", "x\0y"):
        for action in (volume.create, volume.append, volume.read, volume.size, volume.remove, volume.make_dir):
            assert _refusal(action, path) == errno.EINVAL
        assert _refusal(volume.reserve, path, 1) == errno.EINVAL
        assert _refusal(volume.rename, path, "y") == errno.EINVAL
    for path in ("..", "/", "d/..", "d/"):
        for look in (volume.names, volume.sizes, volume.sync_dir):
            assert _refusal(look, path) == errno.EINVAL


def planted_things_are_not_opened(subject: Subject) -> None:
    volume = subject.volume
    volume.make_dir("d")
    for kind, error in (("link", errno.ELOOP), ("fifo", errno.EPERM)):
        path = f"d/{kind}"
        subject.plant(path, kind)
        assert _refusal(volume.create, path) == errno.EEXIST
        for action in (volume.append, volume.read, volume.size):
            assert _refusal(action, path) == error
        assert _refusal(volume.reserve, path, 1) == error
        below = errno.ELOOP if kind == "link" else errno.ENOTDIR
        assert _refusal(volume.names, path) == below
        assert _refusal(volume.create, f"{path}/x") == below
    assert volume.names("d") == ["fifo", "link"]
    assert volume.sizes("d") == {}
    volume.remove("d/link")
    volume.remove("d/fifo")
    assert volume.names("d") == []


def a_reserve_has_the_size_asked_for(subject: Subject) -> None:
    volume = subject.volume
    volume.reserve("r", 1 << 20)
    volume.sync_dir("")
    assert volume.size("r") == 1 << 20
    volume.reserve("r", 1 << 18)
    assert volume.size("r") == 1 << 18
    volume.reserve("r", 0)
    assert volume.size("r") == 0
    assert 0 < volume.free_bytes() <= volume.total_bytes()


def a_reserve_that_does_not_fit_changes_nothing(subject: Subject) -> None:
    volume = subject.volume
    volume.reserve("r", 4096)
    assert _refusal(volume.reserve, "r", volume.total_bytes() + (1 << 20)) in (errno.ENOSPC, errno.EFBIG)
    assert volume.size("r") == 4096


def files_are_counted_or_not_at_all(subject: Subject) -> None:
    """Always or never; the number itself also moves by what others do on the same file system."""
    volume = subject.volume
    before = volume.free_files()
    _put(volume, "a", b"")
    volume.make_dir("d")
    after = volume.free_files()
    assert (before is None) == (after is None)
    assert before is None or (after is not None and before >= 0 and after >= 0)


CHECKS: tuple[Callable[[Subject], None], ...] = (
    what_is_written_is_read,
    appending_goes_on_at_the_end,
    a_large_write_is_whole,
    a_name_is_created_once,
    what_is_absent_is_named,
    a_file_is_no_folder,
    names_are_sorted_and_tell_folders,
    renaming_replaces,
    removing_takes_files_and_empty_folders,
    an_open_file_outlives_its_name,
    nothing_outside_can_be_reached,
    planted_things_are_not_opened,
    a_reserve_has_the_size_asked_for,
    a_reserve_that_does_not_fit_changes_nothing,
    files_are_counted_or_not_at_all,
)
