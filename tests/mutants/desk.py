"""Mutants of the desk's page: what is shown is what was signed, where it was (invariants 4, 7, 9 and 15)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

DESK = (
    Mutant(
        "play a segment that is not what was signed",
        7,
        "desk/hls.py",
        "if not signed and not altered:",
        "if not signed and altered:",
        ("desk/test_hls.py",),
    ),
    Mutant(
        "let a frame stand for what the camera did not see",
        4,
        "desk/timeline.py",
        "if begin - last.end_ns >= HOLE_NS:",
        "if begin - last.end_ns >= LONGEST_NS:",
        ("desk/test_timeline.py", "desk/test_hls.py"),
    ),
    Mutant(
        "pass over a step of the clock on the page",
        9,
        "desk/timeline.py",
        "(reading.at_ns - last.at_ns)) > CLOCK_NS",
        "(reading.at_ns - last.at_ns)) > LONGEST_NS",
        ("desk/test_timeline.py",),
    ),
    Mutant(
        "leave holes of the audio to the player",
        15,
        "desk/filler.py",
        "if end - at > (edge if runs else silence.ticks):",
        "if runs and end - at > edge:",
        ("desk/test_hls.py",),
    ),
    Mutant(
        "show a broken manifest as broken at one line",
        7,
        "desk/placing.py",
        "(at_ns, line.end_ns) if",
        "(at_ns, at_ns) if",
        ("desk/test_timeline.py",),
    ),
    Mutant(
        "call a receipt for another manifest one for this",
        8,
        "desk/chain.py",
        "taken.manifest_sha512 != report.manifest_sha512",
        "not report.manifest_sha512",
        ("desk/test_document.py",),
    ),
)
