"""A misspelled key is answered with the right one, whichever key and wherever the finger slipped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.config.keys import known_keys
from bwvd.config.load import parse
from bwvd.config.nearest import did_you_mean, edits, nearest
from bwvd.config.schema import ConfigError

KEYS = known_keys()
LETTERS = "aesz_9"  # what is put in: some that are in keys, some that are not


def slips(word: str) -> Iterator[str]:
    """Every word that is one slip away, with the letters above."""
    for i in range(len(word) + 1):
        head, tail = word[:i], word[i:]
        yield from (head + letter + tail for letter in LETTERS)
        if tail:
            yield head + tail[1:]
            yield from (head + letter + tail[1:] for letter in LETTERS)
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]


@pytest.mark.parametrize("table", KEYS)
def test_every_slip_in_every_key_is_traced_to_it(table: str) -> None:
    known = KEYS[table]
    for key in known:
        for slip in slips(key):
            if slip and slip not in known:
                assert key in nearest(slip, known), (table, slip)


@pytest.mark.parametrize(("table", "key"), [(table, key) for table, keys in KEYS.items() for key in keys])
def test_the_message_names_the_misspelled_key_and_the_right_one(table: str, key: str) -> None:
    slip = key[:-1] + "x" + key[-1]
    where = f"{table}.{slip}" if table else slip
    path = [f"[[{name}]]" if name in {"gpio", "input", "serial", "led", "haptic", "tone"} else f"[{name}]"
            for name in table.split(".")[:1] if name]  # fmt: skip
    inner = ".".join([*table.split(".")[1:], slip])
    with pytest.raises(ConfigError) as caught:
        parse("\n".join([*path, f"{inner} = 0"]), "f")
    assert str(caught.value).startswith(f"f: {where}: unknown key; did you mean ")
    assert key in str(caught.value).split("did you mean ")[1].rstrip("?").split(" or ")


@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_edits_is_a_distance(a: str, b: str) -> None:
    assert edits(a, b) == edits(b, a)
    assert (edits(a, b) == 0) == (a == b)
    assert abs(len(a) - len(b)) <= edits(a, b) <= max(len(a), len(b))


@given(st.text("abcd", min_size=1, max_size=6), st.data())
def test_one_slip_is_one_edit(word: str, data: st.DataObject) -> None:
    slip = data.draw(st.sampled_from(sorted(set(slips(word)))))
    assert edits(word, slip) <= 1


def test_words_like_nothing_are_not_guessed_at() -> None:
    assert nearest("wifi", ["source", "size", "rate"]) == []
    assert nearest("", ["source"]) == []
    assert did_you_mean("zebra", ["seconds"]) == ""


def test_names_that_are_equally_near_are_all_offered() -> None:
    assert nearest("hold_", ["press", "hold", "hold_s"]) == ["hold", "hold_s"]


def test_a_word_of_any_length_is_answered_at_once() -> None:
    assert nearest("x" * 1_000_000, ["source", "x" * 200]) == []
