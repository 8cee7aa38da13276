"""Policy profiles: their values, their bounds, and the clause that a refused value breaks."""

from __future__ import annotations

import pytest

from bwvd.config.keys import known_keys
from bwvd.config.load import parse
from bwvd.config.problem import Problem
from bwvd.config.profile import CAPACITY_HOURS, Clause, broken, find, names, profile_table
from bwvd.config.schema import Config, ConfigError

MICROPHONE = '[audio]\nsource = "alsa:default"\n'  # what aclu can't do without
GIB = 2**30


def with_profile(name: str, text: str = "") -> Config:
    return parse(f'profile = "{name}"\n{text}', "f")


def refused(name: str, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        with_profile(name, text)
    message = str(caught.value)
    assert message.isprintable()
    return message.removeprefix("f: ")


@pytest.mark.parametrize(
    ("name", "loop_s", "pre_event_audio"),
    [
        ("met-2014", 30, False), ("met-2019", 60, False), ("illinois", 30, False), ("aclu", 30, True),
        ("imy-15", 14, False), ("bw-60", 59, False),
    ],
)  # fmt: skip
def test_a_profile_sets_defaults(name: str, loop_s: float, pre_event_audio: bool) -> None:
    config = with_profile(name, MICROPHONE)
    assert config.loop.seconds == loop_s
    assert config.audio.pre_event is pre_event_audio
    assert config.profile == name


def test_these_are_all_the_profiles() -> None:
    assert names() == ["aclu", "bw-60", "illinois", "imy-15", "met-2014", "met-2019"]


@pytest.mark.parametrize("name", names())
def test_a_profile_is_sound(name: str) -> None:
    """It names its source, knows the keys it speaks of, bounds each of them, and its own values keep its clauses."""
    profile = find(name)
    known = {f"{table}.{key}" for table, keys in known_keys().items() for key in keys} | {CAPACITY_HOURS}
    assert profile.name == name
    assert profile.title
    assert profile.source.document
    assert profile.source.section
    assert profile.source.note
    assert 2010 < profile.source.year < 2030
    assert set(profile.set) <= known
    for clause in profile.clause:
        assert set(clause.keys) <= known
        assert clause.text
        assert clause.source
        assert (clause.min, clause.max, clause.equals) != (None, None, None)
    assert all(row.ok is not False for row in profile_table(with_profile(name, MICROPHONE)))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("met-2014", "[loop]\nseconds = 29", ["loop.seconds = 29: ", "met-2014", "exactly 30", "MPS 2014"]),
        ("met-2014", "[loop]\nseconds = 60", ["loop.seconds = 60: ", "met-2014", "exactly 30"]),
        ("met-2014", MICROPHONE + "pre_event = true", ["audio.pre_event = true: ", "requires false", "no audio"]),
        ("met-2019", "[loop]\nseconds = 30", ["loop.seconds = 30: ", "met-2019", "exactly 60", "July 2019"]),
        ("illinois", "[loop]\nseconds = 29.9", ["loop.seconds = 29.9: ", "at least 30", "50 ILCS 706/10-20(a)(1)"]),
        ("illinois", "[recording]\nmax_s = 3600", ["recording.max_s = 3600: ", "at least 36000, or 0", "(a)(2)"]),
        ("aclu", MICROPHONE + "pre_event = false", ["audio.pre_event = false: ", "requires true", "section 1(b)(3)"]),
        ("aclu", MICROPHONE + "[loop]\nseconds = 15", ["loop.seconds = 15: ", "at least 30", "section 1(b)(3)"]),
        ("imy-15", "[loop]\nseconds = 60", ["loop.seconds + video.keyframe_s = 60 + 1: ", "at most 15", "June 2021"]),
        ("bw-60", "[loop]\nseconds = 60", ["loop.seconds + video.keyframe_s = 60 + 1: ", "at most 60", "§ 44"]),
        ("imy-15", "video.keyframe_s = 1.5\nrecording.segment_s = 2", ["loop.seconds + video.keyframe_s = 14 + 1.5: "]),
    ],
)  # fmt: skip
def test_a_value_outside_of_the_bounds_is_refused_with_the_clause(name: str, text: str, expected: list[str]) -> None:
    message = refused(name, text)
    assert message.startswith(expected[0])
    for part in expected[1:]:
        assert part in message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("illinois", "[loop]\nseconds = 120"),
        ("illinois", "[recording]\nmax_s = 36_000"),
        ("imy-15", "[loop]\nseconds = 10"),
        ("imy-15", "[loop]\nseconds = 14.5\n[video]\nkeyframe_s = 0.5"),
        ("bw-60", "[loop]\nseconds = 30"),
        ("bw-60", MICROPHONE + "pre_event = true"),
        ("aclu", MICROPHONE + "[loop]\nseconds = 60"),
    ],
)
def test_a_value_within_the_bounds_is_the_users(name: str, text: str) -> None:
    with_profile(name, text)


