"""How long a run may take and what is progress, on a clock of the test's own."""

import json
from pathlib import Path

import pytest
from support.runs import SESSION

from parsers.exec_events.summary import EventSummary
from runner import clock
from runner.lifecycle.judge import Cause
from runner.model import Limits
from runner.supervisor.limits import LimitsWatch
from runner.tail import START_STALL

RECONNECTING = b'{"type":"error","message":"Reconnecting... waiting for network"}'
MESSAGE = b'{"type":"item.completed","item":{"type":"agent_message","text":"x"}}'


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(clock, "monotonic", time)
    return time


def event(kind: str, state: str) -> bytes:
    item = {"id": "1", "type": kind, "status": "in_progress"}
    return json.dumps({"type": f"item.{state}", "item": item}).encode()


def test_the_time_limit_is_passed_whatever_happens(time: Time, tmp_path: Path) -> None:
    patience, digest = LimitsWatch(Limits(timeout=60), tmp_path), EventSummary()

    time.now += 59.9
    digest.feed(MESSAGE)
    assert patience.exceeded(digest) is None
    time.now += 0.1
    digest.feed(MESSAGE)
    assert patience.exceeded(digest) == (Cause.TIMEOUT, 60)


@pytest.mark.parametrize("line", [None, RECONNECTING, b"noise", b"\0", b""])
def test_what_is_no_progress_stalls(
    time: Time, tmp_path: Path, line: bytes | None
) -> None:
    patience, digest = LimitsWatch(Limits(stall=100), tmp_path), EventSummary()

    for _ in range(10):
        assert patience.exceeded(digest) is None
        time.now += 10
        if line is not None:
            digest.feed(line)

    assert patience.exceeded(digest) == (Cause.STALL, 100)


def test_an_event_is_progress(time: Time, tmp_path: Path) -> None:
    patience, digest = LimitsWatch(Limits(stall=100), tmp_path), EventSummary()

    for _ in range(10):
        time.now += 90
        digest.feed(MESSAGE)
        assert patience.exceeded(digest) is None


@pytest.mark.parametrize("kind", ["command_execution", "mcp_tool_call"])
def test_what_is_running_is_progress_until_it_ends(
    time: Time, tmp_path: Path, kind: str
) -> None:
    patience, digest = LimitsWatch(Limits(stall=100), tmp_path), EventSummary()
    digest.feed(event(kind, "started"))

    for _ in range(10):
        time.now += 90
        assert patience.exceeded(digest) is None
    digest.feed(event(kind, "completed"))
    assert patience.exceeded(digest) is None
    time.now += 100
    assert patience.exceeded(digest) == (Cause.STALL, 100)


def test_a_rollout_that_grows_is_progress(time: Time, tmp_path: Path) -> None:
    rollout = (
        tmp_path / "sessions" / "2026" / "11" / "20" / f"rollout-x-{SESSION}.jsonl"
    )
    rollout.parent.mkdir(parents=True)
    patience, digest = LimitsWatch(Limits(stall=100), tmp_path), EventSummary()
    digest.feed(f'{{"type":"thread.started","thread_id":"{SESSION}"}}'.encode())

    for size in range(10):
        rollout.write_text("x" * size)
        time.now += 50
        assert patience.exceeded(digest) is None
    time.now += 60
    assert patience.exceeded(digest) is None
    time.now += 60
    assert patience.exceeded(digest) == (Cause.STALL, 100)


BEGINNING = (
    b'{"type":"thread.started","thread_id":"%s"}' % SESSION.encode(),
    b'{"type":"item.completed","item":{"id":"0","type":"error","message":"x"}}',
    b'{"type":"turn.started"}',
)


@pytest.mark.parametrize(
    ("answers", "pause", "end"),
    [
        ((), 8, (Cause.STALL, START_STALL)),
        ((MESSAGE,), 8, None),
        # The model may have worked meanwhile, until the connection failed once more.
        ((), 200, None),
    ],
    ids=["nothing else", "after an answer", "now and then"],
)
def test_a_run_that_only_reconnects_since_its_beginning_stalls_sooner(
    time: Time,
    tmp_path: Path,
    answers: tuple[bytes, ...],
    pause: float,
    end: tuple[Cause, float] | None,
) -> None:
    patience, digest = LimitsWatch(Limits(stall=3600), tmp_path), EventSummary()
    for line in (*BEGINNING, *answers):
        digest.feed(line)
    found = []

    while time.now < 1000 + START_STALL + 3 * pause:
        digest.feed(RECONNECTING)
        found.append(patience.exceeded(digest))
        time.now += pause

    assert set(found[: int(START_STALL / pause)]) == {None}
    assert found[-1] == end


@pytest.mark.parametrize(
    ("first", "growth", "at"),
    [
        (1.0, 2.0, START_STALL),
        (8.0, 1.5, START_STALL),
        (10.0, 2.0, 630),  # at 600 the message of 310 s is older than the pause before
    ],
)
def test_the_pauses_between_reconnect_messages_may_grow(
    time: Time, tmp_path: Path, first: float, growth: float, at: float
) -> None:
    patience, digest = LimitsWatch(Limits(stall=3600), tmp_path), EventSummary()
    for line in BEGINNING:
        digest.feed(line)
    began, pause, message = time.now, first, time.now
    end = None

    while end is None and time.now < began + 2 * START_STALL:
        if time.now >= message:
            digest.feed(RECONNECTING)
            message, pause = message + pause, pause * growth
        end = patience.exceeded(digest)
        if end is None:
            look = patience.next_look(digest)
            assert look is not None
            assert look > time.now
            time.now = min(look, message)

    assert (end, time.now - began) == ((Cause.STALL, START_STALL), at)


def test_a_turn_that_waits_for_its_first_answer_is_no_early_stall(
    time: Time, tmp_path: Path
) -> None:
    patience, digest = LimitsWatch(Limits(stall=3600), tmp_path), EventSummary()
    for line in (*BEGINNING, RECONNECTING):
        digest.feed(line)
    assert patience.exceeded(digest) is None

    time.now += 3599

    assert patience.exceeded(digest) is None


def test_without_limits_there_is_no_end(time: Time, tmp_path: Path) -> None:
    patience = LimitsWatch(Limits(), tmp_path)
    time.now += 1e9

    assert patience.exceeded(EventSummary()) is None
