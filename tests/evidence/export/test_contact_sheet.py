"""Contact sheets: what stands on the page, read by a stock parser, and what becomes of damaged recordings."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Iterable
from html.parser import HTMLParser
from pathlib import Path

import av
import pyrage
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bwvd.cli.main import main
from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.export import narrative as narrative_of
from bwvd.evidence.export.contact_sheet_page import Cell, Page, Row, Where, render
from bwvd.evidence.export.private_text import PrivateText, Reader
from bwvd.evidence.format import records
from bwvd.evidence.keys.age import AgeSealer
from tests.support.desk import export_sheet
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer

SCRIPTS = {
    "arabic": "باب مفتوح في الطابق الثاني",
    "chinese": "嫌疑人从后门离开",
    "hindi": "दरवाज़ा क्\u200dषेत्र",
    "emoji": "👨\u200d👩\u200d👧 🏃🏽\u200d♀️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "persian": "می\u200cخواهم",  # noqa: RUF001  it is Persian
    "markup": "<script>alert(1)</script> & \"quotes\" 'single' </bdi>",
}


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "storage")


class Seen(HTMLParser):
    """What stands on a page."""

    def __init__(self, page: str | Path | bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []  # tag, name, value
        self.images: list[tuple[str, bytes]] = []  # alternative, JPEG
        self.labels: list[str] = []  # what people wrote
        self.captions: list[list[str]] = []  # the lines below each picture
        self.rows: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed((page if isinstance(page, bytes) else Path(page).read_bytes()).decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "img"):
            self._open.append(tag)
        if tag == "img":
            given = dict(attrs)
            kind, _, data = (given["src"] or "").partition(";base64,")
            assert kind == "data:image/jpeg"
            self.images.append((given["alt"] or "", base64.b64decode(data)))
        elif tag == "figcaption":
            self.captions.append([])
        elif tag == "span":
            self.captions[-1].append("")
        elif tag == "tr":
            self.rows.append("")
        elif tag == "bdi":
            assert dict(attrs) == {"lang": "", "dir": "auto"}
            self.labels.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.words.append(data)
        if "bdi" in self._open:
            self.labels[-1] += data
        if "span" in self._open:
            self.captions[-1][-1] += data
        if "td" in self._open:
            self.rows[-1] += f" {data}"

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_a_sheet_says_what_it_shows(storage: Path, tmp_path: Path) -> None:
    folder = make_recording(storage)
    sheet = export_sheet(folder, tmp_path / "out.html")
    assert (sheet.pictures, sheet.notes) == (5, [])  # one a second, and the press
    seen = Seen(sheet.path)
    for said in (
        folder.name,
        "authentic signed by the key SHA256:",
        "BWV-0001, recording number 1",
        "Officer 4711",
        "2026-11-22T07:15:05.000Z (gpio:record); the clock was synchronised",
        "1.984 s of the 2 s asked, without audio: the camera had just started",
        "00:04.000, 4 segments, 40 frames",
        "h264 96x64 10/s by libx264",
        "in the clear",
        hashlib.sha512((folder / "manifest.jsonl").read_bytes()).hexdigest(),
    ):
        assert said in seen.text
    assert seen.captions == [
        ["2026-11-22T07:15:03.016Z", "00:00.000 · press -1.984 s"],
        ["2026-11-22T07:15:04.016Z", "00:01.000 · press -0.984 s", "Marker: a door"],
        ["2026-11-22T07:15:04.916Z", "00:01.900 · press -0.084 s", "Press"],
        ["2026-11-22T07:15:05.016Z", "00:02.000 · press +0.016 s"],
        ["2026-11-22T07:15:06.016Z", "00:03.000 · press +1.016 s"],
    ]
    assert [alternative for alternative, _ in seen.images][1:3] == [
        "Picture at 00:01.000, marker a door",
        "Picture at 00:01.900, the press",
    ]
    assert any("00:01.984" in row and "pressed: gpio:record" in row for row in seen.rows)
    assert (tmp_path / "out.html").stat().st_mode & 0o777 == 0o640


def test_the_same_recording_gives_the_same_bytes(storage: Path, tmp_path: Path) -> None:
    folder = make_recording(storage, gap_after=1)
    pages = [Path(export_sheet(folder, tmp_path / f"{n}.html").path).read_bytes() for n in range(2)]
    assert pages[0] == pages[1]


def test_the_page_needs_nothing_and_runs_nothing(storage: Path, tmp_path: Path) -> None:
    """Also where a label is markup: it is text."""
    seen = Seen(export_sheet(make_recording(storage, label=SCRIPTS["markup"]), tmp_path / "out.html").path)
    assert {"script", "link", "iframe", "object", "form", "a"} & set(seen.tags) == set()
    assert [name for _, name, _ in seen.attributes if name.startswith("on") or name == "style"] == []
    assert all(value.startswith("data:image/jpeg;") for _, name, value in seen.attributes if name in ("src", "href"))
    [policy] = [value for tag, _, value in seen.attributes if tag == "meta" and value.startswith("default-src")]
    style = re.search(r"<style>(.*)</style>", (tmp_path / "out.html").read_text(), re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert (
        policy == f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    assert ("html", "lang", "en") in seen.attributes


@pytest.mark.parametrize("label", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_labels_of_every_script_stand_as_they_were_written(storage: Path, tmp_path: Path, label: str) -> None:
    seen = Seen(export_sheet(make_recording(storage, label=label), tmp_path / "out.html").path)
    assert seen.labels == ["4711", label, "4711", label]  # the head, below its picture, and what happened
    assert f"Picture at 00:01.000, marker {label}" in [alternative for alternative, _ in seen.images]


@pytest.mark.parametrize("evil", ["\u202e", "\u2069", "\x00", "\x1b", "\ud800", "\u2028", "\x9b"])
def test_what_turns_the_writing_or_is_no_text_is_shown_by_its_number(evil: str) -> None:
    page = Page("id", True, "authentic", "", rows=[Row("00:00.000", "", "marker:", PrivateText(f"a{evil}b"))])
    assert Seen(render(page)).labels == [f"a\\u{ord(evil):04x}b"]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_text(text: str) -> None:
    """Whatever stands in a recording: the page's elements stay those of the page."""
    evil, plain = (Seen(render(filled(given))) for given in (f"x{text}", "x"))
    assert evil.tags == plain.tags
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", evil.text)


