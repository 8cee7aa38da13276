"""Chapters, captions beside the file, and what an export is called: read by stock ffprobe and exiftool's rules."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bwvd.cli.main import main
from bwvd.clock import NS
from bwvd.evidence.export.captions import web_vtt
from bwvd.evidence.export.chapters import chapters
from bwvd.evidence.export.media_index import read_outline
from bwvd.evidence.format import records
from tests.evidence.export.test_captions import shown
from tests.support.desk import export_mp4
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer
from tests.support.stock import need


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "storage")


def listed(path: str | Path) -> list[tuple[float, str]]:
    """When each chapter begins, and its title, by stock ffprobe."""
    command = [need("ffprobe"), "-v", "error", "-show_chapters", "-of", "json", str(path)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["chapters"]
    return [(float(chapter["start_time"]), chapter["tags"]["title"]) for chapter in found]


def test_the_press_markers_and_gaps_are_chapters(storage: Path, tmp_path: Path) -> None:
    [file] = export_mp4(make_recording(storage, gap_after=2), tmp_path / "out.mp4").files
    assert listed(file.path) == [
        (0.0, "Before the press"),
        (1.0, "Marker: a door"),
        (1.984, "Press"),
        (3.0, "No video, no audio for 1.0 s: camera lost"),
    ]


def test_a_cut_has_those_that_lie_in_it(storage: Path, tmp_path: Path) -> None:
    folder = make_recording(storage, gap_after=2)
    export_mp4(folder, tmp_path / "end.mp4", from_s=1.5)
    assert listed(tmp_path / "end.mp4") == [
        (0.0, "Marker: a door"),
        (0.984, "Press"),
        (2.0, "No video, no audio for 1.0 s: camera lost"),
    ]
    export_mp4(folder, tmp_path / "begin.mp4", to_s=1.0)
    assert listed(tmp_path / "begin.mp4") == [(0.0, "Before the press")]


def test_mutes_are_chapters(storage: Path) -> None:
    with read_outline(make_recording(storage, label="")) as outline:
        outline.audio += [
            records.Audio(n=7, on=False, at_ns=2 * NS, reason="mute"),
            records.Audio(n=8, on=True, at_ns=3 * NS, reason=""),
        ]
        assert chapters(outline)[2:] == [(2 * NS, "Audio off: mute"), (3 * NS, "Audio on")]


def test_the_press_comes_before_what_it_causes(storage: Path) -> None:
    """The chapter of the moment is found by its name."""
    with read_outline(make_recording(storage)) as outline:
        press_ns = outline.open.press.stamp.mono_ns - outline.open.origin_mono_ns
        outline.audio.append(records.Audio(n=7, on=True, at_ns=press_ns, reason="press"))
        assert [title for at_ns, title in chapters(outline) if at_ns == press_ns] == ["Press", "Audio on: press"]


def test_a_title_is_one_printable_line(storage: Path, tmp_path: Path) -> None:
    export_mp4(make_recording(storage, label="a\x1b[2Jdoor\nand a window " + "x" * 500), tmp_path / "out.mp4")
    [title] = [title for _, title in listed(tmp_path / "out.mp4") if title.startswith("Marker")]
    assert title.isprintable()
    assert len(title) < 255


def test_the_list_of_chapters_is_no_subtitle_and_the_captions_are_shown_unasked(storage: Path, tmp_path: Path) -> None:
    """ISO/IEC 14496-12, 8.3.2: flag 1 of a track header is "enabled"."""
    [file] = export_mp4(make_recording(storage), tmp_path / "out.mp4").files
    data = Path(file.path).read_bytes()
    flags = [int.from_bytes(data[at.start() + 5 : at.start() + 8], "big") for at in re.finditer(b"tkhd", data)]
    assert [bool(one & 1) for one in flags] == [True, True, True, False]  # video, audio, captions, chapters


def test_captions_beside_the_file(storage: Path, tmp_path: Path) -> None:
    [file] = export_mp4(make_recording(storage, gap_after=1), tmp_path / "out.mp4", vtt=tmp_path / "out.vtt").files
    text = (tmp_path / "out.vtt").read_text()
    assert text.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n2026-11-22T07:15:03.016Z BWV-0001\n")
    assert shown(tmp_path / "out.vtt") == shown(file.path)


def test_captions_beside_a_file_whose_frames_carry_a_stamp(storage: Path, tmp_path: Path) -> None:
    """Whoever asks for them gets them; only the track in the MP4 would say everything twice."""
    folder = make_recording(storage, stamped=True)
    export_mp4(folder, tmp_path / "out.mp4", vtt=tmp_path / "out.vtt", captions=False)
    assert len(shown(tmp_path / "out.vtt")) == 4


def test_each_part_has_captions_of_its_own(storage: Path, tmp_path: Path) -> None:
    export_mp4(make_recording(storage, other_camera_from=2), tmp_path / "out.mp4", vtt=tmp_path / "out.vtt")
    assert [cue.from_s for cue in shown(tmp_path / "out-2.vtt")] == [0, 1]


def test_a_name_in_the_captions_is_no_markup(storage: Path, tmp_path: Path) -> None:
    with read_outline(make_recording(storage)) as outline:
        text = web_vtt(outline.spans, outline.first_ns, 1 << 62, "<b>&-->", outline.track(()))
    assert "&lt;b&gt;&amp;--&gt;" in text
    assert text.count("-->") == 4


def run(*words: str | Path) -> Any:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("-o", "x.avi"), "x.avi"),
        (("-o", "x"), "-o x"),
        (("-o", "x.mp4", "--captions", "x.srt"), "x.srt"),
        (("--captions", "x.vtt"), ""),
    ],
)
def test_a_file_of_another_kind_is_refused(
    storage: Path, tmp_path: Path, options: tuple[str, ...], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("export", make_recording(storage), *options)
    assert done.exit_code == 2
    assert named in done.output.splitlines()[-1]
    assert list(tmp_path.iterdir()) == [storage]


def test_the_command_writes_both(storage: Path, tmp_path: Path) -> None:
    (tmp_path / "signers").write_text(fixed_signer().allowed_signers("*"))
    words: list[str | Path] = [
        "-o",
        tmp_path / "out.MP4",
        "--captions",
        tmp_path / "out.vtt",
        "--signers",
        tmp_path / "signers",
    ]
    assert run("export", make_recording(storage), *words).exit_code == 0
    assert len(shown(tmp_path / "out.vtt")) == 4
