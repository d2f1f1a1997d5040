"""Sessions of the real Codex are stopped, with all that their tools have started."""

from collections.abc import Callable

import pytest
from support.guard import MARKER
from support.processes import (
    command_line,
    is_alive,
    kill,
    processes_below,
    processes_with,
    wait_until,
)
from support.real_codex import parts, used
from support.real_sessions import RealSession, RealSessions
from support.tasks import Ended, gone

# Four ways in which a tool leaves Codex's process group, and one that stays.
ESCAPING = (
    "setsid -f sleep 4001; setsid sleep 4002 & (sleep 4003 &) ;"
    " nohup sleep 4004 >nohup.out 2>&1 & sleep 4005"
)
ALL = 5

Sleeps = Callable[[], list[int]]


@pytest.fixture
def sleeps(marker: str) -> Sleeps:
    """Find the `sleep` processes that tools of this test have started."""

    def found() -> list[int]:
        marked = processes_with(MARKER, marker)
        return [pid for pid in marked if command_line(pid).startswith("sleep 400")]

    return found


@pytest.fixture
def busy(sessions: RealSessions, sleeps: Sleeps) -> RealSession:
    """Start a session whose tools sleep in all places that there are."""
    session = sessions.start(f"run: true\nrun: {ESCAPING}\nsay: never")
    wait_until(lambda: len(sleeps()) == ALL, what="all the sleeping tools")
    return session


def test_stop_ends_every_tool_wherever_it_has_gone(
    busy: RealSession, sleeps: Sleeps
) -> None:
    codex, tools = busy.pid, sleeps()
    assert codex is not None
    native = processes_below(codex)

    said = busy.stop()

    assert said == Ended(0, f"Task {busy.id} stopped.\n", "")
    assert gone(codex, *native, *tools)
    (run,) = busy.runs
    assert (run.meta["outcome"], run.meta["exit_code"]) == ("stopped", 143)
    assert run.meta["left_running"] == []
    assert parts(run.summary["token_usage"]) == used(1, 2)
    assert busy.status["state"] == busy.json["state"] == "STOPPED"
    (aborted,) = busy.sessions.codex.records(busy.id, "turn_aborted")
    assert aborted["reason"] == "interrupted"


def test_a_stopped_thread_is_carried_on(busy: RealSession, sleeps: Sleeps) -> None:
    busy.stop()

    assert busy.send("say: on again").code == 0
    assert busy.wait().code == 0

    assert busy.result() == Ended(0, "on again\n", "")
    assert busy.given[1:] == ["say: on again"]
    # Codex's note on the abort is no reply, so the model counts on from two.
    assert parts(busy.runs[1].summary["token_usage"]) == used(3)
    assert sleeps() == []


def test_stop_skips_what_waits_and_says_so(busy: RealSession) -> None:
    busy.queue("say: one")
    busy.queue("say: two")

    said = busy.stop()

    text = f"Task {busy.id} stopped. 2 waiting prompts skipped.\n"
    assert said == Ended(0, text, "")
    assert busy.status["queue"] == 0
    assert len(busy.runs) == 1
    assert busy.send("say: three").code == 0
    assert busy.wait().code == 0
    assert busy.given[1:] == ["say: three"]


def test_stop_ends_what_a_killed_supervisor_has_left(
    busy: RealSession, sleeps: Sleeps
) -> None:
    codex, tools = busy.pid, sleeps()
    assert codex is not None
    supervisor = busy.runs[0].supervisor()
    kill(supervisor)
    wait_until(lambda: not is_alive(supervisor), what="the supervisor's end")
    assert busy.status["state"] == "RUNNING"

    said = busy.stop()

    assert said == Ended(0, f"Task {busy.id} stopped.\n", "")
    # The tools inherit the run's mark, so not even an orphan is lost.
    assert gone(codex, *tools)
    assert busy.runs[0].meta["outcome"] == "stopped"
    assert busy.pid is None
    assert busy.send("say: on again").code == 0
    assert busy.wait().code == 0


def test_a_session_whose_processes_were_all_killed_has_died_and_goes_on(
    busy: RealSession, sleeps: Sleeps
) -> None:
    codex = busy.pid
    assert codex is not None
    for pid in (busy.runs[0].supervisor(), codex, *processes_below(codex), *sleeps()):
        kill(pid)

    status = busy.status

    assert (status["state"], status["outcome"]) == ("DIED", "lost")
    assert busy.json["state"] == "DIED"
    assert busy.pid is None
    assert parts(busy.runs[0].summary["token_usage"]) == used(1, 2)
    assert busy.wait().code == 1
    assert busy.send("say: on again").code == 0
    assert busy.wait().code == 0
    assert busy.result().stdout == "on again\n"
    for pid in sleeps():
        kill(pid)