def filled(text: str) -> Page:
    """A page with one text wherever one may stand."""
    cell = Cell(text, text, text, [PrivateText(text), PrivateText(unknown=text), None], instead=text)
    rows = [Row(text, text, text, PrivateText(text))]
    return Page(
        text,
        False,
        text,
        text,
        [text],
        [(text, [text, PrivateText(text)])],
        text,
        [cell],
        rows,
        text,
        text,
        Where("", [], [text]),
    )


def test_long_labels_have_an_end(storage: Path, tmp_path: Path) -> None:
    seen = Seen(export_sheet(make_recording(storage, label="x" * 5000), tmp_path / "out.html").path)
    below, told = (label for label in seen.labels if label.startswith("x"))
    assert below == "x" * 160 + "…"
    assert told == "x" * 1000 + "… (4000 more characters)"


def test_each_picture_is_that_of_its_moment(storage: Path, tmp_path: Path) -> None:
    """The pixels of a thumbnail are those of the frame that an ordinary decoder shows at its time, but for JPEG."""
    folder = make_recording(storage, grouped=3, bframes=2)
    with av.open(str(folder / "index.m3u8"), "r") as film:
        frames = list(film.decode(video=0))
    seen = Seen(export_sheet(folder, tmp_path / "out.html").path)

    def planes(frame: av.VideoFrame, width: int = 338, height: int = 225) -> bytes:
        small = frame.reformat(width, height, "gray", interpolation="AREA", dst_color_range="JPEG")
        plane = small.planes[0]
        return b"".join(bytes(plane)[line * plane.line_size :][:width] for line in range(height))

    for column, number in enumerate((0, 10, 19, 20)):  # 19 is shown at the press
        with av.open(io.BytesIO(seen.images[column][1]), mode="r", format="jpeg_pipe") as container:
            shown = planes(next(container.decode(video=0)))
        errors = (
            [sum((a - b) ** 2 for a, b in zip(shown, planes(frame), strict=True)) for frame in frames[number - 1 :][:3]]
            if number
            else [sum((a - b) ** 2 for a, b in zip(shown, planes(frame), strict=True)) for frame in frames[:2]]
        )
        nearest = errors.index(min(errors))
        assert nearest == (1 if number else 0), (number, errors)


