"""Whatever a file holds: a configuration whose values are all good, or one line that says why not."""

from __future__ import annotations

import subprocess
import sys
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from bwvd.config.keys import known_keys
from bwvd.config.load import parse
from bwvd.config.schema import Config, ConfigError

KEYS = known_keys()
ARRAYS = {"gpio", "input", "serial", "led", "haptic", "tone"}


def outcome(text: str) -> Config | str:
    """The configuration, or the message; any other exception goes through and fails the test."""
    try:
        return parse(text, "f")
    except ConfigError as error:
        message = str(error)
        assert message.startswith("f: ")
        assert message.isprintable(), ascii(message)
        assert len(message) < 600
        return message


@settings(deadline=None)  # the first example pays for the imports
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    outcome(text)


@given(
    st.lists(
        st.sampled_from([*"[]{}=.,\n\"'#-+_:T \\", "video", "[[gpio]]", "rate", "1", "true", "nan", "'''"]), max_size=40
    )
)
def test_text_that_looks_like_toml(parts: list[str]) -> None:
    outcome("".join(parts))


SPELLINGS = [
    "0",
    "1",
    "-1",
    "30",
    "1.0",
    '"x"',
    '""',
    "[]",
    "{}",
    "2026-11-22",
    "07:15:03",
    "[1,'a']",
    "{a=1}",
    "'v4l2:/dev/video0'",
    "'lavfi:testsrc'",
    "'copy'",
    "'libx264'",
    "'640x480'",
    "'press'",
    "'/a'",
    "'alsa:x'",
]

plain_text = st.text(st.characters(exclude_characters="'", exclude_categories=("Cc", "Cs")), max_size=20)
scalars = st.one_of(
    st.sampled_from(SPELLINGS),
    st.booleans().map(lambda value: "true" if value else "false"),
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(repr),
    plain_text.map(lambda text: f"'{text}'"),
)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Known tables and keys with any values: the shape is nearly right, the rest is not."""
    lines: list[str] = []
    for table in draw(st.lists(st.sampled_from([name for name in KEYS if "." not in name]), unique=True, max_size=4)):
        if table:
            lines.append(f"[[{table}]]" if table in ARRAYS else f"[{table}]")
        keys = draw(st.lists(st.sampled_from(KEYS[table]), unique=True, max_size=4))
        lines.extend(f"{key} = {draw(scalars)}" for key in keys if table or key == "profile")
    return "\n".join(sorted(lines, key=lambda line: not line.startswith("profile")))


@settings(max_examples=200, deadline=None)
@given(documents())
def test_known_keys_with_any_values(text: str) -> None:
    result = outcome(text)
    if isinstance(result, Config):
        assert_consistent(result)


def assert_consistent(config: Config) -> None:
    """What those who are handed a Config rely on."""
    assert 1 <= config.loop.seconds <= 3600
    if config.video.encoder != "copy":
        assert config.video.keyframe_s * 5 <= config.loop.seconds
        assert config.video.keyframe_s <= config.recording.segment_s
    assert config.video.width % 2 == config.video.height % 2 == 0
    assert config.storage.path.startswith("/")
    assert config.storage.backlog_bytes >= config.loop.max_bytes
    assert "/" not in config.device.id
    assert config.device.id not in ("", ".", "..")
    assert not (config.audio.pre_event and not config.audio.source)


def test_types_and_loader_load_nothing_heavy() -> None:
    """What `bwvd status` and shell completion pay for: msgspec, and none of the media, crypto or async libraries."""
    code = (
        "import sys; import bwvd.config.load; bwvd.config.load.parse('profile = \"met-2014\"', 'f');"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "msgspec" in loaded
    assert not {"av", "trio", "structlog", "rich", "click", "cryptography", "pyrage", "gpiod", "evdev", "serial"} & set(
        loaded
    )


def test_loading_takes_a_few_milliseconds() -> None:
    text = 'profile = "met-2014"\n[video]\nrate = 25\n' + "".join(f"[[gpio]]\nline = {n}\n" for n in range(8))
    best_s = min(timed(text) for _ in range(20))
    assert best_s < 0.005


def timed(text: str) -> float:
    start = time.perf_counter()
    parse(text, "f")
    return time.perf_counter() - start
