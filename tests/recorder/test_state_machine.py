"""What an order does in which state."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bwvd.clock import NS
from bwvd.messages import Order, State
from bwvd.recorder.state_machine import Effect, Machine, Times

TIMES = Times.of_seconds(post_roll_s=10, stop_confirm_s=5, max_s=0, reminder_s=120)


def _state(machine: Machine) -> State:
    """Asked anew each time: it changes behind the type checker's back."""
    return machine.state


def _press(machine: Machine, at_s: float) -> str:
    at_ns = round(at_s * NS)
    return machine.order(Order.PRESS, at_ns, at_ns).outcome


def _hold(machine: Machine, down_s: float) -> str:
    return machine.order(Order.STOP, round(down_s * NS), round((down_s + 3) * NS)).outcome


def test_press_records_hold_and_press_stop_and_the_post_roll_runs_out() -> None:
    machine = Machine(TIMES)
    assert _press(machine, 1) == "recording"
    assert _hold(machine, 10) == "stop_asked"
    assert _press(machine, 14) == "post_roll"
    assert _state(machine) is State.POST_ROLL
    assert machine.deadline_ns() == 24 * NS
    assert machine.expire(24 * NS) == [Effect.FINISH]
    assert machine.finishing == "stop"
    machine.finished()
    assert _state(machine) is State.STANDBY


def test_a_second_press_sets_a_marker() -> None:
    """Invariant 11: a second press never ends a recording."""
    machine = Machine(TIMES)
    _press(machine, 1)
    assert _press(machine, 1.2) == "marker"
    assert _press(machine, 60) == "marker"
    assert _state(machine) is State.RECORDING


def test_a_hold_alone_never_stops() -> None:
    """Invariant 11: without the confirmation in time the recording goes on."""
    machine = Machine(TIMES)
    _press(machine, 1)
    _hold(machine, 10)
    assert machine.expire(round(18.1 * NS)) == [Effect.LAPSE]
    assert _press(machine, 19) == "marker"
    assert _state(machine) is State.RECORDING


def test_a_late_press_is_no_answer_though_nobody_looked_at_the_clock() -> None:
    """Invariant 11: the press's own time counts, also where the timer has not run yet."""
    machine = Machine(TIMES)
    _press(machine, 1)
    _hold(machine, 10)  # asks at 13 s, until 18 s
    assert _press(machine, 18.1) == "marker"
    assert _state(machine) is State.RECORDING


def test_the_movement_that_asks_does_not_answer() -> None:
    """Invariant 11: a bounce at the end of the hold is no confirmation."""
    machine = Machine(TIMES)
    _press(machine, 1)
    _hold(machine, 10)
    assert _press(machine, 13.29) == "marker"
    assert _press(machine, 13.3) == "post_roll"


def test_the_hold_that_began_a_recording_does_not_ask_to_stop() -> None:
    """Invariant 11: a finger frozen on the button after the first press."""
    machine = Machine(TIMES)
    _press(machine, 1)
    assert _hold(machine, 1) == "ignored"
    assert not machine.stop_asked


def test_any_press_in_the_post_roll_resumes() -> None:
    """Invariant 5."""
    machine = Machine(TIMES)
    _press(machine, 1)
    machine.order(Order.STOP, 2 * NS, 2 * NS, confirmed=True)
    assert _state(machine) is State.POST_ROLL
    assert _press(machine, 11.9) == "resumed"
    assert _state(machine) is State.RECORDING
    machine.order(Order.STOP, 20 * NS, 20 * NS, confirmed=True)
    machine.expire(30 * NS)
    assert machine.finishing
    assert _press(machine, 30.1) == "resumed", "even while the last GOP is awaited"
    assert not machine.finishing


def test_the_hold_that_resumed_a_recording_does_not_ask_to_stop() -> None:
    """Invariant 11."""
    machine = Machine(TIMES)
    _press(machine, 1)
    machine.order(Order.STOP, 2 * NS, 2 * NS, confirmed=True)
    _press(machine, 5)
    assert _hold(machine, 5) == "ignored"


def test_press_wakes_and_records() -> None:
    """Invariant 5: a press in any state ends in recording."""
    machine = Machine(TIMES)
    assert machine.order(Order.SLEEP, 0, 0).effects == (Effect.SLEEP,)
    assert machine.order(Order.PRESS, 1, 1).effects == (Effect.WAKE, Effect.BEGIN)


def test_a_refused_press_says_why() -> None:
    """Invariant 5: or in a reason why not."""
    machine = Machine(TIMES)
    decision = machine.order(Order.PRESS, 1, 1, refuse="the flash is full")
    assert (decision.outcome, decision.refused) == ("refused", "the flash is full")
    assert _state(machine) is State.STANDBY


