"""What the page of a recording asks for: in the log first, never kept by the browser, and no more than there is."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyrage
import pytest
import trio
import trio.testing

from bwvd.desk.plain import Owner, PlainSegments
from bwvd.desk.recording import Opened
from bwvd.desk.timeline import Line, signed_lines
from bwvd.evidence.format.layout import MANIFEST
from bwvd.evidence.format.line_reader import Readable
from bwvd.evidence.keys.age import AgeSealer
from bwvd.evidence.verify.folder import DirectoryFolder
from tests.evidence.export.test_track import walked
from tests.support.desk import export_proof
from tests.support.desk_page import ORIGIN, desk_of
from tests.support.evidence_folder import make_recording, make_storage

PARTS = (
    "",
    "/timeline.json",
    "/verdict.json",
    "/others.json",
    "/track.json",
    "/playlist.m3u8",
    "/init-1.mp4",
    "/seg/1.m4s",
    "/frames/1.json",
)


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "storage")


def address(folder: Path) -> str:
    return f"/r/{folder.name.split('-', 1)[1].rsplit('-', 1)[0]}/{folder.name}"


@pytest.mark.parametrize("part", PARTS)
async def test_nothing_is_shown_of_which_the_log_says_nothing(storage: Path, part: str) -> None:
    """Of whichever part is asked for first; and the browser keeps none of it."""
    folder = make_recording(storage, gap_after=1)
    async with desk_of(storage) as asked:
        answer = await asked.client.get(address(folder) + part)
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        viewed = [detail for event, detail in await asked.log() if event == "viewed"]
        assert [detail["recording"] for detail in viewed] == [folder.name]


async def test_each_segment_of_the_playlist_is_there(storage: Path) -> None:
    """Invariant 4: and says where there is nothing to see of it."""
    folder = make_recording(storage, gap_after=1)
    async with desk_of(storage) as asked:
        base = address(folder)
        playlist = (await asked.client.get(f"{base}/playlist.m3u8")).text
        named = [line for line in playlist.splitlines() if line and not line.startswith("#")]
        named += re.findall(r'MAP:URI="([^"]+)"', playlist)
        why = {}
        for name in named:
            answer = await asked.client.get(f"{base}/{name}")
            assert answer.status_code == 200, name
            assert answer.headers["content-type"] == "video/mp4"
            why[name] = answer.headers.get("bwvd-why", "")
        assert [reason for name, reason in why.items() if name.startswith("hold/")] == ["nothing"]
        assert {reason for name, reason in why.items() if not name.startswith("hold/")} == {""}


async def test_the_timeline_comes_with_its_own_playlist(storage: Path) -> None:
    """Read at one moment: where a recording grows, a playlist that was asked for later would know more, or less."""
    folder = make_recording(storage, gap_after=1)
    async with desk_of(storage) as asked:
        line = (await asked.client.get(f"{address(folder)}/timeline.json")).json()
        assert line["playlist"] == (await asked.client.get(f"{address(folder)}/playlist.m3u8")).text


async def test_who_asks_while_it_is_read_waits_for_that(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page asks for its timeline and its first frame at once: the manifest is read once."""
    folder = make_recording(storage)
    read: list[str] = []

    def counted(file: Readable) -> Iterator[Line]:
        read.append("")
        return signed_lines(file)

    monkeypatch.setattr("bwvd.desk.recording.signed_lines", counted)
    async with desk_of(storage) as asked:
        found = await asked.desk.find(*address(folder).split("/")[2:])
        opened = Opened()
        async with trio.open_nursery() as nursery:
            for anew in (True, False, True):
                nursery.start_soon(partial(opened.of, asked.desk, found, anew=anew))
        assert read == [""]
        await opened.of(asked.desk, found)
        assert read == [""]
        await opened.of(asked.desk, found, anew=True)
        assert read == ["", ""]


async def test_what_has_no_manifest_is_verified_all_the_same(storage: Path) -> None:
    """Invariant 7: a folder that somebody has emptied has a verdict, and its page says it."""
    folder = make_recording(storage)
    (folder / MANIFEST).unlink()
    async with desk_of(storage) as asked:
        assert (await asked.client.get(f"{address(folder)}/timeline.json")).status_code == 404
        told = await asked.verdict(address(folder))
    assert told["verdict"] not in ("authentic", "recovered", "excerpt")
    assert told["chain"]
    assert "holds" not in {link["standing"] for link in told["chain"]}  # of nothing nothing holds


async def test_another_camera_is_another_device(tmp_path: Path) -> None:
    """Not the recording before, which overlaps by its pre-event part; not a copy; each camera once for a recording."""
    own = make_recording(make_storage(tmp_path / "own"))
    make_recording(tmp_path / "own", 2)
    shutil.copytree(tmp_path / "own", tmp_path / "copy")
    other = make_recording(make_storage(tmp_path / "other", device="BWV-0002"), device="BWV-0002")
    async with desk_of(tmp_path) as asked:
        others = (await asked.client.get(f"{address(own)}/others.json")).json()["others"]
    assert [one["name"] for one in others] == [other.name]


