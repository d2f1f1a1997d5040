"""The way back from a supervisor: whole messages, and a sender that never waits."""

import os
import select
from collections.abc import Iterator

import pytest

from runner.lifecycle.handoff import StatusPipe, StatusReader


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    hear, say = os.pipe()
    yield hear, say
    for end in (hear, say):
        try:
            os.close(end)
        except OSError:
            continue


def test_what_is_said_is_heard_in_order(ends: tuple[int, int]) -> None:
    hear, say = ends
    channel, listener = StatusPipe(say), StatusReader(hear)
    channel.send(launched=True)
    channel.send(warning="a\nb")

    assert list(listener.messages()) == [{"launched": True}, {"warning": "a\nb"}]
    assert list(listener.messages()) == []
    assert listener.is_open


def test_a_message_that_comes_in_pieces_is_heard_whole(ends: tuple[int, int]) -> None:
    hear, say = ends
    listener = StatusReader(hear)
    os.write(say, b'{"finis')

    assert list(listener.messages()) == []
    os.write(say, b'hed":true}\n{"')
    assert list(listener.messages()) == [{"finished": True}]


def test_an_end_is_noticed_after_the_last_message(ends: tuple[int, int]) -> None:
    hear, say = ends
    listener = StatusReader(hear)
    StatusPipe(say).send(finished=True)
    os.close(say)

    assert list(listener.messages()) == [{"finished": True}]
    assert not listener.is_open
    assert list(listener.messages()) == []


def test_nobody_waits_for_a_listener_that_does_not_listen_or_is_gone(
    ends: tuple[int, int],
) -> None:
    hear, say = ends
    channel = StatusPipe(say)
    for _ in range(10_000):
        channel.send(warning="x" * 100)
    os.close(hear)

    channel.send(finished=True)


def test_a_message_that_a_full_pipe_took_in_part_does_not_end_the_watcher(
    ends: tuple[int, int],
) -> None:
    hear, say = ends
    channel, listener = StatusPipe(say), StatusReader(hear)
    while is_writable(say):
        channel.send(warning="x" * 100_000)
    assert list(listener.messages()) == []

    channel.send(finished=True)

    assert list(listener.messages()) == [{"finished": True}]


def is_writable(end: int) -> bool:
    return bool(select.select([], [end], [], 0)[1])