@pytest.mark.parametrize("name", ["imy-15", "bw-60"])
def test_an_upper_bound_counts_what_is_held_and_not_only_what_is_asked(name: str) -> None:
    """Invariant 2: standby holds up to `loop.seconds` + one group of pictures, and that sum is what the law limits."""
    config = with_profile(name)
    limit = {"imy-15": 15, "bw-60": 60}[name]
    assert config.loop.seconds + config.video.keyframe_s == limit


def test_a_camera_that_is_copied_counts_with_the_longest_groups_it_may_make() -> None:
    """Invariant 2: its own key frames may be a fifth of the loop apart, whatever `video.keyframe_s` says."""
    copy = "[video]\nencoder = 'copy'\n[loop]\nseconds = {}"
    message = refused("imy-15", copy.format(14))
    assert message.startswith("loop.seconds + video.keyframe_s = 14 + 2.8: ")
    assert message.endswith("; a copied camera's key frames may be a fifth of the loop apart")
    assert with_profile("imy-15", copy.format(12.5)).loop.seconds == 12.5


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("met2014", "did you mean met-2014?"),
        ("MET-2019", "did you mean met-2019?"),
        ("ilinois", "did you mean illinois?"),
        ("imy-16", "did you mean imy-15?"),
        ("nypd", "there are aclu, bw-60, illinois, imy-15, met-2014, met-2019"),
        ("../profiles/aclu", "there are aclu"),
        ("/etc/passwd", "there are aclu"),
    ],
)
def test_an_unknown_profile_names_the_nearest(name: str, hint: str) -> None:
    message = refused(name, "")
    assert message.startswith(f'profile = "{name}": unknown profile; ')
    assert hint in message


def test_what_a_profile_set_is_not_blamed_on_the_user() -> None:
    assert refused("aclu", "") == (
        'audio.pre_event = true: there is no audio to keep: audio.source is "" (audio.pre_event is set by the profile)'
    )


def test_without_a_profile_nothing_is_bounded() -> None:
    assert parse("[loop]\nseconds = 7", "f").loop.seconds == 7
    assert profile_table(parse("", "f")) == []


def test_the_table_shows_each_clause_with_what_is_configured() -> None:
    rows = profile_table(with_profile("illinois", "[loop]\nseconds = 45"))
    assert [(row.key, row.required, row.configured, row.ok) for row in rows] == [
        ("loop.seconds", "at least 30", "45", True),
        ("recording.max_s", "at least 36000, or 0", "0", True),
        ("storage.hours", "at least 10", "unknown", None),
    ]
    assert all(row.clause and row.source for row in rows)


def test_the_table_says_what_a_configuration_built_elsewhere_breaks() -> None:
    rows = profile_table(Config(profile="met-2019"))
    assert [(row.key, row.ok) for row in rows] == [("loop.seconds", False), ("audio.pre_event", True)]


@pytest.mark.parametrize(("gib", "ok"), [(16, False), (17, True), (32, True)])
def test_ten_hours_must_fit_on_the_storage(gib: int, ok: bool) -> None:
    # 4 Mbit/s of pictures and 64 kbit/s of sound for ten hours are 18.3 GB, 17.03 GiB less the reserve of 16 MiB.
    config = with_profile("illinois", MICROPHONE)
    row = profile_table(config, storage_bytes=int((gib + 0.06) * GIB))[-1]
    assert (row.key, row.ok) == ("storage.hours", ok)


def test_clauses_speak_in_words() -> None:
    def clause(**bounds: float | bool | str) -> str:
        return Clause(keys=["loop.seconds"], text="t", source="s", **bounds).required  # type: ignore[arg-type]  # bounds only

    assert clause(min=5, max=10) == "at least 5 and at most 10"
    assert clause(min=5, max=5) == "exactly 5"
    assert clause(min=5, unless=0) == "at least 5, or 0"
    assert clause(equals="x") == '"x"'


def test_a_broken_clause_is_one_problem_each() -> None:
    problems = list(broken(find("met-2019"), Config()))
    assert [problem.where for problem in problems] == ["loop.seconds = 30"]
    with pytest.raises(Problem):
        find("nobody")
