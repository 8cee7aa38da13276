"""Every lamp keeps the one contract: the virtual one, and the adapters of sysfs, GPIO, input devices and PWM."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from bwvd.config.schema import Config, Haptic, Led, Tone
from bwvd.feedback.evdev_output import RUMBLE_MS
from bwvd.feedback.haptic import open_haptic
from bwvd.feedback.indicators import indicators
from bwvd.feedback.led import LED_CODES, open_led
from bwvd.feedback.ports import IndicatorLost, Lamp
from bwvd.feedback.tone import open_tone
from bwvd.testing.conformance.lamp import CHECKS, Subject
from bwvd.testing.lamp import VirtualLamp


def gone() -> OSError:
    return OSError(errno.ENODEV, os.strerror(errno.ENODEV))


class FakeLine:
    """A GPIO line that keeps what it was last set to, as most chips do after a release."""

    def __init__(self) -> None:
        self.on = False
        self.released = False
        self.plugged = True

    def request(self, chip: str, line: int | str, active_low: bool) -> FakeLine:  # noqa: ARG002  of RequestLine
        self.released = False
        return self

    def set(self, on: bool) -> None:
        assert not self.released
        if not self.plugged:
            raise gone()
        self.on = on

    def release(self) -> None:
        self.released = True


class FakeDevice:
    """An input device with an LED, a bell and a motor."""

    def __init__(self) -> None:
        self.plugged = True
        self.closed = False
        self.levels = {0x11: 0, 0x12: 0, 0x15: 0}
        self.written: list[tuple[int, int, int]] = []
        self.effects: list[int] = []

    def open(self, path: str) -> FakeDevice:  # noqa: ARG002  of OpenDevice
        self.closed = False
        return self

    def can(self, event_type: int, code: int) -> bool:
        return (event_type, code) in {(0x11, 0x08), (0x12, 0x02), (0x15, 0x50)}

    def write(self, event_type: int, code: int, value: int) -> None:
        assert not self.closed
        if not self.plugged:
            raise gone()
        self.written.append((event_type, code, value))
        self.levels[event_type] = value

    def upload_rumble(self, length_ms: int) -> int:
        self.effects.append(length_ms)
        return 3

    def close(self) -> None:
        if not self.plugged:
            raise gone()
        self.closed = True


def sysfs_led(root: Path, *, trigger: str = "[none] mmc0 heartbeat\n") -> Path:
    folder = root / "class/leds/bwvd:red"
    folder.mkdir(parents=True)
    (folder / "brightness").write_text("0\n")
    (folder / "max_brightness").write_text("255\n")
    (folder / "trigger").write_text(trigger)
    return folder


def sysfs_pwm(root: Path) -> Path:
    folder = root / "class/pwm/pwmchip0/pwm1"
    folder.mkdir(parents=True)
    (folder.parent / "export").write_text("")
    for name in ("period", "duty_cycle", "enable"):
        (folder / name).write_text("0\n")
    return folder


def number(path: Path) -> int:
    return int(path.read_text()) if path.exists() else 0


def remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


@pytest.fixture(params=["virtual", "sysfs", "gpio", "input_led", "input_tone", "input_haptic", "pwm", "gpio_tone"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    match request.param:
        case "virtual":
            lamp = VirtualLamp(now_ns=lambda: 0)
            yield Subject(lamp.open, lambda: lamp.level, lamp.unplug)
        case "sysfs":
            folder = sysfs_led(tmp_path)
            yield Subject(
                lambda: open_led(Led(name="bwvd:red", colour="red"), sysfs=tmp_path),
                lambda: number(folder / "brightness"),
                lambda: remove(folder),
                shown_on=255,
            )
        case "gpio" | "gpio_tone":
            line = FakeLine()
            yield Subject(
                (lambda: open_led(Led(chip="/dev/gpiochip0", line=27), request=line.request))
                if request.param == "gpio"
                else (lambda: open_tone(Tone(chip="/dev/gpiochip0", line="buzzer"), request=line.request)),
                lambda: int(line.on and line.plugged),
                lambda: setattr(line, "plugged", False),
                on=1 if request.param == "gpio" else 880,
            )
        case "pwm":
            folder = sysfs_pwm(tmp_path)
            yield Subject(
                lambda: open_tone(Tone(pwm="pwmchip0/1"), sysfs=tmp_path),
                lambda: number(folder / "enable"),
                lambda: remove(folder),
                on=880,
            )
        case _:
            device = FakeDevice()
            opens: dict[str, tuple[Callable[[], Lamp], int, int]] = {
                "input_led": (
                    lambda: open_led(Led(device="/dev/input/event7", led="LED_MISC"), opener=device.open),
                    0x11,
                    1,
                ),
                "input_tone": (lambda: open_tone(Tone(device="/dev/input/event7"), opener=device.open), 0x12, 880),
                "input_haptic": (
                    lambda: open_haptic(Haptic(device="/dev/input/event7"), opener=device.open),
                    0x15,
                    1,
                ),
            }
            opener, event_type, on = opens[request.param]
            yield Subject(
                opener,
                lambda: device.levels[event_type] if device.plugged else 0,
                lambda: setattr(device, "plugged", False),
                on=on,
                shown_on=on,
            )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_lamp(check: Callable[[Subject], None], bench: Subject) -> None:
    check(bench)


def test_a_virtual_lamp_remembers_and_can_be_plugged_in_again() -> None:
    now = [5]
    virtual = VirtualLamp("led:red", "light", "red", now_ns=lambda: now[0])
    lamp = virtual.indicator.open()
    lamp.set(1)
    now[0] = 9
    lamp.set(1)
    with pytest.raises(IndicatorLost, match="busy"):
        virtual.open()
    virtual.unplug()
    with pytest.raises(IndicatorLost):
        virtual.open()
    virtual.plug()
    with pytest.raises(IndicatorLost):  # what was open stays lost
        lamp.set(1)
    virtual.open().set(1)
    assert virtual.history == [(5, 1), (9, 0), (9, 1)]
    assert virtual.opened == 2


# --- what only one adapter has to get right --------------------------------------------------------------------------


def test_a_trigger_is_taken_off(tmp_path: Path) -> None:
    folder = sysfs_led(tmp_path, trigger="none [mmc0] heartbeat\n")
    open_led(Led(name="bwvd:red"), sysfs=tmp_path)
    assert (folder / "trigger").read_text() == "none"


def test_an_idle_trigger_is_left_alone(tmp_path: Path) -> None:
    folder = sysfs_led(tmp_path)
    open_led(Led(name="bwvd:red"), sysfs=tmp_path)
    assert (folder / "trigger").read_text() == "[none] mmc0 heartbeat\n"


@pytest.mark.parametrize("name", ["../../etc", "..", "a/b", ".hidden", "nul\0"])
def test_a_name_never_leads_out_of_its_class(tmp_path: Path, name: str) -> None:
    with pytest.raises(IndicatorLost, match="not the name of a device"):
        open_led(Led(name=name), sysfs=tmp_path)
    with pytest.raises(IndicatorLost):
        open_tone(Tone(pwm=f"{name}/0"), sysfs=tmp_path)


@pytest.mark.parametrize("text", ["0\n", "", "bright\n", "-1\n"])
def test_a_nonsense_brightness_is_refused(tmp_path: Path, text: str) -> None:
    folder = sysfs_led(tmp_path)
    (folder / "max_brightness").write_text(text)
    with pytest.raises(IndicatorLost, match="max_brightness"):
        open_led(Led(name="bwvd:red"), sysfs=tmp_path)


def test_an_absent_led_is_named(tmp_path: Path) -> None:
    with pytest.raises(IndicatorLost, match=r"^led:nowhere: .*class/leds/nowhere.*No such file or directory$"):
        open_led(Led(name="nowhere"), sysfs=tmp_path)


@pytest.mark.parametrize("pwm", ["pwmchip0", "pwmchip0/", "pwmchip0/x", "pwmchip0/-1", "/0"])
def test_a_pwm_that_is_not_one_is_refused(tmp_path: Path, pwm: str) -> None:
    with pytest.raises(IndicatorLost, match=f"^tone:{pwm}: "):
        open_tone(Tone(pwm=pwm), sysfs=tmp_path)


def test_a_pwm_channel_is_exported_first(tmp_path: Path) -> None:
    folder = sysfs_pwm(tmp_path)
    chip = folder.parent
    remove(folder)
    with pytest.raises(IndicatorLost, match="period"):  # a plain folder makes no channel
        open_tone(Tone(pwm="pwmchip0/pwm1"), sysfs=tmp_path)
    assert (chip / "export").read_text() == "1"


def test_a_pwm_never_passes_a_state_that_the_kernel_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pwm_apply_state() answers EINVAL to a period of 0 and to a duty cycle that is longer than the period."""
    state = {"period": 0, "duty_cycle": 0, "enable": 0}

    def write(_: object, attribute: str, value: int | str) -> None:
        after = {**state, attribute: int(value)}
        if after["period"] == 0 or after["duty_cycle"] > after["period"]:
            raise IndicatorLost("tone: Invalid argument")
        state.update(after)

    sysfs_pwm(tmp_path)
    monkeypatch.setattr("bwvd.feedback.sysfs.Attributes.write", write)
    lamp = open_tone(Tone(pwm="pwmchip0/1"), sysfs=tmp_path)
    for hertz in (880, 1318, 220, 4000, 100, 0, 440, 0, 0):
        lamp.set(hertz)
        assert state["enable"] == (hertz > 0)
        if hertz:
            assert state["period"] == 1_000_000_000 // hertz
            assert abs(2 * state["duty_cycle"] - state["period"]) <= 1