def test_sleep_is_refused_while_recording() -> None:
    machine = Machine(TIMES)
    _press(machine, 1)
    assert machine.order(Order.SLEEP, 2, 2).refused == "recording"
    assert _state(machine) is State.RECORDING


def test_record_takes_a_question_to_stop_back() -> None:
    machine = Machine(TIMES)
    _press(machine, 1)
    _hold(machine, 10)
    assert machine.order(Order.RECORD, 14 * NS, 14 * NS).outcome == "already"
    assert not machine.stop_asked


def test_max_s_ends_a_recording_and_reminders_come_until_then() -> None:
    machine = Machine(Times.of_seconds(10, 5, max_s=300, reminder_s=120))
    _press(machine, 0)
    assert machine.deadline_ns() == 120 * NS
    assert machine.expire(120 * NS) == [Effect.REMIND]
    assert machine.expire(241 * NS) == [Effect.REMIND]
    assert machine.expire(300 * NS) == [Effect.FINISH]
    assert machine.finishing == "max_s"


def test_reminders_missed_while_the_device_was_stopped_come_once() -> None:
    machine = Machine(TIMES)
    _press(machine, 0)
    assert machine.expire(1000 * NS) == [Effect.REMIND]
    assert machine.deadline_ns() == 1080 * NS


ORDERS = st.lists(
    st.tuples(st.sampled_from(list(Order)), st.integers(0, 8_000_000_000), st.booleans(), st.booleans()), max_size=40
)


@settings(max_examples=300)
@given(ORDERS)
def test_only_a_confirmed_stop_leaves_the_recording(orders: list[tuple[Order, int, bool, bool]]) -> None:
    """Invariants 5 and 11 over random orders: presses never end, and always begin unless refused with a reason."""
    machine = Machine(TIMES)
    now_ns = NS
    for order, later_ns, confirmed, full in orders:
        now_ns += later_ns
        machine.expire(now_ns)
        if machine.finishing:
            machine.finished()
        before, asked = machine.state, machine.stop_asked
        decision = machine.order(order, now_ns, now_ns, confirmed=confirmed, refuse="full" if full else "")
        if order in (Order.PRESS, Order.RECORD):
            if before in (State.ASLEEP, State.STANDBY) and full:
                assert decision.refused
            elif order is Order.PRESS and asked and before is State.RECORDING:
                assert machine.state in (State.RECORDING, State.POST_ROLL)
            else:
                assert _state(machine) is State.RECORDING
        if before is State.RECORDING and machine.state is not State.RECORDING:
            assert _state(machine) is State.POST_ROLL
            assert (order is Order.STOP and confirmed) or (order is Order.PRESS and asked)
        deadline = machine.deadline_ns()
        assert deadline is None or deadline > now_ns - 1


@settings(max_examples=300)
@given(ORDERS, st.lists(st.tuples(*[st.sampled_from([0.0, 0.001, 3.0])] * 4), min_size=2))
def test_spans_may_change_at_any_time(
    orders: list[tuple[Order, int, bool, bool]], spans: list[tuple[float, float, float, float]]
) -> None:
    """A configuration that is read again in the middle of a recording, reminders switched off and on included."""
    now_ns = NS
    machine = Machine(Times.of_seconds(*spans[-1]))
    machine.order(Order.PRESS, now_ns, now_ns)
    for turn, (order, later_ns, confirmed, _) in enumerate(orders):
        machine.times = Times.of_seconds(*spans[turn % len(spans)])
        now_ns += later_ns
        effects = machine.expire(now_ns)
        assert Effect.REMIND not in effects or machine.times.reminder_ns
        if machine.finishing:
            machine.finished()
        machine.order(order, now_ns, now_ns, confirmed=confirmed)
        deadline = machine.deadline_ns()
        assert deadline is None or deadline > now_ns - 1


def test_reminders_that_are_switched_off_do_not_come() -> None:
    machine = Machine(TIMES)
    _press(machine, 0)
    machine.times = Times.of_seconds(post_roll_s=10, stop_confirm_s=5, max_s=0, reminder_s=0)
    assert machine.expire(120 * NS) == []
    assert machine.deadline_ns() is None


def test_a_press_in_the_post_roll_goes_on_though_the_longest_time_has_passed() -> None:
    """Invariant 5: it must not end at once what it has just taken up again."""
    machine = Machine(Times.of_seconds(post_roll_s=10, stop_confirm_s=5, max_s=300, reminder_s=0))
    _press(machine, 0)
    machine.order(Order.STOP, 295 * NS, 295 * NS, confirmed=True)
    assert machine.expire(302 * NS) == []
    assert _press(machine, 302) == "resumed"
    assert machine.expire(303 * NS) == []
    assert _state(machine) is State.RECORDING
