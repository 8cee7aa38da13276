"""The experiment with ONVIF Media Signing still gives the findings that its page tells."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.spikes import media_signing
from tests.support.stock import need


@pytest.mark.slow
def test_what_the_page_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need("ffmpeg")
    media_signing.run(tmp_path, 14, None)
    said = capsys.readouterr().out
    found = {
        line.split(": Judged")[0]: {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line)}
        for line in said.splitlines()
        if "Judged" in line
    }
    assert found["whole MP4"] == {"signed": 13, "wrong": 0, "unsigned": 30, "broken_order": 0}
    assert found[media_signing.CUT]["wrong"] == 0
    assert found[media_signing.CUT]["signed"] >= 6
    assert found["one bit of one frame changed"]["wrong"] == 1
    assert found["one frame taken out"]["wrong"] == 1
    assert found["one GOP taken out"]["broken_order"] > 0
    assert found["end cut off inside a GOP"]["unsigned"] > 0