@pytest.mark.parametrize("sealed", [False, True])
def test_sealed_recordings_with_their_identity(storage: Path, tmp_path: Path, sealed: bool) -> None:
    identity = pyrage.x25519.Identity.generate()
    folder = make_recording(storage, sealer=AgeSealer([str(identity.to_public())]) if sealed else None)
    if sealed:
        with pytest.raises(ExportRefused, match="--identity"):
            export_sheet(folder, tmp_path / "out.html")
        assert not (tmp_path / "out.html").exists()
    sheet = export_sheet(folder, tmp_path / "out.html", [identity] if sealed else [])
    assert sheet.pictures == 5
    assert Seen(sheet.path).labels == ["4711", "a door", "4711", "a door"]


def test_a_strangers_identity_gives_words_instead_of_pictures(storage: Path, tmp_path: Path) -> None:
    identity, stranger = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    folder = make_recording(storage, sealer=AgeSealer([str(identity.to_public())]))
    sheet = export_sheet(folder, tmp_path / "out.html", [stranger])
    assert sheet.pictures == 0
    assert len(sheet.notes) == 4
    seen = Seen(sheet.path)
    assert "a door" not in seen.text
    assert "worn by (sealed, and opened by none of the identities)" in seen.text


def test_epochs_of_other_sizes_and_gaps_stand_on_one_sheet(storage: Path, tmp_path: Path) -> None:
    folder = make_recording(storage, other_camera_from=3, gap_after=1)
    sheet = export_sheet(folder, tmp_path / "out.html")
    seen = Seen(sheet.path)
    assert sheet.pictures == 5
    assert "Gap of 1.000 s: no video, no audio (camera lost)" in seen.text
    assert "Missing 1.000 s of video and 1.000 s of audio in 1 gap" in seen.text
    assert any("no video and no audio for 1.000 s, to 00:03.000, 10 frames: camera lost" in row for row in seen.rows)


def test_mutes_are_told_with_their_ends_and_at_the_pictures(storage: Path, tmp_path: Path) -> None:
    folder = make_recording(storage, muted=(1, 3))
    seen = Seen(export_sheet(folder, tmp_path / "out.html").path)
    assert any("00:01.000" in row and "no audio for 2.000 s, to 00:03.000: muted" in row for row in seen.rows)
    silent = [caption[1][:9] for caption in seen.captions if "no audio" in caption]
    assert silent == ["00:01.000", "00:01.900", "00:02.000"]


