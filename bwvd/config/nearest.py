"""The known name that somebody most likely meant."""

from __future__ import annotations

from collections.abc import Iterable

NAMED = 3  # names that one message offers at most: more than that helps nobody


def edits(a: str, b: str) -> int:
    """How many letters must be changed, left out, put in or swapped with their neighbour to make `b` of `a`."""
    before_last: list[int] = []
    last = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        row = [i]
        for j, right in enumerate(b, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (left != right))
            if i > 1 and j > 1 and left == b[j - 2] and a[i - 2] == right:
                cost = min(cost, before_last[j - 2] + 1)
            row.append(cost)
        before_last, last = last, row
    return last[len(b)]


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """The known names that `word` is closest to, none if it is like none of them.

    One edit is always forgiven; longer words may be further off. Case and `-` for `_` cost nothing.
    """
    plain = _plain(word)[:100]  # nobody misspells a key at more length than this, and the price is quadratic
    reach = max(1, min(3, len(plain) // 3))
    close = [(_plain(name), name) for name in known if abs(len(name) - len(plain)) <= reach]
    near = sorted((edits(plain, spelling), name) for spelling, name in close)
    if not near or near[0][0] > reach:
        return []
    return [name for distance, name in near if distance == near[0][0]][:NAMED]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean a or b?`, or nothing."""
    names = nearest(word, known)
    return f"did you mean {' or '.join(names)}?" if names else ""


def _plain(word: str) -> str:
    return word.casefold().replace("-", "_")
