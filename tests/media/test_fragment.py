"""What the muxer writes is what it was given, or an error."""

from __future__ import annotations

import pytest

from bwvd.media import init_segment
from bwvd.media.fragment import Epoch
from tests.support.evidence_folder import START_NS, media


@pytest.mark.parametrize("sound", [False, True])
def test_a_fragment_holds_every_byte_of_its_samples(sound: bool) -> None:
    clip = media(2)
    gop = clip.gop(0, sound=sound)
    epoch = Epoch(clip.video, clip.audio)
    fragment = epoch.fragment(gop, 1, START_NS)
    for batch in gop.batches:
        for sample in batch.samples:
            if sample.dts_ns >= START_NS:
                assert bytes(batch.data[sample.offset : sample.offset + sample.size]) in fragment
    epoch.close()


@pytest.mark.parametrize("lost", [1, 100])
def test_a_fragment_that_lacks_bytes_is_not_signed(lost: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 4: libav does not always say that a write has failed."""
    clip = media(2)
    epoch = Epoch(clip.video, None)
    whole = init_segment.Written.write

    def write(sink: init_segment.Written, data: bytes) -> int:
        whole(sink, data[:-lost] if b"mdat" in bytes(sink.data) or b"mdat" in bytes(data) else data)
        return len(data)

    monkeypatch.setattr(init_segment.Written, "write", write)
    with pytest.raises(RuntimeError, match=r"of samples of|init segment"):
        epoch.fragment(clip.gop(0, sound=False), 1, START_NS)
    epoch.close()
