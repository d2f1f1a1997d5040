"""The timer delivers what waits for a time, with no command being run."""

import os
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from support.processes import assert_sleeps, is_alive, kill, wait_until
from support.sessions import Session, Sessions
from support.tasks import gone

from runner.lifecycle.timer import FIFO


@pytest.fixture
def session(sessions: Sessions, held: Path) -> Session:
    held.touch()
    return sessions.ended()


def timers(sessions: Sessions) -> list[int]:
    """Find the processes that have the bell of the timer open."""
    bell, found = sessions.state_home / FIFO, []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if bell in map(Path.readlink, (place / "fd").iterdir()):
                found.append(int(place.name))
    return found


def the_timer(sessions: Sessions) -> int:
    wait_until(lambda: timers(sessions), what="the timer")
    (pid,) = timers(sessions)
    return pid


@pytest.mark.core
def test_a_prompt_is_delivered_at_its_time_and_the_timer_ends(
    session: Session,
) -> None:
    sessions = session.sessions
    session.send("Later.", "--queue", "--not-before", "+2s")
    pid = the_timer(sessions)

    wait_until(lambda: session.given == ["Begin.", "Later."], 30)

    session.runs[1].wait_for_end()
    wait_until(lambda: not is_alive(pid), what="the end of the timer")


def test_a_timer_that_waits_for_a_time_does_not_wake_up(session: Session) -> None:
    session.send("Later.", "--queue", "--not-before", "+1h")
    pid = the_timer(session.sessions)

    assert_sleeps(pid)

    session.stop()
    wait_until(lambda: not is_alive(pid), what="the end of the timer")


def test_a_killed_timer_is_started_by_the_next_command(session: Session) -> None:
    session.send("Later.", "--queue", "--not-before", "+1h")
    first = the_timer(session.sessions)
    kill(first)
    wait_until(
        lambda: not is_alive(first), what="its death: it has the lock until then"
    )

    session.sessions("ls")

    assert the_timer(session.sessions) != first
    session.stop()


def test_there_is_one_timer_whatever_many_commands_do(session: Session) -> None:
    begun = [
        session.sessions.begin(
            "send", "--queue", "--not-before", "+1h", session.id, f"Later {n}."
        )
        for n in range(6)
    ]
    assert [each.wait().code for each in begun] == [0] * 6

    pid = the_timer(session.sessions)

    assert len(session.status["prompts"]) == 6
    assert timers(session.sessions) == [pid]
    session.stop()


def test_a_nearer_time_is_kept_although_the_timer_sleeps_already(
    session: Session,
) -> None:
    other = session.sessions.ended("Begin too.")
    session.send("Later.", "--queue", "--not-before", "+1h")
    the_timer(session.sessions)

    other.send("Soon.", "--queue", "--not-before", "+1s")

    wait_until(lambda: other.given == ["Begin too.", "Soon."], 30)
    session.stop()


def test_what_a_killed_supervisor_leaves_is_delivered_by_the_timer(
    session: Session, go: Path
) -> None:
    go.unlink()
    assert session.send("At work.").code == 0
    session.queue("Next.")
    the_timer(session.sessions)

    session.lose(codex=True)
    go.touch()

    wait_until(lambda: session.given[-1] == "Next.", 30)
    assert [record["outcome"] for record in session.records[1:2]] == ["lost"]


def test_a_prompt_expires_without_a_command(session: Session) -> None:
    session.sessions("pause", session.id)
    session.send("Too late.", "--queue", "--expires", "+1s")

    wait_until(lambda: session.queued == [("Too late.", "failed")], 30)


def test_a_timer_ends_on_a_signal(session: Session) -> None:
    session.send("Later.", "--queue", "--not-before", "+1h")
    pid = the_timer(session.sessions)

    os.kill(pid, signal.SIGTERM)

    wait_until(lambda: not is_alive(pid), what="the end of the timer")
    session.stop()


def test_a_supervisor_that_is_terminated_starts_nothing(
    session: Session, go: Path
) -> None:
    """Its unit or its machine stops: what it started would be ended with it."""
    sessions = session.sessions
    sessions("slots", "1")
    go.unlink()
    assert session.send("At work.").code == 0
    session.wait_for_run(2)
    session.queue("Next.")
    sessions(*sessions.starting("--queue", "Another."))
    timer, supervisor = the_timer(sessions), session.runs[-1].supervisor()

    for pid in (timer, supervisor):
        os.kill(pid, signal.SIGTERM)
        wait_until(partial(gone, pid), what="the end of the terminated")

    assert timers(sessions) == []
    waiting = "select preview from prompts where state = 'queued' order by id"
    assert sessions.rows(waiting) == [("Next.",), ("Another.",)]
    assert session.records[-1]["outcome"] == "interrupted"
    go.touch()
    sessions("ls")
    wait_until(lambda: sessions.rows(waiting) == [], 30)
