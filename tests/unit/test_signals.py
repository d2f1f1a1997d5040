"""Signals are noted for the time of a block, or waited for; then all is as it was."""

import contextlib
import os
import select
import signal
from collections.abc import Iterator

import pytest

from runner.lifecycle.handoff import StatusReader
from runner.process.signals import (
    WAITED,
    SignalInbox,
    arrivals,
    blocked,
    forget_arrivals,
    recorded,
)
from runner.service.follow import until_told

NUMBERS = (signal.SIGUSR1, signal.SIGUSR2)
PATIENCE = 30.0


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


@pytest.fixture
def noted() -> Iterator[int]:
    """Give the descriptor that shows handled signals; later there is none."""
    yield arrivals()
    os.close(arrivals())
    os.close(signal.set_wakeup_fd(-1))
    forget_arrivals()


def can_be_read(descriptor: int) -> bool:
    return bool(select.select([descriptor], (), (), 0)[0])


def test_a_handled_signal_ends_a_wait_for_descriptors(noted: int) -> None:
    with recorded(NUMBERS):
        assert not can_be_read(noted)
        # As if it came after the last step of Python before the wait.
        signal.raise_signal(signal.SIGUSR1)
        assert can_be_read(noted)

        assert arrivals() == noted
        assert not can_be_read(noted)


@pytest.mark.usefixtures("noted")
def test_a_signal_that_comes_just_before_a_wait_for_a_message_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hear, say = os.pipe()
    reader, waits = StatusReader(hear), []
    real = select.select

    def wait(*descriptors: object) -> object:
        waits.append(descriptors)
        if len(waits) == 1:
            signal.raise_signal(signal.SIGUSR1)
        else:
            os.write(say, b'{"launched":true}\n')
        return real(*descriptors)  # type: ignore[arg-type]  # as it is called

    monkeypatch.setattr(select, "select", wait)
    with recorded(NUMBERS):
        until_told(reader, {"launched"}, print, PATIENCE)

    assert len(waits) == 2
    reader.close()
    os.close(say)


def test_signals_that_came_before_a_wait_are_taken_by_it() -> None:
    with blocked(WAITED):
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGCHLD)
        signal.raise_signal(signal.SIGIO)

        # Only stop signals are named; none of the others is left.
        assert SignalInbox().wait(PATIENCE) == [signal.SIGUSR1]
        assert signal.sigpending() & set(WAITED) == set()


def test_a_wait_without_a_signal_ends_in_time() -> None:
    with blocked(WAITED):
        assert SignalInbox().wait(0) == []
        assert SignalInbox().wait(0.001) == []


@pytest.mark.parametrize("number", WAITED)
def test_each_signal_ends_a_wait_without_a_limit(number: int) -> None:
    with blocked(WAITED):
        signal.raise_signal(number)
        SignalInbox().wait(None)
        assert number not in signal.sigpending()
