"""The text protocol of a serial line: what is understood, and that nothing else does anything."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bwvd.clock import NS
from bwvd.controls.serial_protocol import (
    _ORDERS,
    ERR_BURST,
    ERR_REFILL_NS,
    MAX_LINE_BYTES,
    Asked,
    ErrorLimit,
    LineReader,
    NotUnderstood,
    Ordered,
    Said,
    answer_line,
    event_line,
    help_line,
    one_line,
    parse_line,
    status_line,
)
from bwvd.messages import (
    Answer,
    Assigned,
    ClockStepped,
    Event,
    FaultChanged,
    LowStorage,
    Muted,
    Order,
    Pressed,
    Recorded,
    Reminder,
    State,
    StateChanged,
    StopAsked,
    StopNotConfirmed,
)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"RECORD", Ordered(Order.RECORD)),
        (b"record", Ordered(Order.RECORD)),
        (b"  Stop ", Ordered(Order.STOP)),
        (b"MARK", Ordered(Order.MARK)),
        (b"mark  Suspect in red  car ", Ordered(Order.MARK, "Suspect in red  car")),
        (b"SLEEP", Ordered(Order.SLEEP)),
        (b"WAKE", Ordered(Order.WAKE)),
        (b"MUTE", Ordered(Order.MUTE)),
        (b"UNMUTE", Ordered(Order.UNMUTE)),
        (b"OFFICER 4711", Ordered(Order.ASSIGN, "4711")),
        (b"OFFICER", Ordered(Order.ASSIGN)),
        (b"STATUS", Asked("STATUS")),
        (b"ping", Asked("PING")),
        (b"help", Asked("HELP")),
        (b"HELP RECORD", NotUnderstood("HELP takes no text")),
        (b"", NotUnderstood("empty line")),
        (b"RECORD NOW", NotUnderstood("RECORD takes no text")),
        (b"STATUS x", NotUnderstood("STATUS takes no text")),
        (b"RECORDING", NotUnderstood("unknown command")),
        (b"PRESS", NotUnderstood("unknown command")),
        (b"RECORD\0", NotUnderstood("not printable ASCII")),
        (b"MARK caf\xc3\xa9", NotUnderstood("not printable ASCII")),
        (b"MARK a\tb", NotUnderstood("not printable ASCII")),
        (b"MARK " + b"x" * 251, Ordered(Order.MARK, "x" * 251)),
        (b"MARK " + b"x" * 252, NotUnderstood("line too long")),
    ],
)
def test_what_a_line_says(line: bytes, said: Said) -> None:
    assert parse_line(line) == said


def test_help_names_every_command_on_one_line() -> None:
    said = help_line()
    assert said.startswith("OK ")
    assert one_line(said) == said
    assert len(said) < MAX_LINE_BYTES  # one_line cuts what is longer
    commands = said.removeprefix("OK ").split(", ")
    assert {command.split()[0] for command in commands} == {*_ORDERS, "STATUS", "PING", "HELP"}
    for command in commands:
        assert not isinstance(parse_line(command.encode()), NotUnderstood)


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_lines_end_with_cr_lf_or_both(end: bytes) -> None:
    assert LineReader().feed(b"PING" + end + b"WAKE" + end) == [Asked("PING"), Ordered(Order.WAKE)]


def test_a_long_line_is_said_once_and_swallowed_to_its_end() -> None:
    reader = LineReader()
    assert reader.feed(b"RECORD " * 1000) == [NotUnderstood("line too long")]
    assert reader.feed(b"RECORD " * 1000) == []
    assert reader.feed(b"RECORD\nRECORD\n") == [Ordered(Order.RECORD)]


def test_a_line_of_any_length_takes_no_memory() -> None:
    reader = LineReader()
    for _ in range(100):
        reader.feed(b"\x55" * 4096)
        assert len(reader._line) <= MAX_LINE_BYTES


def read_at_once(data: bytes) -> list[Said]:
    """The same by other means: cut at every line end, then look at each line alone."""
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    said = [parse_line(line) for line in lines[:-1]]
    if len(lines[-1]) > MAX_LINE_BYTES:
        said.append(NotUnderstood("line too long"))
    return said


pieces = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([b"\r", b"\n", b"\r\n", b"RECORD", b"stop", b"MARK x", b"STATUS", b"x" * 300]),
    ),
    max_size=20,
)


@given(pieces)
@example([b"PING\r", b"\n", b"\n"])
@example([b"x" * 256, b"\r", b"\n"])
def test_how_the_bytes_are_cut_does_not_matter(cuts: list[bytes]) -> None:
    reader = LineReader()
    assert [said for cut in cuts for said in reader.feed(cut)] == read_at_once(b"".join(cuts))


@given(st.binary(max_size=2000))
def test_any_bytes_order_something_only_by_a_whole_valid_line(noise: bytes) -> None:
    verbs = (b"RECORD", b"STOP", b"MARK", b"SLEEP", b"WAKE", b"MUTE", b"UNMUTE", b"OFFICER")
    for said in LineReader().feed(noise):
        if isinstance(said, Ordered):
            assert any(verb in noise.upper() for verb in verbs)
        else:
            assert isinstance(said, Asked | NotUnderstood)


def test_noise_is_answered_with_a_few_lines_then_a_few_a_second() -> None:
    """A line that echoes, or a flood, must not be fed by its own answers."""
    limit = ErrorLimit()
    answers = [limit.line("unknown command", 0) for _ in range(1000)]
    assert answers[:ERR_BURST] == ["ERR unknown command"] * ERR_BURST
    assert answers[ERR_BURST:] == [None] * (1000 - ERR_BURST)
    assert limit.line("unknown command", ERR_REFILL_NS) == f"ERR unknown command ({1000 - ERR_BURST} more)"
    assert limit.line("unknown command", ERR_REFILL_NS) is None
    assert [limit.line("x", 100 * NS) for _ in range(ERR_BURST + 1)][-2:] == ["ERR x", None]


@given(st.lists(st.integers(0, ERR_REFILL_NS * 3 // 2), max_size=200))
def test_no_more_err_than_the_bucket_holds(gaps: list[int]) -> None:
    limit, now_ns, sent, unsent = ErrorLimit(), 0, 0, 0
    for gap in gaps:
        now_ns += gap
        if limit.line("x", now_ns):
            sent, unsent = sent + 1, 0
        else:
            unsent += 1
        assert limit.unanswered == unsent
    assert sent <= ERR_BURST + sum(gaps) / ERR_REFILL_NS


@given(st.text())
def test_whatever_the_text_one_line_of_printable_ascii(text: str) -> None:
    for line in (one_line(text), answer_line(Answer(ok=True, text=text)), answer_line(Answer(ok=False, text=text))):
        assert line.isascii()
        assert line == "" or line.isprintable()
        assert len(line) <= MAX_LINE_BYTES


def test_answers() -> None:
    assert answer_line(Answer(ok=True, text="recording", recording="20261122T071503Z-BWV-0001-000042")) == (
        "OK recording 20261122T071503Z-BWV-0001-000042"
    )
    assert answer_line(Answer(ok=False, text="storage full")) == "ERR storage full"


def test_the_status_line() -> None:
    assert status_line({}) == "OK state=- recording=- seconds=- loop=- minutes_left=- faults=-"
    status = {
        "state": "recording",
        "loop": {"seconds": 30.21, "capacity_s": 30},
        "recording": {"id": "X-1", "seconds": 12.34},
        "storage": {"minutes_left": 118.6},
        "faults": [{"name": "camera", "detail": "gone"}, "clock"],
    }
    assert status_line(status) == (
        "OK state=recording recording=X-1 seconds=12.3 loop=30.2 minutes_left=119 faults=camera,clock"
    )
    assert "minutes_left=0" in status_line({"storage": {"minutes_left": 0}})


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (StateChanged(State.RECORDING, State.STANDBY, 0, "gpio:record", "X-1"), "EVT state recording X-1"),
        (StateChanged(State.STANDBY, State.POST_ROLL, 0, "post_roll_over"), "EVT state standby -"),
        (Pressed(Order.PRESS, "gpio:record", 0, 0, "marker", recording="X-1"), "EVT marker X-1"),
        (Pressed(Order.RECORD, "x", 0, 0, "refused", "storage full"), "EVT refused record storage full"),
        (Pressed(Order.PRESS, "x", 0, 0, "recording"), None),
        (StopAsked(0, 5 * NS), "EVT stop_asked 5.0"),
        (StopNotConfirmed(0), "EVT stop_not_confirmed"),
        (Reminder(0), "EVT still_recording"),
        (
            FaultChanged("camera", True, 0, "/dev/video0: gone\nfor good"),
            "EVT fault camera begun /dev/video0: gone for good",
        ),
        (FaultChanged("camera", False, 0), "EVT fault camera ended"),
        (Recorded("X-1", 1, 0, closed=False), "EVT opened X-1"),
        (Recorded("X-1", 1, 0, closed=True, reason="stop"), "EVT closed X-1 stop"),
        (LowStorage(30, 0), "EVT low_storage 30"),
        (ClockStepped(0, -1_500_000_000, "free"), "EVT clock_stepped -1.500 free"),
        (Muted(True, 0, "x"), "EVT muted"),
        (Muted(False, 0, "x"), "EVT unmuted"),
        (Assigned("4711", 0, "x"), None),
    ],
)
def test_events(event: Event, line: str | None) -> None:
    assert event_line(event) == line