def test_a_recording_of_one_group_of_pictures_is_spread_as_well(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bwvd.evidence.export.contact_sheet_plan.EVEN_LEAST_NS", 200_000_000)
    sheet = export_sheet(make_recording(storage, seconds=1), tmp_path / "out.html")
    assert sheet.pictures == 5
    assert [caption[1][:9] for caption in Seen(sheet.path).captions] == [f"00:00.{n}00" for n in range(0, 10, 2)]


def test_a_short_recording_has_one_picture(storage: Path, tmp_path: Path) -> None:
    assert export_sheet(make_recording(storage, seconds=1), tmp_path / "out.html").pictures == 1


def test_a_long_recording_has_a_sheet_of_the_same_size(storage: Path, tmp_path: Path) -> None:
    sheet = export_sheet(make_recording(storage, seconds=40), tmp_path / "out.html")
    assert sheet.pictures == 24 + 2
    assert Path(sheet.path).stat().st_size < 500_000


def test_many_markers_have_a_bound(storage: Path, tmp_path: Path) -> None:
    """Pictures, lines and bytes have one; what is not shown is counted."""
    sheet = export_sheet(make_recording(storage, labels=["x" * 900] * 1000), tmp_path / "out.html")
    seen = Seen(sheet.path)
    assert sheet.pictures <= 24 + 24 + 1
    assert len(seen.rows) == 1 + 200
    # Behind 1,001 markers, the press and the officer's id.
    assert "Not shown here: 977 more markers without their picture, 803 more things that happened." in seen.text
    assert Path(sheet.path).stat().st_size < 1_000_000


def test_only_what_is_asked_for(storage: Path, tmp_path: Path) -> None:
    sheet = export_sheet(make_recording(storage), tmp_path / "out.html", from_s=2, to_s=4)
    seen = Seen(sheet.path)
    assert sheet.pictures == 2
    assert not any("Press" in caption for caption in seen.captions)
    assert "Shown here 00:02.000 to 00:04.000" in seen.text
    assert not any("marker" in row for row in seen.rows)
    with pytest.raises(ExportRefused, match="nothing of that"):
        export_sheet(make_recording(storage, 2), tmp_path / "none.html", from_s=9)


def test_what_was_noted_behind_the_last_frame_is_told(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A battery level at the end, a marker while the camera was lost: there is no picture of it."""
    real = narrative_of.narrative

    def later(found: Iterable[records.ManifestRecord], read: Reader) -> narrative_of.Narrative:
        at_ns = 60_000_000_000
        return real([*found, records.Power(n=99, at_ns=at_ns, percent=7, supply="battery")], read)

    monkeypatch.setattr("bwvd.evidence.export.contact_sheet.narrative", later)
    folder = make_recording(storage)
    whole = Seen(export_sheet(folder, tmp_path / "out.html").path)
    assert any("01:00.000" in row and "battery at 7 %" in row for row in whole.rows)
    part = Seen(export_sheet(folder, tmp_path / "part.html", to_s=3).path)
    assert not any("battery" in row for row in part.rows)


def test_a_clock_that_was_never_set_is_said(storage: Path, tmp_path: Path) -> None:
    seen = Seen(export_sheet(make_recording(storage, quality="not_set"), tmp_path / "out.html").path)
    assert sum("the clock was not set" in caption for caption in seen.captions) == 5
    assert "(gpio:record); the clock was not set" in seen.text


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100] + bytes(100))


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("harm", [spoil, Path.unlink, link], ids=["altered", "missing", "a link"])
def test_a_broken_segment_is_labelled(storage: Path, tmp_path: Path, harm: Callable[[Path], None]) -> None:
    """Invariant 7: on a sheet that is forced, what was altered is not shown as if it were good."""
    folder = make_recording(storage)
    harm(folder / "000003.m4s")
    with pytest.raises(ExportRefused, match="altered"):
        export_sheet(folder, tmp_path / "out.html")
    assert not (tmp_path / "out.html").exists()
    sheet = export_sheet(folder, tmp_path / "out.html", force=True)
    assert sheet.pictures == 4
    assert [note[:26] for note in sheet.notes] == ["no picture: 000003.m4s (se"]
    seen = Seen(sheet.path)
    assert seen.text.count("000003.m4s (segment 3,") >= 1 + (harm is not link)  # in its picture's place, and above
    assert f"{folder.name} altered signed by" in seen.text
    assert ("div", "class", "verdict bad") in seen.attributes
    assert ("div", "class", "instead broken") in seen.attributes


def test_signed_segments_that_are_no_video_are_labelled(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera delivered rubbish, and it was recorded faithfully."""
    monkeypatch.setattr("bwvd.media.fragment.Epoch.fragment", lambda *_: b"no fragment")
    sheet = export_sheet(make_recording(storage), tmp_path / "out.html")
    assert (sheet.pictures, len(sheet.notes)) == (0, 4)
    assert "000001.m4s:" in Seen(sheet.path).text


def test_nothing_is_overwritten(storage: Path, tmp_path: Path) -> None:
    (tmp_path / "out.html").write_text("precious")
    with pytest.raises(ExportRefused, match=r"out\.html exists"):
        export_sheet(make_recording(storage), tmp_path / "out.html")
    assert (tmp_path / "out.html").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.html", "storage"]


def test_a_failure_half_way_leaves_nothing(storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bwvd.evidence.export.contact_sheet.render", fail)
    with pytest.raises(ExportRefused, match="No space left"):
        export_sheet(make_recording(storage), tmp_path / "out.html")
    assert [path.name for path in tmp_path.iterdir()] == ["storage"]


@pytest.mark.parametrize("film", [False, True])
def test_the_command_with_and_without_a_film(storage: Path, tmp_path: Path, film: bool) -> None:
    folder, signers = make_recording(storage), tmp_path / "signers"
    signers.write_text(fixed_signer().allowed_signers("BWV-0001"))
    arguments = ["export", str(folder), "--sheet", str(tmp_path / "out.html"), "--signers", str(signers)]
    done = CliRunner().invoke(main, [*arguments, "-o", str(tmp_path / "out.mp4")] if film else arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"{tmp_path / 'out.html'}: 5 pictures"
    assert (tmp_path / "out.mp4").exists() == film
    again = CliRunner().invoke(main, arguments)
    assert (again.exit_code, again.stdout) == (1, "")
    assert again.stderr == f"bwvd: {tmp_path / 'out.html'} exists; an export overwrites nothing\n"


@pytest.mark.parametrize("name", ["out.png", "OUT.PNG", "out.pdf", "out.jpeg", "out.mp4", "out"])
def test_a_picture_is_refused_before_anything_is_written(storage: Path, tmp_path: Path, name: str) -> None:
    """Nothing here can draw labels in every script, and a label that is not readable is none."""
    words = ["export", str(make_recording(storage)), "--sheet", name, "-o", str(tmp_path / "out.mp4")]
    done = CliRunner().invoke(main, words)
    line = f"bwvd: {name}: a contact sheet is a page: name it FILE.html; any browser shows and prints it\n"
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", line)
    assert not (tmp_path / "out.mp4").exists()


def test_a_recording_that_nobody_vouches_for_is_named(storage: Path, tmp_path: Path) -> None:
    """Invariant 7: it is exported, and sheet, film and whoever ordered them are told; in red."""
    folder, signers = make_recording(storage), tmp_path / "signers"
    signers.write_text(fixed_signer(2).allowed_signers("BWV-0001"))
    out = [str(tmp_path / name) for name in ("out.html", "out.mp4", "out.zip")]
    arguments = ["export", str(folder), "--sheet", out[0], "--signers", str(signers)]
    done = CliRunner().invoke(main, [*arguments, "-o", out[1], "--proof", out[2]])
    key = fixed_signer().key.fingerprint
    standing = f"unvouched: unchanged since it was signed by the key {key}, for which nobody vouches"
    assert (done.exit_code, done.stderr) == (0, f"bwvd: the recording is {standing}\n")
    with av.open(out[1]) as film:
        assert film.metadata["bwvd_verdict"] == "unvouched"
        assert f"verified as {standing}; " in film.metadata["comment"]
    with zipfile.ZipFile(out[2]) as archive:
        assert f"Verdict         {standing} (by bwvd; " in archive.read("CHAIN.txt").decode()
    alone = export_sheet(folder, tmp_path / "alone.html", signers=None)
    assert alone.notes == [f"the recording is {standing}"]
    seen = Seen(alone.path)
    assert standing.replace(":", "", 1) in seen.text
    assert ("div", "class", "verdict bad") in seen.attributes


def test_a_recording_in_progress_is_said(storage: Path, tmp_path: Path) -> None:
    """To whoever orders the sheet too, as with a film."""
    folder, signers = make_recording(storage, close=""), tmp_path / "list"
    signers.write_text(fixed_signer().allowed_signers("*"))
    for option, name in (("--sheet", "x.html"), ("-o", "x.mp4")):
        done = CliRunner().invoke(
            main, ["export", str(folder), option, str(tmp_path / name), "--signers", str(signers)]
        )
        assert done.exit_code == 0
        assert done.stderr == "bwvd: the recording is not closed: it is in progress, or was cut off\n"


def test_the_command_wants_something_to_write(storage: Path) -> None:
    done = CliRunner().invoke(main, ["export", str(make_recording(storage))])
    assert done.exit_code == 2
    assert "--sheet" in done.stderr
