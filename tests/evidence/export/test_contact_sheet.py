"""Contact sheets: what is on them, read from the PNG by stock ffmpeg, and what becomes of damaged recordings."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import av
import pyrage
import pytest
from click.testing import CliRunner

from bwvd.cli.main import main
from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.export.canvas import Canvas, wrapped
from bwvd.evidence.keys.age import AgeSealer
from bwvd.media.dot_font import GLYPH_HEIGHT, glyph
from tests.support.desk import export_sheet
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer
from tests.support.stock import need


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "storage")


class Seen:
    """A PNG's pixels, by stock ffmpeg, and the text that stands in them."""

    def __init__(self, path: str | Path) -> None:
        probe = [need("ffprobe"), "-v", "error", "-show_entries", "stream=codec_name,width,height", "-of", "json"]
        [stream] = json.loads(subprocess.run([*probe, str(path)], check=True, capture_output=True).stdout)["streams"]
        assert stream["codec_name"] == "png"
        self.width, self.height = stream["width"], stream["height"]
        decode = [need("ffmpeg"), "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
        data = subprocess.run(decode, check=True, capture_output=True).stdout
        assert len(data) == self.width * self.height * 3
        self.lines = [data[line * self.width * 3 : (line + 1) * self.width * 3] for line in range(self.height)]

    def holds(self, text: str, scale: int = 2) -> int:
        """How often a text stands somewhere, by the dots of its letters in any two colours."""
        rows = [
            "".join(f"{glyph(character)[row]:05b}0" for character in text).rstrip("0") for row in range(GLYPH_HEIGHT)
        ]
        found = 0
        first = next(row for row in range(GLYPH_HEIGHT) if "1" in rows[row])
        for top in range(self.height - GLYPH_HEIGHT * scale):
            begin = self.lines[top + first * scale]
            for colour in {begin[at : at + 3] for at in range(0, len(begin), 3)}:
                mask = self._mask(begin, colour)
                at = mask.find(self._wide(rows[first], scale))
                while at >= 0:
                    found += all(
                        self._mask(self.lines[top + line], colour)[at:].startswith(
                            self._wide(rows[line // scale], scale)
                        )
                        for line in range(GLYPH_HEIGHT * scale)
                    )
                    at = mask.find(self._wide(rows[first], scale), at + 1)
        return found

    @staticmethod
    def _wide(row: str, scale: int) -> str:
        return "".join(dot * scale for dot in row)

    @staticmethod
    def _mask(line: bytes, colour: bytes) -> str:
        return "".join("1" if line[at : at + 3] == colour else "0" for at in range(0, len(line), 3))


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every line of text that is drawn; `test_what_is_drawn_can_be_read` holds drawing itself against the pixels."""
    drawn: list[str] = []
    draw = Canvas.text

    def listen(canvas: Canvas, left: int, top: int, text: str, *rest: object) -> None:
        drawn.append(text)
        draw(canvas, left, top, text, *rest)  # type: ignore[arg-type]  # whatever it is, it is passed on

    monkeypatch.setattr(Canvas, "text", listen)
    return drawn


def test_what_is_drawn_can_be_read(tmp_path: Path) -> None:
    canvas = Canvas(400, 60, (24, 24, 24))
    canvas.text(10, 10, "2026-11-22T07:15:03.016Z", 2, (255, 255, 255), (24, 24, 24))
    canvas.text(10, 30, "a door", 2, (240, 170, 40), (24, 24, 24))
    canvas.text(390, 50, "cut off", 2, (255, 255, 255), (24, 24, 24))
    (tmp_path / "out.png").write_bytes(canvas.png())
    seen = Seen(tmp_path / "out.png")
    assert (seen.width, seen.height) == (400, 60)
    assert seen.holds("2026-11-22T07:15:03.016Z") == 1
    assert seen.holds("A DOOR") == 1
    assert seen.holds("2026-11-22T07:15:03.017Z") == 0


def test_a_sheet_says_what_it_shows(storage: Path, tmp_path: Path, texts: list[str]) -> None:
    folder = make_recording(storage)
    sheet = export_sheet(folder, tmp_path / "out.png")
    assert (sheet.pictures, sheet.notes) == (5, [])  # one a second, and the press
    head = " ".join(texts)
    for said in (folder.name, "authentic", "DEVICE BWV-0001", "SERIAL NUMBER 1", "LENGTH 0:00:04.000", "40 FRAMES"):
        assert said in head
    assert [text for text in texts if text.startswith("2026-11-22T07:15:0")] == [
        f"2026-11-22T07:15:0{second}Z" for second in ("3.016", "4.016", "4.916", "5.016", "6.016")
    ]
    assert [text for text in texts if " PRESS" in text and text[1] == ":"] == [
        "0:00:00.000 PRESS-1.984",
        "0:00:01.000 PRESS-0.984",
        "0:00:01.900 PRESS-0.084",
        "0:00:02.000 PRESS+0.016",
        "0:00:03.000 PRESS+1.016",
    ]
    assert texts.count("PRESS") == 1
    assert texts.count("MARKER a door") == 1
    assert Seen(tmp_path / "out.png").width > 1000
    assert (tmp_path / "out.png").stat().st_mode & 0o777 == 0o640


def test_each_picture_is_that_of_its_moment(storage: Path, tmp_path: Path) -> None:
    """The pixels of a thumbnail are those of the frame that an ordinary decoder shows at its time."""
    folder = make_recording(storage, grouped=3, bframes=2)
    with av.open(str(folder / "index.m3u8")) as container:
        frames = list(container.decode(video=0))
    sheet = Seen(export_sheet(folder, tmp_path / "out.png").path)
    for column, number in enumerate((0, 10, 19, 20)):  # 19 is shown at the press
        small = frames[number].reformat(270, 180, "rgb24", interpolation="AREA")
        line = bytes(small.planes[0])[90 * small.planes[0].line_size :][: 270 * 3]
        left = 10 + column * 338 + 4 + (320 - 270) // 2
        assert any(row[left * 3 : (left + 270) * 3] == line for row in sheet.lines), number


@pytest.mark.parametrize("sealed", [False, True])
def test_sealed_recordings_with_their_identity(storage: Path, tmp_path: Path, texts: list[str], sealed: bool) -> None:
    identity = pyrage.x25519.Identity.generate()
    folder = make_recording(storage, sealer=AgeSealer([str(identity.to_public())]) if sealed else None)
    if sealed:
        with pytest.raises(ExportRefused, match="--identity"):
            export_sheet(folder, tmp_path / "out.png")
        assert not (tmp_path / "out.png").exists()
    assert export_sheet(folder, tmp_path / "out.png", [identity] if sealed else []).pictures == 5
    assert "MARKER a door" in texts


def test_a_strangers_identity_gives_labels_instead_of_pictures(storage: Path, tmp_path: Path, texts: list[str]) -> None:
    identity, stranger = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    folder = make_recording(storage, sealer=AgeSealer([str(identity.to_public())]))
    sheet = export_sheet(folder, tmp_path / "out.png", [stranger])
    assert sheet.pictures == 0
    assert len(sheet.notes) == 4
    assert "a door" not in " ".join(texts)


def test_epochs_of_other_sizes_and_gaps_stand_on_one_sheet(storage: Path, tmp_path: Path, texts: list[str]) -> None:
    folder = make_recording(storage, other_camera_from=3, gap_after=1)
    assert export_sheet(folder, tmp_path / "out.png").pictures == 5
    assert "GAP 1.000 S: NO PICTURE, NO SOUND camera lost" in " ".join(texts)
    assert [text for text in texts if text[1:2] == ":"][3] == "0:00:02.000 PRESS+0.016"


def test_a_recording_of_one_group_of_pictures_is_spread_as_well(
    storage: Path, tmp_path: Path, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bwvd.evidence.export.contact_sheet_plan.EVEN_LEAST_NS", 200_000_000)
    assert export_sheet(make_recording(storage, seconds=1), tmp_path / "out.png").pictures == 5
    assert [text[:11] for text in texts if text[1:2] == ":"] == [f"0:00:00.{n}00" for n in range(0, 10, 2)]


def test_a_short_recording_has_one_picture(storage: Path, tmp_path: Path) -> None:
    assert export_sheet(make_recording(storage, seconds=1), tmp_path / "out.png").pictures == 1


def test_a_long_recording_has_a_sheet_of_the_same_size(storage: Path, tmp_path: Path) -> None:
    assert export_sheet(make_recording(storage, seconds=40), tmp_path / "out.png").pictures == 24 + 2


def test_only_what_is_asked_for(storage: Path, tmp_path: Path, texts: list[str]) -> None:
    assert export_sheet(make_recording(storage), tmp_path / "out.png", from_s=2, to_s=4).pictures == 2
    assert "PRESS" not in texts
    with pytest.raises(ExportRefused, match="nothing of that"):
        export_sheet(make_recording(storage, 2), tmp_path / "none.png", from_s=9)


def test_a_clock_that_was_never_set_is_said(storage: Path, tmp_path: Path, texts: list[str]) -> None:
    export_sheet(make_recording(storage, quality="not_set"), tmp_path / "out.png")
    assert texts.count("TIME NOT SET") == 5


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100] + bytes(100))


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("harm", [spoil, Path.unlink, link], ids=["altered", "missing", "a link"])
def test_a_broken_segment_is_labelled(
    storage: Path, tmp_path: Path, texts: list[str], harm: Callable[[Path], None]
) -> None:
    """Invariant 7: on a sheet that is forced, what was altered is not shown as if it were good."""
    folder = make_recording(storage)
    harm(folder / "000003.m4s")
    with pytest.raises(ExportRefused, match="altered"):
        export_sheet(folder, tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()
    sheet = export_sheet(folder, tmp_path / "out.png", force=True)
    assert sheet.pictures == 4
    assert [note[:26] for note in sheet.notes] == ["no picture: 000003.m4s (se"]
    assert texts.count("000003.m4s (segment 3,") == 1
    assert "altered  SIGNER TRUSTED" in texts


def test_signed_segments_that_are_no_video_are_labelled(
    storage: Path, tmp_path: Path, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera delivered rubbish, and it was recorded faithfully."""
    monkeypatch.setattr("bwvd.media.fragment.Epoch.fragment", lambda *_: b"no fragment")
    sheet = export_sheet(make_recording(storage), tmp_path / "out.png")
    assert (sheet.pictures, len(sheet.notes)) == (0, 4)
    assert "000001.m4s:" in " ".join(texts)


def test_nothing_is_overwritten(storage: Path, tmp_path: Path) -> None:
    (tmp_path / "out.png").write_text("precious")
    with pytest.raises(ExportRefused, match=r"out\.png exists"):
        export_sheet(make_recording(storage), tmp_path / "out.png")
    assert (tmp_path / "out.png").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.png", "storage"]


def test_a_failure_half_way_leaves_nothing(storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Canvas, "png", fail)
    with pytest.raises(ExportRefused, match="No space left"):
        export_sheet(make_recording(storage), tmp_path / "out.png")
    assert [path.name for path in tmp_path.iterdir()] == ["storage"]


@pytest.mark.parametrize("film", [False, True])
def test_the_command_with_and_without_a_film(storage: Path, tmp_path: Path, film: bool) -> None:
    folder, signers = make_recording(storage), tmp_path / "signers"
    signers.write_text(fixed_signer().allowed_signers("BWV-0001"))
    arguments = ["export", str(folder), "--sheet", str(tmp_path / "out.png"), "--signers", str(signers)]
    done = CliRunner().invoke(main, [*arguments, "-o", str(tmp_path / "out.mp4")] if film else arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"{tmp_path / 'out.png'}: 5 pictures"
    assert (tmp_path / "out.mp4").exists() == film
    again = CliRunner().invoke(main, arguments)
    assert (again.exit_code, again.stdout) == (1, "")
    assert again.stderr == f"bwvd: {tmp_path / 'out.png'} exists; an export overwrites nothing\n"


def test_a_recording_that_nobody_vouches_for_is_named(storage: Path, tmp_path: Path, texts: list[str]) -> None:
    """Invariant 7: it is exported, and sheet, film and whoever ordered them are told; in red."""
    folder, signers = make_recording(storage), tmp_path / "signers"
    signers.write_text(fixed_signer(2).allowed_signers("BWV-0001"))
    out = [str(tmp_path / name) for name in ("out.png", "out.mp4", "out.zip")]
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
    alone = export_sheet(folder, tmp_path / "alone.png", signers=None)
    assert alone.notes == [f"the recording is {standing}"]
    assert "unvouched  SIGNER NOT VOUCHED FOR" in texts


def test_the_command_wants_something_to_write(storage: Path) -> None:
    done = CliRunner().invoke(main, ["export", str(make_recording(storage))])
    assert done.exit_code == 2
    assert "--sheet" in done.stderr


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("MARKER a door", ["MARKER a", "door"]),
        ("abcdefghijklmnop", ["abcdefghij", "klmnop"]),
        ("one two three four five six seven", ["one two", "three f..."]),
    ],
)
def test_notes_are_wrapped(text: str, lines: list[str]) -> None:
    assert wrapped(text, 10, 2) == lines
