"""Mutants of what is put in where there is no audio (invariant 15)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

AUDIO = (
    Mutant(
        "leave holes where there is no audio",
        15,
        "media/audio_line.py",
        "if not self.length or at - self.due < self.length:",
        "if self.length:",
        ("media/test_audio_line.py", "whole/test_continuous_audio.py"),
    ),
    Mutant(
        "put silence where audio may still come",
        15,
        "media/audio_line.py",
        "filler.until(ticks(gop.settled_ns - origin_ns, scale))",
        "filler.until(ticks(gop.end_ns - origin_ns, scale))",
        ("media/test_audio_line.py",),
    ),
    Mutant(
        "count silence as sound",
        15,
        "evidence/write/recording_folder.py",
        "                silent_frames=silent_frames,\n",
        "",
        ("whole/test_continuous_audio.py",),
    ),
    Mutant(
        "believe whatever is said to be silence",
        15,
        "evidence/verify/files.py",
        "if there.silent_frames < segment.silent_frames:",
        "if False:",
        ("evidence/verify/test_recording.py",),
    ),
)
