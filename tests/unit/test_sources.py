"""What other programs have written is narrowed, never believed."""

from runner import clock
from runner.foreign import sources


def test_the_zero_of_another_language_is_no_instant() -> None:
    assert sources.instant("0001-01-01T00:00:00Z") is None
    assert sources.instant("1969-12-31T23:59:59Z") is None
    assert sources.instant("1970-01-01T00:00:00Z") == clock.at(0)