async def test_the_page_says_what_its_first_frame_needs_where_it_begins_with_it(storage: Path) -> None:
    folder = make_recording(storage)
    async with desk_of(storage) as asked:
        for query, first in (("", True), ("?t=1.5", False), ("?altered=1", False)):
            text = (await asked.client.get(address(folder) + query)).text
            named = re.findall(r'rel="preload" as="fetch" crossorigin href="([^"]+)"', text)
            parts = ["timeline.json", *(["init-1.mp4", "seg/1.m4s"] if first else [])]
            assert named == [f"{address(folder)}/{part}" for part in parts]


async def test_what_reads_behind_a_page_waits_until_its_first_frame_is_there(storage: Path) -> None:
    """For as long as the page has not asked for the verdict, or for a second."""
    folder = make_recording(storage)
    async with desk_of(storage) as asked:
        pause = asked.desk.background.pause
        through = trio.Event()

        async def read() -> None:
            await trio.to_thread.run_sync(pause.wait)
            through.set()

        pause.wait()  # nothing waits
        await asked.client.get(address(folder))
        pause.wait(1)  # the page's own thread is never held up
        asked.nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert not through.is_set()
        await asked.client.get(f"{address(folder)}/verdict.json")
        with trio.fail_after(20):
            await through.wait()
        pause.begin()
        with trio.fail_after(20):
            await trio.to_thread.run_sync(pause.wait)  # nobody ends it


async def test_four_recordings_keep_no_more_in_memory_than_one(storage: Path) -> None:
    """Plain segments of all of them together; those of one that is read anew are forgotten."""
    kept = PlainSegments(1000)
    first, second = Owner(), Owner()
    for number in range(4):
        kept.keep(first, number, bytes(300))
    kept.keep(second, 3, bytes(300))
    assert [kept.get(first, number) is not None for number in range(4)] == [False, False, True, True]
    kept.keep(second, 3, bytes(301))
    assert kept.get(first, 2) is not None
    kept.forget(first)
    assert kept.get(first, 3) is None
    kept.keep(second, 9, bytes(5000))  # one is kept however large it is
    assert (kept.get(second, 3), kept.get(second, 9)) == (None, bytes(5000))
    folder = make_recording(storage)
    async with desk_of(storage) as asked:
        for part in ("/timeline.json", "/seg/1.m4s", "/timeline.json"):
            await asked.client.get(address(folder) + part)
        opened: Opened = asked.client._transport.app.state.opened  # type: ignore[attr-defined]  # httpx names none
        assert len(opened.media) == 1
        assert not opened.plain._kept


async def test_nothing_stays_decrypted_of_a_recording_that_was_closed_while_it_was_read(storage: Path) -> None:
    """Somebody's request was under way, in a thread, when the recording was read anew."""
    folder = make_recording(storage)
    async with desk_of(storage) as asked:
        await asked.client.get(address(folder) + "/seg/1.m4s")
        opened: Opened = asked.client._transport.app.state.opened  # type: ignore[attr-defined]  # httpx names none
        (media,) = opened.media.values()
        assert opened.plain._kept
        media.close()
        with DirectoryFolder(folder) as files:
            assert media.segment(files, 1) is not None
        assert not opened.plain._kept
        assert opened.plain._bytes == 0


@pytest.mark.parametrize(
    "part",
    ["/seg/9999.m4s", "/init-0.mp4", "/init-7.mp4", "/hold/0-1.m4s", "/hold/1-0.m4s", "/hold/x.m4s", "/seg/-1.m4s",
     f"/seg/{'9' * 5000}.m4s", f"/init-{'9' * 5000}.mp4", f"/frames/{'9' * 5000}.json",
     "/hold/999999999999999999-999999999999999999.m4s", "/frames/x.json", "/..%2f..%2fetc%2fpasswd"],
)  # fmt: skip
async def test_what_is_not_in_the_recording_is_not_there(storage: Path, part: str) -> None:
    folder = make_recording(storage)
    async with desk_of(storage) as asked:
        assert (await asked.client.get(address(folder) + part)).status_code == 404


