"""From edges to orders: one button, its bounces, storms, lost edges and the gestures that are configured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.config.schema import Gestures
from bwvd.controls.gesture import Asked, ButtonReader, ContactFault, GestureEvent, LostEdges, Reader, order_of
from bwvd.controls.ports import Edge
from bwvd.controls.slide_switch import gesture_reader
from bwvd.messages import Order

MS = 1_000_000
S = 1_000 * MS
DEBOUNCE = 20 * MS
DEFAULT = Gestures()


def button(gestures: Gestures = DEFAULT, debounce_ns: int = DEBOUNCE) -> ButtonReader:
    reader = ButtonReader(gestures, debounce_ns)
    assert reader.start(down=False, at_ns=0) == []
    return reader


def move(reader: Reader, *moves: tuple[float, bool], until_ms: float = 0) -> list[GestureEvent]:
    """Edges at milliseconds, each followed by the deadlines that fall before the next one."""
    events: list[GestureEvent] = []
    for at_ms, down in moves:
        at_ns = round(at_ms * MS)
        events += pass_time(reader, at_ns) + reader.edge(Edge(down, at_ns))
    return events + pass_time(reader, round(until_ms * MS))


def pass_time(reader: Reader, until_ns: int) -> list[GestureEvent]:
    events: list[GestureEvent] = []
    while (deadline := reader.deadline) is not None and deadline <= until_ns:
        events += reader.expire(deadline)
    return events


def asked(events: list[GestureEvent]) -> list[tuple[Order, float]]:
    return [(event.order, event.at_ns / MS) for event in events if isinstance(event, Asked)]


def test_a_press_asks_at_its_down_edge() -> None:
    reader = button()
    assert reader.edge(Edge(down=True, at_ns=7)) == [Asked(Order.PRESS, 7, "press")]


def test_a_hold_asks_once_and_carries_the_time_of_its_down_edge() -> None:
    reader = button()
    events = move(reader, (1000, True), (9000, False), until_ms=20_000)
    assert asked(events) == [(Order.PRESS, 1000), (Order.STOP, 1000)]
    assert events[1] == Asked(Order.STOP, 1000 * MS, "hold")


def test_a_press_that_is_let_go_a_moment_too_early_is_no_hold() -> None:
    assert asked(move(button(), (1000, True), (3999, False), until_ms=9000)) == [(Order.PRESS, 1000)]


def test_bounces_are_absorbed_at_both_ends() -> None:
    moves = [(0.0, True), (0.4, False), (0.9, True), (1.5, False), (2.0, True)]
    moves += [(100.0, False), (100.3, True), (101.0, False), (102.0, True), (102.5, False)]
    assert asked(move(button(), *moves, until_ms=9000)) == [(Order.PRESS, 0)]


def test_a_press_shorter_than_the_debounce_time_counts() -> None:
    """Invariant 5: the first edge is enough."""
    assert asked(move(button(), (0, True), (1, False), until_ms=5000)) == [(Order.PRESS, 0)]


def test_a_contact_that_chatters_while_held_never_asks_to_stop() -> None:
    """Invariant 11: a hold is steady."""
    moves = [(at, at % 1000 < 990) for second in range(0, 20_000, 1000) for at in (second, second + 990)]
    assert asked(move(button(), *moves)) == [(Order.PRESS, 0)]


def test_a_press_right_after_a_hold_ensures_a_recording_and_answers_nothing() -> None:
    """Invariant 11: until 300 ms after the release it is the same movement."""
    events = move(button(), (0, True), (3100, False), (3399, True), (3450, False), (3800, True), until_ms=3801)
    assert asked(events) == [(Order.PRESS, 0), (Order.STOP, 0), (Order.RECORD, 3399), (Order.PRESS, 3800)]


def test_a_grip_after_a_grip_is_no_answer() -> None:
    """Invariant 11: the second hold takes back what its press may have answered, then asks again."""
    events = move(button(), (0, True), (4000, False), (5000, True), until_ms=8000)
    assert asked(events) == [
        (Order.PRESS, 0),
        (Order.STOP, 0),
        (Order.PRESS, 5000),
        (Order.RECORD, 5000),
        (Order.STOP, 5000),
    ]


def test_double_replaces_the_second_press_and_a_third_is_a_press_again() -> None:
    reader = button(Gestures(double="mark"))
    events = move(reader, (0, True), (100, False), (300, True), (380, False), (500, True), (600, False))
    assert asked(events) == [(Order.PRESS, 0), (Order.MARK, 300), (Order.PRESS, 500)]


def test_two_slow_presses_are_no_double() -> None:
    events = move(button(Gestures(double="mark")), (0, True), (100, False), (401, True))
    assert asked(events) == [(Order.PRESS, 0), (Order.PRESS, 401)]


def test_a_device_that_starts_on_a_double_press() -> None:
    reader = button(Gestures(press="", double="record"))
    assert asked(move(reader, (0, True), (100, False), (300, True), (350, False))) == [(Order.RECORD, 300)]


def test_a_short_press_then_a_hold() -> None:
    reader = button(Gestures(press_hold="sleep"))
    events = move(reader, (0, True), (100, False), (250, True), (5000, False), (9000, True), (13_000, False))
    assert asked(events) == [
        (Order.PRESS, 0),
        (Order.PRESS, 250),
        (Order.SLEEP, 250),
        (Order.PRESS, 9000),
        (Order.STOP, 9000),
    ]


def test_a_hold_for_mute_mutes_while_it_is_held() -> None:
    reader = button(Gestures(press="", hold="mute", hold_s=0.5))
    events = move(reader, (0, True), (200, False), (1000, True), (4000, False), until_ms=5000)
    assert asked(events) == [(Order.MUTE, 1000), (Order.UNMUTE, 4000)]


def test_presses_for_mute_take_turns() -> None:
    reader = button(Gestures(press="mute", hold=""))
    events = move(reader, (0, True), (100, False), (1000, True), (1100, False), (2000, True), (2100, False))
    assert [order for order, _ in asked(events)] == [Order.MUTE, Order.UNMUTE, Order.MUTE]


def test_a_mute_does_not_outlive_its_contact() -> None:
    reader = button(Gestures(press="", hold="mute", hold_s=0.5))
    move(reader, (0, True), until_ms=600)
    assert asked(reader.gone(700 * MS)) == [(Order.UNMUTE, 700)]


@pytest.mark.parametrize("period_ms", [1, 2, 4])
def test_a_bounce_storm_does_one_press_and_is_named(period_ms: int) -> None:
    """Invariant 11: ten seconds of bouncing; RECORD takes back what the first edge may have answered."""
    reader = button()
    events = move(reader, *((at, at // period_ms % 2 == 0) for at in range(0, 10_000, period_ms)))
    assert asked(events)[0] == (Order.PRESS, 0)
    assert [order for order, _ in asked(events)] == [Order.PRESS, Order.RECORD]
    assert [event.active for event in events if isinstance(event, ContactFault)] == [True]
    assert reader.faults == ["storm"]

    end = pass_time(reader, 12 * S)
    assert [(event.name, event.active) for event in end if isinstance(event, ContactFault)] == [("storm", False)]
    assert asked(end) == []
    assert reader.faults == []
    assert asked(move(reader, (20_000, False), (21_000, True)))[-1] == (Order.PRESS, 21_000)


def test_a_slow_rattle_is_a_storm_too() -> None:
    """25 presses a second pass the debouncing; no finger does that."""
    reader = button()
    events = move(reader, *((at, at // 25 % 2 == 0) for at in range(0, 20_000, 25)), until_ms=30_000)
    presses = [at for order, at in asked(events) if order is Order.PRESS]
    assert len(presses) < 15
    assert asked(events)[-1][0] is Order.RECORD
    assert [(event.name, event.active) for event in events if isinstance(event, ContactFault)] == [
        ("storm", True),
        ("storm", False),
    ]


def test_a_button_that_a_storm_leaves_down_gets_no_hold() -> None:
    reader = button()
    moves = [(float(at), at % 2 == 0) for at in range(400)]
    events = move(reader, *moves, (400.0, True), until_ms=30_000)
    assert Order.STOP not in [order for order, _ in asked(events)]


def test_a_stuck_button_is_named_until_it_comes_up() -> None:
    reader = button()
    events = move(reader, (0, True), until_ms=59_999)
    assert not [event for event in events if isinstance(event, ContactFault)]
    assert pass_time(reader, 60 * S) == [ContactFault("stuck", active=True, at_ns=60 * S, detail="down for 60 s")]
    assert reader.faults == ["stuck"]
    assert move(reader, (90_000, False), until_ms=91_000) == [ContactFault("stuck", active=False, at_ns=90 * S)]


@pytest.mark.parametrize(
    ("edges", "orders"),
    [
        pytest.param([Edge(False, S, lost=1)], [Order.RECORD], id="a press and its release, the press lost"),
        pytest.param([Edge(False, S)], [Order.RECORD], id="a release without a press"),
        pytest.param([Edge(True, S), Edge(True, 2 * S)], [Order.PRESS, Order.RECORD], id="a release lost"),
        pytest.param([Edge(True, S), Edge(False, 2 * S, lost=2)], [Order.PRESS, Order.RECORD], id="a pair lost"),
        pytest.param([Edge(True, S, lost=2)], [Order.RECORD], id="a pair lost before a press"),
    ],
)
def test_lost_edges_lose_no_press(edges: list[Edge], orders: list[Order]) -> None:
    """Invariant 5: what was not seen ensures a recording; it answers nothing, since nobody knows when it was."""
    reader = button()
    events = [event for edge in edges for event in reader.edge(edge)]
    assert [order for order, _ in asked(events)] == orders
    assert [event.count for event in events if isinstance(event, LostEdges)] == [max(edges[-1].lost, 1)]
    assert asked(move(reader, (10_000, False), (11_000, True)))[-1] == (Order.PRESS, 11_000)


def test_a_button_that_is_down_at_the_start_was_pressed() -> None:
    """Invariant 5: pressed while the daemon started. Its hold counts for nothing: nobody knows since when."""
    reader = ButtonReader(DEFAULT, DEBOUNCE)
    assert reader.start(down=True, at_ns=5 * S) == [Asked(Order.RECORD, 5 * S, "unseen")]
    assert asked(pass_time(reader, 50 * S)) == []


def test_a_press_while_the_contact_was_away_counts_once() -> None:
    reader = button()
    assert reader.gone(S) == []
    assert asked(reader.start(down=True, at_ns=2 * S)) == [(Order.RECORD, 2000)]
    assert reader.gone(3 * S) == []
    assert reader.start(down=True, at_ns=4 * S) == []  # still the same press
    assert asked(move(reader, (5000, False), (6000, True))) == [(Order.PRESS, 6000)]


def test_an_edge_out_of_order_counts_as_now() -> None:
    reader = button()
    reader.edge(Edge(True, 10 * S))
    reader.edge(Edge(False, 11 * S))
    assert asked(pass_time(reader, 12 * S)) == []
    assert asked(reader.edge(Edge(True, 9 * S))) == [(Order.PRESS, 9000)]
    assert asked(move(reader, (13_999, False), until_ms=14_500)) == []  # the hold is timed from 11 s
    assert asked(move(reader, (15_000, True))) == [(Order.PRESS, 15_000)]


@pytest.mark.parametrize("text", ["toggle", "assign", "PRESS"])
def test_an_order_that_does_not_exist_is_named_with_its_key(text: str) -> None:
    with pytest.raises(ValueError, match=rf"^gestures\.hold: there is no order '{text}'; there are press, record,"):
        ButtonReader(Gestures(hold=text), DEBOUNCE)
    assert order_of("", "gestures.hold") is None


# --- switches ---------------------------------------------------------------------------------------------------------


def switch(down: bool = False) -> tuple[Reader, list[GestureEvent]]:
    reader = gesture_reader(DEFAULT, "switch", DEBOUNCE)
    return reader, reader.start(down, 0)


def test_a_switch_records_while_it_is_on() -> None:
    reader, events = switch()
    assert events == []
    events = move(reader, (1000, True), (60_000, False), until_ms=61_000)
    assert events == [
        Asked(Order.RECORD, 1 * S, "on"),
        Asked(Order.STOP, 60 * S, "off", confirmed=True),
    ]


def test_the_position_at_the_start_counts() -> None:
    assert asked(switch(down=True)[1]) == [(Order.RECORD, 0)]
    assert switch(down=False)[1] == []


def test_a_switch_that_bounces_back_on_stops_nothing() -> None:
    """Invariant 11."""
    reader, _ = switch()
    assert asked(move(reader, (0, True), (5000, False), (5299, True), until_ms=9000)) == [(Order.RECORD, 0)]


def test_a_rattling_switch_stops_nothing_wherever_it_ends() -> None:
    """Invariant 11: what a storm leaves behind asks for nothing; the next deliberate move counts again."""
    reader, _ = switch()
    events = move(reader, (0, True), *((at, at % 2 == 0) for at in range(5000, 6000)), until_ms=9000)
    assert asked(events) == [(Order.RECORD, 0)]
    events = move(reader, (10_000, True), (11_000, False), until_ms=12_000)
    assert asked(events) == [(Order.RECORD, 10_000), (Order.STOP, 11_000)]


def test_a_switch_that_was_moved_while_away() -> None:
    reader, _ = switch(down=True)
    reader.gone(S)
    assert reader.start(down=False, at_ns=2 * S) == []
    assert asked(pass_time(reader, 3 * S)) == [(Order.STOP, 2000)]
    reader.gone(4 * S)
    assert asked(reader.start(down=True, at_ns=5 * S)) == [(Order.RECORD, 5000)]


def test_a_switch_with_lost_edges_is_not_left_unheard() -> None:
    """Invariant 5: off again after moves that nobody saw: it was on in between."""
    reader, _ = switch()
    events = reader.edge(Edge(False, S, lost=1)) + pass_time(reader, 2 * S)
    assert asked(events) == [(Order.RECORD, 1000), (Order.STOP, 1000)]


# --- properties -------------------------------------------------------------------------------------------------------

edges = st.lists(
    st.builds(Edge, down=st.booleans(), at_ns=st.integers(0, 6 * S), lost=st.sampled_from([0, 0, 0, 0, 1, 2, 50])),
    max_size=60,
)
gestures = st.builds(
    Gestures,
    press=st.sampled_from(["press", "record", "mute", ""]),
    hold=st.sampled_from(["stop", "mute", ""]),
    double=st.sampled_from(["", "mark", "mute"]),
    press_hold=st.sampled_from(["", "sleep"]),
)
modes = st.sampled_from(["button", "switch"])


@given(edges, gestures, modes)
def test_what_comes_out_does_not_depend_on_when_the_reader_is_asked(
    moves: list[Edge], gestures: Gestures, mode: str
) -> None:
    moves = sorted(moves, key=lambda edge: edge.at_ns)
    lazy = gesture_reader(gestures, mode, DEBOUNCE)
    eager = gesture_reader(gestures, mode, DEBOUNCE)
    late = lazy.start(False, 0)
    prompt = eager.start(False, 0)
    for edge in moves:
        late += lazy.edge(edge)
        prompt += pass_time(eager, edge.at_ns) + eager.edge(edge)
    assert prompt + pass_time(eager, 100 * S) == late + lazy.expire(100 * S)
    assert eager.faults == lazy.faults


@given(st.lists(st.builds(Edge, down=st.booleans(), at_ns=st.integers(0, 6 * S), lost=st.integers(0, 300))), modes)
def test_any_edges_in_any_order_end_calm_and_the_next_press_counts(moves: list[Edge], mode: str) -> None:
    """Invariant 5."""
    reader = gesture_reader(DEFAULT, mode, DEBOUNCE)
    reader.start(False, 0)
    for edge in moves:
        reader.edge(edge)
    reader.expire(20 * S)
    reader.edge(Edge(False, 21 * S))
    reader.expire(22 * S)
    assert reader.faults == []
    assert reader.deadline is None
    orders = [order for order, _ in asked(reader.edge(Edge(True, 30 * S)))]
    assert orders in ([Order.PRESS], [Order.RECORD])


@given(st.lists(st.integers(1, 400), min_size=1, max_size=40))
def test_moves_without_a_steady_hold_never_ask_to_stop(gaps_ms: list[int]) -> None:
    """Invariant 11."""
    reader = button()
    at_ms, moves = 0, []
    for index, gap in enumerate(gaps_ms):
        at_ms += gap
        moves.append((float(at_ms), index % 2 == 0))
    events = move(reader, *moves, (at_ms + 400.0, False), until_ms=60_000)
    assert Order.STOP not in [order for order, _ in asked(events)]
    assert asked(events)[0] == (Order.PRESS, gaps_ms[0])
