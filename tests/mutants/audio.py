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
        "leave gaps out of the playlist's time",
        15,
        "evidence/write/playlist.py",
        "max(lengths[index], lasts)",
        "lengths[index]",
        ("evidence/write/test_playlist.py",),
    ),
    Mutant(
        "announce no audio before it comes",
        15,
        "media/init_maps.py",
        "found[index] = found[index + 1]",
        "pass",
        ("evidence/write/test_playlist.py",),
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
    Mutant(
        "export holes where a recording has them",
        15,
        "evidence/export/audio_fill.py",
        "while begins := filler.until(min(until, filler.due + _AT_ONCE * filler.length)):",
        "while begins := filler.until(filler.due):",
        ("evidence/export/test_audio_fill.py", "whole/test_continuous_export.py"),
    ),
    Mutant(
        "end an export's audio with the last that was heard",
        15,
        "evidence/export/assembly.py",
        "self._fill.until(self._frames_end_ns, views)",
        "self._fill.until(0, views)",
        ("whole/test_continuous_export.py",),
    ),
    Mutant(
        "lose the audio behind a hole inside of a fragment",
        4,
        "evidence/export/audio_fill.py",
        "        if first < len(run):\n",
        "        if first == 0:\n",
        ("evidence/export/test_audio_fill.py", "whole/test_continuous_export.py"),
    ),
    Mutant(
        "do not count the silence that an export puts in",
        15,
        "evidence/export/audio_fill.py",
        "        self.added_frames += count\n",
        "",
        ("evidence/export/test_audio_fill.py", "whole/test_continuous_export.py"),
    ),
)
