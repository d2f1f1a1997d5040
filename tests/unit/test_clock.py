"""Instants are written and read back, whatever their year."""

from datetime import UTC, datetime

import pytest

from runner import clock
from runner.foreign import sources


@pytest.mark.parametrize("year", [1, 999, 1970, 2026, 9999])
def test_an_instant_of_any_year_is_read_back(year: int) -> None:
    instant = datetime(year, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)

    written = clock.iso(instant)

    assert written == f"{year:04}-01-02T03:04:05.678Z"
    assert clock.parse_iso(written) == instant


def test_the_zero_of_another_language_is_no_instant() -> None:
    assert sources.instant("0001-01-01T00:00:00Z") is None
    assert sources.instant("1969-12-31T23:59:59Z") is None
    assert sources.instant("1970-01-01T00:00:00Z") == clock.at(0)
