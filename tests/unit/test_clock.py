"""Instants are written and read back, of any year; a duration has one grammar."""

from datetime import UTC, datetime

import pytest

from runner import clock


@pytest.mark.parametrize("year", [1, 999, 1970, 2026, 9999])
def test_an_instant_of_any_year_is_read_back(year: int) -> None:
    instant = datetime(year, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)

    written = clock.iso(instant)

    assert written == f"{year:04}-01-02T03:04:05.678Z"
    assert clock.parse_iso(written) == instant


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0.5", 0.5),
        ("90s", 90),
        ("15m", 900),
        ("1.5h", 5400),
        ("30d", 2_592_000),
        ("2w", 1_209_600),
        *(
            (text, None)
            for text in ("", "d", ".", "-3d", " 3d", "3 d", "٣d", "1e3", "20261101")
        ),
    ],
)
def test_a_duration_is_a_number_and_perhaps_a_unit(
    text: str, seconds: float | None
) -> None:
    assert clock.read_duration(text) == seconds


@pytest.mark.parametrize("number", ["9" * 15, "9" * 5000])
def test_a_duration_longer_than_any_time_cannot_be_added(number: str) -> None:
    seconds = clock.read_duration(f"{number}w")

    assert seconds is not None
    with pytest.raises(OverflowError):
        clock.after(clock.now(), seconds)
