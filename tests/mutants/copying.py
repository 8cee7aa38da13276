"""Mutants of the path of a camera that encodes by itself (invariants 2 and 4)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

COPYING = (
    Mutant(
        "leave what was searched for start codes in memory",
        2,
        "capture/video/passthrough.py",
        "            if own is not None:\n                overwrite(memoryview(own))\n",
        "            pass\n",
        ("capture/video/test_passthrough.py",),
    ),
    Mutant(
        "take a unit that reaches past the end of its packet",
        4,
        "media/nal.py",
        "    if at > size:\n"
        '        raise ValueError(f"a NAL unit reaches {at - size} bytes past the end of its access unit")\n'
        "    return seen",
        "    return seen",
        ("media/test_nal.py",),
    ),
    Mutant(
        "take an IDR picture with slices of another kind",
        4,
        "media/nal.py",
        "if pictures & (pictures - 1) and (pictures & _H264_IDR if h264 else pictures >> _HEVC_ANY_BEGINNING):",
        "if False:",
        ("media/test_nal.py", "capture/video/test_passthrough.py"),
    ),
    Mutant(
        "forget the recovery points of an open group",
        4,
        "media/nal.py",
        "if recovery and seen & _H264_SEI and self._may_be_open(unit)",
        "if False and self._may_be_open(unit)",
        ("media/test_nal.py",),
    ),
    Mutant(
        "keep bare key frames under the old parameter sets when new ones were seen",
        4,
        "capture/video/parameter_sets.py",
        "if key and known and self._doubtful:",
        "if False:",
        ("capture/video/test_passthrough_sets.py",),
    ),
    Mutant(
        "believe the sets of the opening without a look at the first key frame",
        4,
        "capture/video/parameter_sets.py",
        "if key and known and self._unsure and",
        "if False and",
        ("capture/video/test_passthrough_sets.py",),
    ),
    Mutant(
        "believe new parameter sets that nothing decodes",
        4,
        "capture/video/parameter_sets.py",
        "if self.track is not None and not decodes(self._form.codec, unit):",
        "if False:",
        ("capture/video/test_passthrough.py", "capture/video/test_passthrough_sets.py"),
    ),
    Mutant(
        "let a frame that is no good bring no doubt of the sets",
        4,
        "capture/video/parameter_sets.py",
        "        self._suspect(self._sets_of(data, unit))\n",
        "        self._sets_of(data, unit)\n",
        ("capture/video/test_passthrough_sets.py",),
    ),
    Mutant(
        "learn no beat from frames that are in it",
        4,
        "capture/timestamps.py",
        "                self.step_ns = step_ns + (interval_ns - step_ns) // 8\n",
        "",
        ("capture/test_timestamps.py",),
    ),
    Mutant(
        "take a frame far ahead for one in its beat",
        4,
        "capture/timestamps.py",
        "if LEAST_STEP_NS <= interval_ns <= LONG * step_ns and interval_ns <= LONGEST_HOLE_NS:",
        "if LEAST_STEP_NS <= interval_ns:",
        ("capture/test_timestamps.py",),
    ),
    Mutant(
        "sleep on when something is due earlier",
        2,
        "recorder/recorder.py",
        "if self.machine.finishing or self._next_due_ns() < self._waits_until_ns:",
        "if self.machine.finishing:",
        ("recorder/test_timer.py",),
    ),
    Mutant(
        "wake the timer for each GOP",
        2,
        "recorder/recorder.py",
        "if self.machine.finishing or self._next_due_ns() < self._waits_until_ns:",
        "if True:",
        ("recorder/test_timer.py",),
    ),
    Mutant(
        "leave the last duration of a GOP as it was guessed",
        4,
        "capture/batch_builder.py",
        "dts_ns[-1] + durations_ns[-1] if next_dts_ns is None else next_dts_ns)",
        "dts_ns[-1] + durations_ns[-1])",
        ("capture/test_batch_builder.py",),
    ),
)  # fmt: skip
