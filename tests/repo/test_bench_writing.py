"""The benchmark's table in the page on costs: of one run, whole, between its marks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.__main__ import main
from tests.bench.figures import Findings, Goal, Row, Spread
from tests.bench.writing import BEGIN, END, PAGE, SHORT, write

HALF = Goal(0.4, "ratio", "≤ 0.4 x")
FOUND = Findings(
    [
        Row("copied", "CPU", "%", Spread.of([1.0, 2.0, 3.0]), Spread.of([2.0, 4.0, 6.0]), True, HALF),
        Row("copied", "memory", "MB", Spread.of([64.0]), Spread.of([58.0]), goal=Goal(5, "above", "≤ ffmpeg's + 5 MB"),
            headline=True),
        Row("copied", "involuntary switches", "1/s", Spread.of([9.0])),
        Row("press", "p50", "ms", Spread.of([14.0]), note="only 73% of the frames: the machine was too busy"),
        Row("encoded", "CPU", "%", Spread.of([9.0]), note="4:2:2 of 61 kB a frame"),
    ]
)  # fmt: skip


def test_what_stands_between_the_marks_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page, short = tmp_path / "costs.md", tmp_path / "README.md"
    for one in (page, short):
        one.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for _ in range(2):  # what is written can be written again
        write(FOUND, {"processor": "P", "cores": 2}, page, short)
        assert short.read_text().splitlines()[6:] == [
            "| copied, memory, MB | 64.00 | 58.00 | 1.10 | ≤ `ffmpeg`'s + 5 MB | missed |",
            END,
            "after",
        ]
        lines = page.read_text().splitlines()
        assert (lines[0], lines[1], lines[-2], lines[-1]) == ("before", BEGIN, END, "after")
        assert lines[2].endswith("processor P, cores 2:")
        assert lines[6:-2] == [
            "| copied, CPU, % | 2.00 (1.00..3.00) | 4.00 (2.00..6.00) | 0.50 (0.50..0.50) | ≤ 0.4 x | missed |",
            "| copied, memory, MB | 64.00 | 58.00 | 1.10 | ≤ `ffmpeg`'s + 5 MB | missed |",
            "| press, p50, ms | 14.00 |  |  |  | only 73% of the frames: the machine was too busy |",
            "| encoded, CPU, % | 9.00 |  |  |  | 4:2:2 of 61 kB a frame |",
        ]


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_page_without_its_marks_is_left_as_it_is(text: str, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.md", tmp_path / "bad.md"
    for pages in ((good, bad), (bad, good)):
        good.write_text(f"{BEGIN}{END}")
        bad.write_text(text)
        with pytest.raises(ValueError, match="once each"):
            write(FOUND, {}, *pages)
        assert (good.read_text(), bad.read_text()) == (f"{BEGIN}{END}", text)


@pytest.mark.parametrize("page", [PAGE, SHORT])
def test_the_pages_have_their_marks(page: Path) -> None:
    text = page.read_text()
    assert (text.count(BEGIN), text.count(END)) == (1, 1)
    assert text.index(BEGIN) < text.index(END)


@pytest.mark.parametrize("arguments", [["--write", "--quick"], ["--write", "copied"]])
def test_only_a_whole_run_is_written(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert "whole run" in capsys.readouterr().err
