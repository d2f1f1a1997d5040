"""When a line was read is recorded once; a time that is not known is none."""

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner import clock, files
from runner.arrivals import LATE_SECONDS, Arrivals, Moment, Times
from runner.errors import FileFault

NOON = 1_796_000_000.25


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], float]:
    """Set the clock to so many seconds after noon."""

    def set_clock(seconds: float) -> float:
        now = NOON + seconds
        monkeypatch.setattr(clock, "now", lambda: datetime.fromtimestamp(now, UTC))
        return now

    return set_clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "times" / "lines"


def of(times: Times, *places: int, is_stderr: bool = False) -> list[float | None]:
    times.read()
    found = (times.of(place, is_stderr=is_stderr) for place in places)
    return [None if each is None else each.seconds - NOON for each in found]


def test_each_line_has_the_time_of_the_read_that_found_it(
    path: Path, at: Callable[[float], float]
) -> None:
    arrivals, times = Arrivals(path, is_exact=True), Times(path)
    assert of(times, 0) == [None]

    arrivals.note((10, 0), at(1))
    arrivals.note((30, 5), at(2.5))

    assert of(times, 0, 9, 10, 29, 30) == [1, 1, 2.5, 2.5, None]
    assert of(times, 0, 5, is_stderr=True) == [2.5, None]
    arrivals.note((40, 5), at(4))
    assert of(times, 30, 40) == [4, None]


def test_a_record_is_private(path: Path, at: Callable[[float], float]) -> None:
    Arrivals(path, is_exact=True).note((10, 0), at(0))

    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (
        0o600,
        0o700,
    )


def test_the_directory_of_a_run_that_was_removed_is_not_made_again(
    path: Path, at: Callable[[float], float]
) -> None:
    place = path.parent / "gone" / "times" / "lines"

    Arrivals(place, is_exact=True).note((10, 0), at(0))

    assert not place.parent.parent.exists()


def test_without_a_signal_of_growth_a_time_is_exact_to_the_second(
    path: Path, at: Callable[[float], float]
) -> None:
    Arrivals(path, is_exact=False).note((10, 0), at(1))

    times = Times(path)
    times.read()
    second = Moment(seconds=int(NOON) + 1, is_exact=False)
    assert times.of(0, is_stderr=False) == second


def test_lines_that_were_read_late_have_no_time(
    path: Path, at: Callable[[float], float]
) -> None:
    arrivals = Arrivals(path, is_exact=True)
    written_at = at(0)
    arrivals.note((10, 0), at(LATE_SECONDS + 1) and written_at)
    arrivals.note((20, 0), at(LATE_SECONDS + 2))

    assert of(Times(path), 0, 10) == [None, LATE_SECONDS + 2]


def test_a_full_disk_delays_the_record_and_loses_nothing_of_it(
    path: Path, at: Callable[[float], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    arrivals = Arrivals(path, is_exact=True)
    arrivals.note((10, 0), at(1))
    append = files.append

    def cut(where: Path, content: bytes) -> None:
        append(where, content[:-3])
        raise FileFault("append to", where, OSError(errno.ENOSPC, os.strerror(28)))

    monkeypatch.setattr(files, "append", cut)
    arrivals.note((120, 0), at(2))
    arrivals.note((130, 7), at(3))
    monkeypatch.setattr(files, "append", append)
    arrivals.note((140, 7), at(4))

    assert of(Times(path), 0, 10, 119, 120, 130) == [1, 2, 2, 3, 4]
    assert of(Times(path), 0, is_stderr=True) == [3]


def test_a_line_that_is_being_written_is_read_once_it_is_complete(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(f"{NOON} 10 0\n{NOON + 1} 20")
    times = Times(path)
    assert of(times, 0, 10) == [0, None]

    with path.open("a") as file:
        file.write("0 0\n")

    assert of(times, 10, 199) == [1, 1]


def test_what_is_no_record_has_no_times(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("nonsense\n1 2\n1 2 3 4\nx 10 20\n")

    assert of(Times(path), 0) == [None]
    path.unlink()
    path.mkdir()
    assert of(Times(path), 0) == [None]