def test_a_motor_would_stop_by_itself() -> None:
    device = FakeDevice()
    lamp = open_haptic(Haptic(device="/dev/input/event7"), opener=device.open)
    lamp.set(1)
    assert device.effects == [RUMBLE_MS]
    assert device.written[-1] == (0x15, 3, 1)
    lamp.close()
    assert device.written[-1] == (0x15, 3, 0)
    assert device.closed


def test_an_input_device_without_the_thing_is_refused_and_closed() -> None:
    device = FakeDevice()
    with pytest.raises(IndicatorLost, match=r"led:event7:LED_CAPSL: /dev/input/event7: has no LED_CAPSL$"):
        open_led(Led(device="/dev/input/event7", led="LED_CAPSL"), opener=device.open)
    assert device.closed


def test_every_led_that_can_be_configured_has_its_code() -> None:
    assert list(LED_CODES) == list(get_args(get_type_hints(Led)["led"]))


@pytest.mark.parametrize("kind", ["absent", "plain"])
@pytest.mark.parametrize(
    "attempt",
    [
        lambda path: open_led(Led(chip=path, line=3)),
        lambda path: open_led(Led(device=path)),
        lambda path: open_haptic(Haptic(chip=path, line="motor")),
        lambda path: open_haptic(Haptic(device=path)),
        lambda path: open_tone(Tone(chip=path)),
        lambda path: open_tone(Tone(device=path)),
    ],
)
def test_real_adapters_report_absent_devices_in_one_line(
    tmp_path: Path, kind: str, attempt: Callable[[str], Lamp]
) -> None:
    path = tmp_path / kind
    if kind == "plain":
        path.write_text("not a device")
    with pytest.raises(IndicatorLost, match=rf"^(led|haptic|tone):.*{kind}: .*[a-z]$") as lost:
        attempt(str(path))
    assert "\n" not in str(lost.value)


