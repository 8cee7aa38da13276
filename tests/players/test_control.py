"""Controls are what they are said to be: all frames of the recording, each at its time, and beeps exactly with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.players.control import control
from tests.players.scenarios import CASES, FORMS, MP4, PLAIN, recorded, truth_of

LOOSE_S = 0.006  # beeps are told apart in blocks of 4 ms


@pytest.mark.parametrize("case", [PLAIN, "camera gap"])
def test_frames_and_beeps_are_together(case: str, tmp_path: Path) -> None:
    """By libav, which is not what is tried: a part's first frame may be an encoder's priming early."""
    recording = recorded(case, tmp_path / "recording")
    for form in FORMS:
        [film] = control(recording, form, tmp_path / form).films(form)
        found = truth_of(film.path, film.truth.rate)
        assert set(found.frames) == set(film.truth.frames) == set(recording.playlist.truth.frames)
        at_s, gap_s = film.truth.frames, 1.5 / film.truth.rate
        later = [number for number in at_s if number - 1 in at_s and at_s[number] - at_s[number - 1] < gap_s]
        zero_s = found.frames[later[0]] - at_s[later[0]]
        moved = [found.frames[number] - at_s[number] for number in later]
        assert moved == pytest.approx([zero_s] * len(later), abs=0.002)
        assert [one.second for one in found.beeps] == [one.second for one in film.truth.beeps]
        assert [one.at_s - zero_s for one in found.beeps] == pytest.approx(
            [one.at_s for one in film.truth.beeps], abs=LOOSE_S
        )


def test_a_control_has_the_form_of_its_recording(tmp_path: Path) -> None:
    """Another init segment where the recording has one; two files where it has two."""
    for case, parts, files in (("change of size", 2, 2), ("late microphone, copied", 2, 1)):
        recording = recorded(case, tmp_path / case)
        [folder] = control(recording, FORMS[0], tmp_path / f"{case} folder").films(FORMS[0])
        assert folder.path.read_text().count("#EXT-X-MAP") == parts
        assert len(control(recording, MP4, tmp_path / f"{case} MP4").mp4s) == files
    assert {case.shape for case in CASES.values()} <= set(CASES)
