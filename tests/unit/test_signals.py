"""Signals are noted for the time of a block, then all is as it was."""

import contextlib
import signal
from collections.abc import Iterator

import pytest

from runner.process.signals import recorded

NUMBERS = (signal.SIGUSR1, signal.SIGUSR2)


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_is_noted_and_told() -> None:
    heard: list[int] = []

    with recorded(NUMBERS, heard.append) as told:
        signal.raise_signal(signal.SIGUSR2)
        signal.raise_signal(signal.SIGUSR1)

    assert told == heard == [signal.SIGUSR2, signal.SIGUSR1]


def test_what_was_there_before_is_there_again_also_after_a_fault() -> None:
    before: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, _: before.append(number))

    with contextlib.suppress(ZeroDivisionError), recorded(NUMBERS):
        signal.raise_signal(signal.SIGUSR1)
        _ = 1 / 0
    signal.raise_signal(signal.SIGUSR1)

    assert before == [signal.SIGUSR1]
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL


def test_who_is_deaf_to_a_signal_stays_so() -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    with recorded(NUMBERS) as told:
        signal.raise_signal(signal.SIGUSR1)
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN

    assert told == []
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
