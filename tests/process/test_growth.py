"""The growth of a run's files is signalled, whoever else writes beside them."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from runner.process import growth
from runner.process.growth import GrowthSignal

SECONDS = 10.0


@pytest.fixture(autouse=True)
def _blocked() -> Iterator[None]:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
    yield
    while is_signalled(0):
        pass
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    path = tmp_path / "ours"
    path.touch()
    return path


@pytest.fixture
def no_instance_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise OSError("inotify_init1 fails")

    monkeypatch.setattr(growth, "call", refuse)


def is_signalled(seconds: float = SECONDS) -> bool:
    return signal.sigtimedwait([signal.SIGIO], seconds) is not None


def append(path: Path) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write("a line\n")


def test_in_a_directory_of_its_own_each_growth_is_signalled(ours: Path) -> None:
    watch = GrowthSignal(ours.parent, [ours], is_own=True)

    for _ in range(3):
        append(ours)
        assert is_signalled()
        watch.renew(has_grown=True)
    assert watch.is_on


def test_in_a_shared_one_only_that_of_its_own_files_is(ours: Path) -> None:
    watch = GrowthSignal(ours.parent, [ours], is_own=False)

    for _ in range(3):
        append(ours.with_name("others"))
        append(ours)
        assert is_signalled()
        watch.renew(has_grown=True)
    append(ours.with_name("others"))
    assert not is_signalled(0.05)
    assert watch.is_on


@pytest.mark.usefixtures("no_instance_left")
def test_without_inotify_a_shared_directory_is_watched(ours: Path) -> None:
    watch = GrowthSignal(ours.parent, [ours], is_own=False)

    for _ in range(3):
        append(ours)
        assert is_signalled()
        watch.renew(has_grown=True)
        assert watch.is_on


@pytest.mark.usefixtures("no_instance_left")
def test_then_a_busy_neighbour_costs_one_signal_in_two_pauses(ours: Path) -> None:
    watch = GrowthSignal(ours.parent, [ours], is_own=False)

    append(ours.with_name("others"))
    assert is_signalled()
    watch.renew(has_grown=False)
    was_on = watch.is_on
    append(ours.with_name("others"))
    assert not is_signalled(0.05)
    watch.renew(has_grown=False)
    assert (was_on, watch.is_on) == (False, True), "in between it looks by the clock"
    append(ours)
    assert is_signalled()
