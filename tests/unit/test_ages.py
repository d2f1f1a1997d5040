"""An age is a number and its unit, however large."""

from datetime import timedelta

import pytest

from runner.clock import read_age


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("012h", timedelta(hours=12)),
        ("30d", timedelta(days=30)),
        ("2w", timedelta(weeks=2)),
        *((text, None) for text in ("", "d", "-3d", "1.5h", " 3d", "3 d", "٣d", "30")),
    ],
)
def test_an_age_is_a_number_and_its_unit(text: str, age: timedelta | None) -> None:
    assert read_age(text) == age


@pytest.mark.parametrize("number", ["9" * 15, "9" * 5000])
def test_an_age_longer_than_any_time_is_told(number: str) -> None:
    with pytest.raises(OverflowError):
        read_age(f"{number}w")