@pytest.mark.skipif(not os.access("/dev/uinput", os.W_OK), reason="needs /dev/uinput, to make a real input device")
def test_a_real_input_device_receives_light_and_tone() -> None:
    import evdev
    from evdev import ecodes

    able: dict[int, Sequence[int]] = {ecodes.EV_LED: [ecodes.LED_MISC], ecodes.EV_SND: [ecodes.SND_TONE]}
    with evdev.UInput(able, name="bwvd test indicator") as there:
        path = str(there.device.path)
        light = open_led(Led(device=path))
        sounder = open_tone(Tone(device=path))
        light.set(1)
        sounder.set(880)
        light.close()
        sounder.close()
        got = [(event.type, event.code, event.value) for event in there.read() if event.type != ecodes.EV_SYN]
    led, tone = (ecodes.EV_LED, ecodes.LED_MISC), (ecodes.EV_SND, ecodes.SND_TONE)
    assert [event for event in got if event[:2] == led] == [(*led, 1), (*led, 0)]
    assert [event for event in got if event[:2] == tone][-2:] == [(*tone, 880), (*tone, 0)]


def test_a_configuration_becomes_indicators_that_are_not_opened(tmp_path: Path) -> None:
    sysfs_led(tmp_path)
    config = Config(
        led=[Led(name="bwvd:red", colour="red"), Led(chip="/dev/gpiochip0", line=27, colour="green")],
        haptic=[Haptic(chip="/dev/gpiochip1", line="motor")],
        tone=[Tone(pwm="pwmchip0/1")],
    )
    made = indicators(config, sysfs=tmp_path)
    assert [(one.name, one.kind, one.colour) for one in made] == [
        ("led:bwvd:red", "light", "red"),
        ("led:gpiochip0:27", "light", "green"),
        ("haptic:gpiochip1:motor", "haptic", ""),
        ("tone:pwmchip0/1", "tone", ""),
    ]
    lamp = made[0].open()
    lamp.set(1)
    assert (lamp.name, lamp.kind, lamp.colour) == ("led:bwvd:red", "light", "red")
