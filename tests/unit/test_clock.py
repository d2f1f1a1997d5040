"""Instants are written and read back, whatever their year; an age is read as one."""

from datetime import UTC, datetime, timedelta

import pytest

from runner import clock


@pytest.mark.parametrize("year", [1, 999, 1970, 2026, 9999])
def test_an_instant_of_any_year_is_read_back(year: int) -> None:
    instant = datetime(year, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)

    written = clock.iso(instant)

    assert written == f"{year:04}-01-02T03:04:05.678Z"
    assert clock.parse_iso(written) == instant


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
    assert clock.read_age(text) == age


@pytest.mark.parametrize("number", ["9" * 15, "9" * 5000])
def test_an_age_longer_than_any_time_is_refused(number: str) -> None:
    with pytest.raises(OverflowError):
        clock.read_age(f"{number}w")
