"""A clip of an exported MP4 whose frames are shown in another order than they are decoded in."""

from __future__ import annotations

from pathlib import Path

import av
import c2pa
import pytest

from bwvd.evidence.export.clip import export_clip
from bwvd.evidence.export.credentials import Credentials
from bwvd.evidence.format.moment import Elapsed, Given
from tests.evidence.export.test_credentials import pictures
from tests.support.certificates import make_chain
from tests.support.desk import export_mp4
from tests.support.evidence_folder import make_recording, make_storage


def moment(seconds: float) -> Given:
    return Given("--from", str(seconds), Elapsed(round(seconds * 1_000_000_000)))


@pytest.mark.parametrize(("to_s", "last"), [(3.0, 30), (2.5, 25), (2.05, 21)])
@pytest.mark.parametrize("bframes", [0, 2])
def test_a_clip_ends_where_it_was_asked_to(tmp_path: Path, bframes: int, to_s: float, last: int) -> None:
    """Invariant 4: every frame before its end, in order, and behind it only what one of these refers to."""
    folder = make_recording(make_storage(tmp_path / "storage"), bframes=bframes, sound_from=0)
    chain, clip = make_chain(tmp_path / "pki"), tmp_path / "clip.mp4"
    credentials = Credentials(chain.certs, chain.key)
    export_mp4(folder, tmp_path / "whole.mp4", credentials=credentials)
    done = export_clip(tmp_path / "whole.mp4", clip, credentials, moment(1), moment(to_s))
    whole, made = pictures(tmp_path / "whole.mp4"), pictures(clip)
    assert made == whole[10 : 10 + len(made)]
    assert done.frames == len(made)
    assert last <= 10 + len(made) <= last + (bframes if to_s % 1 else 0)
    with av.open(str(clip)) as container:
        times = [frame.pts or 0 for frame in container.decode(video=0)]
    assert times == sorted(times)
    assert times[0] == 0
    assert c2pa.Reader(clip).get_validation_state() == "Valid"
