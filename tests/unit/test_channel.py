"""The way back from a supervisor: whole messages, and a sender that never waits."""

import os
import select
from collections.abc import Iterator

import pytest

from runner.lifecycle.handoff import StatusPipe, StatusReader
from runner.service.follow import until_told


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


@pytest.mark.parametrize("is_closed", [False, True])
def test_what_came_with_the_message_that_was_waited_for_is_heard_later(
    ends: tuple[int, int], *, is_closed: bool
) -> None:
    hear, say = ends
    channel, listener = StatusPipe(say), StatusReader(hear)
    channel.send(recorded="1")
    channel.send(launched=True)
    channel.send(finished=0)
    if is_closed:
        os.close(say)

    assert listener.wait_for({"recorded"}) == {"recorded": "1"}
    assert until_told(listener, {"launched"}, print) == {"launched": True}
    assert listener.is_open
    assert list(listener.messages()) == [{"finished": 0}]
    assert listener.is_open != is_closed


def test_parts_that_follow_on_each_other_are_one(ends: tuple[int, int]) -> None:
    hear, say = ends
    channel, listener = StatusPipe(say), StatusReader(hear)
    while is_writable(say):
        channel.send(warning="x" * 100_000)
    channel.show(0, 10, (1, 0))
    channel.show(10, 30, (2, 0))
    channel.show(40, 50, (3, 1))
    list(listener.messages())

    channel.send(finished=0)

    told = {"parts": [[0, 30], [40, 50]], "read": [3, 1], "finished": 0}
    assert list(listener.messages()) == [told]


def test_parts_that_were_sent_are_not_sent_again(ends: tuple[int, int]) -> None:
    hear, say = ends
    channel, listener = StatusPipe(say), StatusReader(hear)
    channel.show(0, 10, (1, 0))
    channel.show(10, 30, (2, 0))
    channel.send(finished=0)

    assert list(listener.messages()) == [
        {"parts": [[0, 10]], "read": [1, 0]},
        {"parts": [[10, 30]], "read": [2, 0]},
        {"finished": 0},
    ]


@pytest.mark.parametrize("lack", [1, 2])
def test_a_message_that_only_lacks_its_newline_was_sent(
    ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch, lack: int
) -> None:
    hear, say = ends
    channel, listener = StatusPipe(say), StatusReader(hear)
    real = os.write
    monkeypatch.setattr(os, "write", lambda end, data: real(end, data[:-lack]))
    channel.show(0, 10, (1, 0))
    monkeypatch.undo()

    channel.send(finished=0)

    shown = [part for each in listener.messages() for part in each.get("parts", ())]
    assert shown == [[0, 10]]


def is_writable(end: int) -> bool:
    return bool(select.select([], [end], [], 0)[1])
