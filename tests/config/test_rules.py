"""Controls and indicators: each table drives or hears one thing, and no two tables the same."""

from __future__ import annotations

import pytest

from bwvd.config.load import parse
from bwvd.config.schema import ConfigError
from bwvd.messages import Order


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f")
    return str(caught.value).removeprefix("f: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[gpio]]\nline = 3\n[[gpio]]\nline = 3", 'gpio#1, gpio#2: both are on line 3 of "/dev/gpiochip0"'),
        ("[[gpio]]\n[[gpio]]\nline = 'BTN'\n[[gpio]]", 'gpio#1, gpio#3: both are on line 17 of "/dev/gpiochip0"'),
        ("[[gpio]]\n[[led]]\nchip = '/dev/gpiochip0'\nline = 17", 'gpio, led: both are on line 17 of "/dev/gpiochip0"'),
        ("[[led]]\nchip = '/c'\nline = 9\n[[tone]]\nchip = '/c'\nline = 9", 'led, tone: both are on line 9 of "/c"'),
        ("[[input]]\n[[input]]", 'input#1, input#2: both are on KEY_RECORD of "/dev/input/event0"'),
        ("[[serial]]\n[[serial]]\nbaud = 9600", 'serial#1, serial#2: both are on "/dev/ttyS1"'),
        ("[[led]]\nname = 'a'\n[[led]]\nname = 'a'", 'led#1, led#2: both are on the LED "a"'),
        ("[[led]]\ndevice = '/e'\n[[led]]\ndevice = '/e'", 'led#1, led#2: both are on LED_MISC of "/e"'),
        ("[[haptic]]\ndevice = '/a'\n[[haptic]]\ndevice = '/a'", 'haptic#1, haptic#2: both are on the haptic of "/a"'),
        ("[[tone]]\ndevice = '/a'\n[[tone]]\ndevice = '/a'", 'tone#1, tone#2: both are on the tone of "/a"'),
        (
            "[[tone]]\npwm = 'pwmchip0/1'\n[[tone]]\npwm = 'pwmchip0/pwm1'",
            "tone#1, tone#2: both are on the PWM channel pwmchip0/1",
        ),
        ("[[input]]\n[[input]]\nkey = 'KEY_CAMERA'\ngrab = false",
         'input#1.grab, input#2.grab: both are on "/dev/input/event0": set both to false'),
    ],
)  # fmt: skip
def test_two_tables_on_one_thing_are_both_named(text: str, expected: str) -> None:
    assert refused(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "[[gpio]]\nline = 3\n[[gpio]]\nline = 3\nchip = '/dev/gpiochip1'",
        "[[gpio]]\nline = 3\n[[gpio]]\nline = '3'",  # a line may be called 3
        "[[input]]\ngrab = false\n[[input]]\nkey = 'KEY_CAMERA'\ngrab = false",
        "[[input]]\n[[input]]\ndevice = '/dev/input/event1'",
        "[[input]]\ndevice = '/e'\n[[haptic]]\ndevice = '/e'\n[[tone]]\ndevice = '/e'",  # one device can be all three
        "[[led]]\nname = 'a'\n[[led]]\nname = 'b'",
        "[[led]]\ndevice = '/e'\n[[led]]\ndevice = '/e'\nled = 'LED_MUTE'",
        f"[[serial]]\nport = '/{'p' * 200}/tty1'\n[[serial]]\nport = '/{'p' * 200}/tty2'",  # alike as far as is shown
        f"[[led]]\nname = '{'n' * 200}1'\n[[led]]\nname = '{'n' * 200}2'",
    ],
)
def test_different_things_may_stand_beside_each_other(text: str) -> None:
    parse(text, "f")


@pytest.mark.parametrize("kind", ["led", "haptic", "tone"])
def test_an_indicator_without_a_target_is_refused(kind: str) -> None:
    assert refused(f"[[{kind}]]").startswith(f"{kind}: drives nothing: set one of ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[led]]\nname = 'a'\nchip = '/c'\nline = 1", "led.name, led.chip: drives two things"),
        ("[[haptic]]\ndevice = '/a'\nchip = '/c'\nline = 1", "haptic.device, haptic.chip: drives two things"),
        ("[[tone]]\ndevice = '/a'\npwm = 'pwmchip0/0'", "tone.device, tone.pwm: drives two things"),
        ("[[led]]\nname = 'a'\nline = 1", "led.line: a line belongs to a chip"),
        ("[[led]]\nchip = '/c'", "led.chip: which line of it? set led.line"),
        ("[[led]]\nname = 'a/b'", 'led.name = "a/b": must be one name'),
        ("[[tone]]\npwm = 'pwm0'", 'tone.pwm = "pwm0": must be a channel'),
    ],
)
def test_an_indicator_has_exactly_one_target(text: str, expected: str) -> None:
    assert refused(text).startswith(expected)


@pytest.mark.parametrize("order", [order.value for order in Order if order is not Order.ASSIGN])
@pytest.mark.parametrize("movement", ["press", "hold", "double", "press_hold"])
def test_a_gesture_may_ask_for_any_order(movement: str, order: str) -> None:
    config = parse(f"[[gpio]]\ngestures.{movement} = '{order}'", "f")
    assert getattr(config.gpio[0].gestures, movement) == order


@pytest.mark.parametrize("kind", ["gpio", "input", "serial"])
def test_unknown_orders_are_refused_wherever_they_stand(kind: str) -> None:
    button = "button = 'cts'\n" if kind == "serial" else ""
    assert refused(f"[[{kind}]]\n{button}gestures.hold = 'stopp'") == (
        f'{kind}.gestures.hold = "stopp": "stopp" is not an order; did you mean stop?'
    )
    assert refused(f"[[{kind}]]\nallow = ['mark', 'sotp']") == (
        f'{kind}.allow, entry 2: "sotp" is not an order; did you mean stop?'
    )


def test_a_gesture_cannot_give_a_wearers_id() -> None:
    assert refused("[[gpio]]\ngestures.double = 'assign'").startswith('gpio.gestures.double = "assign": needs')


def test_a_hold_takes_longer_than_a_double_press() -> None:
    text = "[[gpio]]\ngestures.hold_s = 0.4\ngestures.double_ms = {}"
    assert refused(text.format(400)).startswith("gpio.gestures.double_ms = 400, gpio.gestures.hold_s = 0.4: ")
    parse(text.format(399), "f")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[gpio]]\nmode = 'switch'\ngestures.hold = ''", 'gpio.gestures, gpio.mode = "switch": '),
        ("[[input]]\nmode = 'switch'\ngestures.hold = ''", 'input.gestures, input.mode = "switch": '),
        ("[[serial]]\ngestures.hold = ''", 'serial.gestures: there is no button: serial.button is ""'),
    ],
)
def test_gestures_that_nothing_could_make_are_refused(text: str, expected: str) -> None:
    assert refused(text).startswith(expected)


@pytest.mark.parametrize("line", ["cts", "dsr", "cd", "ri"])
def test_a_serial_port_may_carry_a_button(line: str) -> None:
    assert parse(f"[[serial]]\nbutton = '{line}'\ngestures.hold_s = 2", "f").serial[0].gestures.hold_s == 2


@pytest.mark.parametrize("key", ["KEY", "record", "KEY_", "KEY_record", "EV_KEY", "KEY_RECORD "])
def test_key_names_are_the_kernels(key: str) -> None:
    assert refused(f"[[input]]\nkey = '{key}'").startswith("input.key = ")
