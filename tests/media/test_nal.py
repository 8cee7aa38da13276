"""NAL units: found in any bytes, told apart, and carried over into the form of MP4 without a changed bit."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.media.nal import NalCodec, NalForm, annexb_units, prefixed_room, prefixed_units, write_prefixed
from bwvd.testing.clip import numbered_clip


def no_start_code(unit: bytes) -> bool:
    return b"\0\0\0" not in unit and b"\0\0\1" not in unit and not unit.endswith(b"\0")


units = st.binary(min_size=1, max_size=60).filter(no_start_code)
codes = st.sampled_from([b"\0\0\1", b"\0\0\0\1", b"\0\0\0\0\0\1"])


def to_prefixed(data: bytes) -> bytes:
    room = memoryview(bytearray(prefixed_room(len(data))))
    return bytes(room[: write_prefixed(data, annexb_units(data), room)])


@given(st.lists(st.tuples(codes, units)), st.integers(0, 3))
def test_every_unit_is_found_and_carried_over_unchanged(parts: list[tuple[bytes, bytes]], zeros: int) -> None:
    data = b"".join(code + unit for code, unit in parts) + b"\0" * zeros
    assert [data[a:b] for a, b in annexb_units(data)] == [unit for _, unit in parts]
    prefixed = to_prefixed(data)
    assert [prefixed[a:b] for a, b in prefixed_units(prefixed, 4)] == [unit for _, unit in parts]


@given(st.binary(max_size=400))
def test_any_bytes_are_taken_without_an_error_and_fit_into_the_room(data: bytes) -> None:
    prefixed = to_prefixed(data)
    assert len(prefixed) <= prefixed_room(len(data))
    form = NalForm("hevc", 0)
    spans = form.units(data)
    assert form.look(data, True) == form.look(data, True, spans=spans)
    form.parameter_sets(data, spans)


@given(st.binary(max_size=200), st.sampled_from([1, 2, 4]))
def test_a_broken_length_is_an_error_and_never_reaches_past_the_end(data: bytes, length_bytes: int) -> None:
    try:
        spans = prefixed_units(data, length_bytes)
    except ValueError:
        return
    assert all(0 < a < b <= len(data) for a, b in spans)


@given(st.binary(max_size=200), st.sampled_from(["h264", "hevc"]), st.booleans())
def test_what_is_looked_at_where_it_lies_is_what_its_units_say(data: bytes, codec: NalCodec, reordered: bool) -> None:
    """Four bytes of length are read without making anything of the units: broken for one is broken for the other."""
    form = NalForm(codec, 4)
    for whole in (data, b"".join(len(one).to_bytes(4, "big") + one for one in data.split(b"\0"))):
        try:
            spans = form.units(whole)
        except ValueError:
            with pytest.raises(ValueError, match=r"past the end|cut off"):
                form.look(memoryview(whole), reordered)
            continue
        assert form.look(memoryview(whole), reordered) == form.look(whole, reordered, spans=spans)


@given(st.binary(max_size=120), st.sampled_from(["h264", "hevc"]), st.integers(0, 120))
def test_any_extradata_is_taken(data: bytes, codec: NalCodec, cut: int) -> None:
    for extradata in (data, b"\1" + data, (b"\1" + data)[:cut]):
        NalForm.of(codec, extradata).sets_in(extradata)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_extradata_of_both_forms_holds_the_sets_that_the_stream_has(tmp_path: Path, codec: str) -> None:
    """Those of MP4 (avcC, hvcC) are those that MPEG-TS has in its packets."""
    found = []
    for suffix in ("mp4", "ts"):
        clip = tmp_path / f"clip.{suffix}"
        numbered_clip(clip, 30, codec=codec)
        with av.open(str(clip)) as container:
            context = container.streams.video[0].codec_context
            extradata = bytes(context.extradata or b"")
            form = NalForm.of("h264" if codec == "libx264" else "hevc", extradata)
            assert bool(form.length_bytes) == (suffix == "mp4")
            found.append(form.sets_in(extradata))
    assert found[0] == found[1]
    assert len(found[0]) == (2 if codec == "libx264" else 3)


def test_worst_case_growth_fits() -> None:
    data = b"\0\0\1\x05" * 100
    assert len(to_prefixed(data)) == 500 == prefixed_room(len(data))


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_the_encoders_own_two_forms_hold_the_same_units(codec: str) -> None:
    """libx264 can write both forms; libx265 only Annex B, whose extradata must be told from hvcC."""
    forms = []
    for annexb in (0, 1):
        context = av.CodecContext.create(codec, "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height, context.pix_fmt = 64, 64, "yuv420p"
        context.time_base = Fraction(1, 30)
        context.flags |= 1 << 22  # extradata apart
        if codec == "libx264":
            context.options = {"tune": "zerolatency", "qp": "20", "x264-params": f"annexb={annexb}"}
        else:
            context.options = {"tune": "zerolatency", "x265-params": "log-level=none:qp=20"}
        frame = av.VideoFrame(64, 64, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes(range(64)) * (plane.buffer_size // 64))
        packets = context.encode(frame) + context.encode(None)
        data = bytes(packets[0])
        form = NalForm.of("h264" if codec == "libx264" else "hevc", context.extradata)
        spans = form.units(data)
        assert form.look(data, True).key
        forms.append((form.length_bytes, [data[a:b] for a, b in spans]))
    if codec == "libx264":
        assert [length for length, _ in forms] == [4, 0]
        slices = [[unit for unit in found if unit[0] & 0x1F == 5] for _, found in forms]
        assert slices[0] == slices[1] != []
    else:
        assert [length for length, _ in forms] == [0, 0]


def test_a_clean_random_access_picture_counts_only_where_nothing_is_reordered() -> None:
    form = NalForm("hevc", 0)
    data = b"\0\0\1" + bytes([21 << 1, 1, 0x80])
    assert form.look(data, reordered=False).key
    assert not form.look(data, reordered=True).key
    assert form.look(data, reordered=True).open


def test_an_intra_picture_that_is_no_idr_begins_nothing() -> None:
    form = NalForm("h264", 0)
    data = b"\0\0\1\x06\x06\x01\x80\0\0\1\x41\x88"  # a recovery point SEI, then a slice of type 1
    unit = form.look(data, reordered=False)
    assert (unit.key, unit.open) == (False, True)
    assert form.look(data, reordered=False, recovery=False) == unit._replace(open=False)
