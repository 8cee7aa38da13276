"""Mutants of what is made of a camera's frames before they are encoded (invariant 4)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

DECODING = (
    Mutant(
        "take what libjpeg-turbo complains of",
        4,
        "capture/video/jpeg.py",
        "room.lines, height, 0):\n            self._begin_again()\n            return None",
        "room.lines, height, 0):\n            self._begin_again()",
        ("capture/video/test_jpeg.py",),
    ),
    Mutant(
        "go on with a JPEG decoder that stands in what was damaged",
        4,
        "capture/video/jpeg.py",
        "        self.close()\n        self._handle = self._library.tjInitDecompress() or None",
        "        pass",
        ("capture/video/test_jpeg.py",),
    ),
    Mutant(
        "decode a JPEG of whatever size it says",
        4,
        "capture/video/jpeg.py",
        " or (width, height) != self._size",
        "",
        ("capture/video/test_jpeg.py",),
    ),
    Mutant(
        "write the next JPEG over a frame that an encoder holds",
        4,
        "capture/video/jpeg.py",
        "        frame.make_writable()\n",
        "",
        ("capture/video/test_jpeg.py",),
    ),
    Mutant(
        "write the next JPEG where the one before was",
        4,
        "capture/video/jpeg.py",
        " or room.begin != VideoPlane(frame, 0).buffer_ptr",
        "",
        ("capture/video/test_jpeg.py",),
    ),
    Mutant(
        "write JPEGs of one sampling as those of another",
        4,
        "capture/video/jpeg.py",
        " or room.kind != kind",
        "",
        ("capture/video/test_jpeg.py",),
    ),
    Mutant(
        "take every second line of chroma",
        4,
        "capture/video/pixel_format.py",
        '"all_mode=average"',
        '"all_mode=normal"',
        ("capture/video/test_pixel_format.py",),
    ),
    Mutant(
        "say limited range of full",
        4,
        "capture/video/libav_encoder.py",
        "ColorRange.JPEG if colours.full_range else ColorRange.MPEG",
        "ColorRange.MPEG",
        ("capture/video/test_colours.py",),
    ),
    Mutant(
        "take each change of a source that changes at every frame",
        4,
        "capture/video/form_damper.py",
        "len(self._changes) >= MOST",
        "False",
        ("capture/video/test_form_damper.py",),
    ),
    Mutant(
        "forget what a camera's driver says of its colours",
        4,
        "capture/device/demux.py",
        "FormReader(told_by_driver(self._address))",
        "FormReader()",
        ("capture/device/test_v4l2_colours.py",),
    ),
    Mutant(
        "give full range to an encoder that may not say so",
        4,
        "capture/video/encoder_failover.py",
        "shown.colours.full_range and name in FULL_RANGE",
        "shown.colours.full_range",
        ("capture/video/test_colours.py",),
    ),
    Mutant(
        "begin an export's second file with audio alone",
        15,
        "evidence/export/assembly.py",
        "time < first * run.head.timescale",
        "False",
        ("evidence/export/test_mp4.py",),
    ),
)
