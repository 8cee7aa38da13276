"""Small decisions of a reading: which rate to believe."""

from __future__ import annotations

from fractions import Fraction

import pytest

from bwvd.capture.device.packet_stamps import nominal_rate


@pytest.mark.parametrize(
    ("average", "base", "expected"),
    [
        (Fraction(25), Fraction(50), 25),
        (None, Fraction(30000, 1001), Fraction(30000, 1001)),
        (Fraction(90_000), Fraction(25), 25),
        (Fraction(90_000), Fraction(90_000), 15),
        (None, None, 15),
        (Fraction(0), None, 15),
    ],
)
def test_the_rate_is_the_streams_where_that_makes_sense(
    average: Fraction | None, base: Fraction | None, expected: Fraction
) -> None:
    assert nominal_rate(average, base, 15.0) == expected