async def test_without_an_identity_no_byte_of_it_is_shown(storage: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    folder = make_recording(storage, sealer=AgeSealer([str(identity.to_public())]), label="a door", officer="4711")
    async with desk_of(storage) as asked:
        base = address(folder)
        told = (await asked.client.get(f"{base}/timeline.json")).json()
        assert told["sealed"] is True
        assert (told["marks"][0]["text"], told["officers"][0]["text"]) == ("", "")
        answer = await asked.client.get(f"{base}/seg/1.m4s")
        assert answer.headers["bwvd-why"] == "sealed"
        assert (await asked.client.get(f"{base}/frames/1.json")).json() == {"frames": []}
    async with desk_of(storage, identities=[identity]) as asked:
        told = (await asked.client.get(f"{base}/timeline.json")).json()
        assert told["sealed"] is False
        assert told["marks"][0]["text"] == "a door"
        assert "bwvd-why" not in (await asked.client.get(f"{base}/seg/1.m4s")).headers


async def test_a_recording_that_grows_is_read_anew(storage: Path) -> None:
    """Whoever opens its page again sees how far it has come."""
    folder = make_recording(storage, close="")
    manifest = (folder / MANIFEST).read_bytes().splitlines(keepends=True)
    (folder / MANIFEST).write_bytes(b"".join(manifest[:-4]))
    async with desk_of(storage) as asked:
        base = address(folder)
        before = (await asked.client.get(f"{base}/timeline.json")).json()
        (folder / MANIFEST).write_bytes(b"".join(manifest))
        after = (await asked.client.get(f"{base}/timeline.json")).json()
        assert after["length_us"] > before["length_us"]
        assert after["end"] == {"kind": "none", "reason": ""}


async def test_no_more_than_four_stand_beside_each_other(storage: Path) -> None:
    folders = [make_recording(storage, serial) for serial in range(1, 7)]
    async with desk_of(storage) as asked:
        query = "&".join(f"r={address(folder)[3:]}" for folder in folders)
        answer = await asked.client.get(f"/several?{query}")
        assert answer.text.count('class="pane"') == 4
        viewed = [detail["recording"] for event, detail in await asked.log() if event == "viewed"]
        assert viewed == [folder.name for folder in folders[:4]]
        assert (await asked.client.get("/several")).status_code == 404
        assert (await asked.client.get("/several?r=a/b")).status_code == 404


async def test_what_an_excerpt_withholds_is_not_called_gone(storage: Path, tmp_path: Path) -> None:
    """Invariant 7: its declaration says that it was left out, and the verification believes it."""
    folder = make_recording(storage, seconds=6)
    export_proof(folder, tmp_path / "excerpt.zip", from_s=2.5, to_s=3.5)
    async with desk_of(tmp_path / "excerpt.zip") as asked:
        base = address(folder)
        before = (await asked.client.get(f"{base}/timeline.json")).json()
        assert [span[3] for span in before["spans"]] == ["no_file", "no_file", "", "", "no_file", "no_file"]
        told: dict[str, Any] = {"known": False}
        with trio.fail_after(30):
            while not told["known"]:
                told = (await asked.client.get(f"{base}/verdict.json")).json()
                await trio.sleep(0.02)
        assert (told["verdict"], told["excerpt"]) == ("excerpt", {"first": 3, "last": 4, "of": 6})
        why = [(await asked.client.get(f"{base}/seg/{n}.m4s")).headers.get("bwvd-why", "") for n in range(1, 7)]
        assert why == ["withheld", "withheld", "", "", "withheld", "withheld"]


async def test_a_recording_is_verified_again_when_a_person_asks(tmp_path: Path) -> None:
    """Invariant 7: a verdict is of the moment of its verification, and a segment may be altered behind it."""
    folder = make_recording(make_storage(tmp_path / "card"))
    place = f"/r/BWV-0001/{folder.name}"
    segment = folder / "000001.m4s"
    whole = segment.read_bytes()
    async with desk_of(tmp_path / "card") as asked:
        for data, verdict in ((whole, "authentic"), (whole[:-1] + b"x", "altered"), (whole, "authentic")):
            segment.write_bytes(data)
            answer = await asked.client.post(f"{place}/verify", headers={"origin": ORIGIN})
            assert (answer.status_code, answer.headers["location"]) == (303, place)
            assert (await asked.verdict(place))["verdict"] == verdict
        assert [event for event, _ in await asked.log()].count("verifying") == 3
        assert (await asked.client.post(f"{place}/verify")).status_code == 403


async def test_where_it_was_is_drawn_and_told(storage: Path) -> None:
    """Invariant 9: to each moment of the recording the place that counted then, and where it was lost none."""
    folder = make_recording(storage, located=walked())
    async with desk_of(storage) as asked:
        found = (await asked.client.get(f"{address(folder)}/track.json")).json()
        assert found["drawing"].startswith("<svg ")
        assert [[point[0] for point in run] for run in found["runs"]] == [[400_000, 1_400_000, 2_400_000]]
        assert found["losses"] == [3_400_000]
        assert [mark[0] for mark in found["marks"]] == ["start", "press", "end"]
        assert found["marks"][1][4] == "52.331000, -4.893300 ±5 m"
        german = await asked.client.get(f"{address(folder)}/track.json", headers={"accept-language": "de"})
        assert ">Auslösung<" in german.json()["drawing"]


async def test_positions_that_nobody_opens_are_counted_and_none_is_there(storage: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    sealed = make_recording(storage, located=walked(), sealer=AgeSealer([str(identity.to_public())]))
    plain = make_recording(storage, 2)
    async with desk_of(storage) as asked:
        found = (await asked.client.get(f"{address(sealed)}/track.json")).json()
        assert (found["drawing"], found["sealed"], found["runs"]) == ("", 4, [])
        found = (await asked.client.get(f"{address(plain)}/track.json")).json()
        assert (found["drawing"], found["sealed"], found["runs"]) == ("", 0, [])
    async with desk_of(storage, identities=[identity]) as asked:
        found = (await asked.client.get(f"{address(sealed)}/track.json")).json()
        assert found["drawing"].startswith("<svg ")
        assert found["sealed"] == 0
