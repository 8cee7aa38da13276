"""The README's picture of a session is the watch view, and loads nothing from anywhere."""

from __future__ import annotations

import re

from tests.cli.test_printing import STATUS
from tests.support.documents import README
from tests.support.session_picture import PICTURE, drawn


def words(svg: str) -> str:
    return " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg)).replace("&#160;", " ")


def test_the_picture_is_drawn_of_the_view_as_it_is() -> None:
    svg = drawn({**STATUS, "version": "0.1.0"})
    assert "R E C O R D I N G" in words(svg)
    labels = {"loop", "recording", "video", "audio", "storage", "clock", "controls", "officer"}
    for picture in (svg, PICTURE.read_text("utf-8")):
        assert labels <= set(words(picture).split()), "run: python -m tests.support.session_picture --write"


def test_the_committed_picture_is_a_recording_small_and_self_contained() -> None:
    svg = PICTURE.read_text("utf-8")
    assert "R E C O R D I N G" in words(svg)
    assert "DEMO-0001" in words(svg)
    assert len(svg) < 64_000
    assert re.findall(r"https?://[^\s\"<]+", svg) == ["http://www.w3.org/2000/svg", "https://www.textualize.io"]
    assert "url(http" not in svg
    assert f"(bwvd/docs/{PICTURE.name})" in README.read_text("utf-8")
