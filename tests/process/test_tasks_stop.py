"""`codex-tasks stop` ends what a task does, and nothing else."""

from pathlib import Path

import pytest
from support import stand_in as script
from support.processes import is_alive, start_time, wait_until
from support.sessions import Sessions
from support.stand_in import StandIn
from support.tasks import gone


def test_without_anything_running_there_is_nothing_to_stop(sessions: Sessions) -> None:
    empty = sessions("stop", "-a")
    session = sessions.ended()

    for said in (empty, sessions("stop", "-a")):
        assert (said.code, said.stdout) == (0, "No running tasks to stop.\n")
    said = session.stop()
    assert said.code == 0
    assert said.stdout == f"Task {session.id} is not running; nothing to stop.\n"


@pytest.mark.usefixtures("held")
def test_two_stops_at_once_are_one_stop(sessions: Sessions) -> None:
    session = sessions.start()
    codex = session.runs[0].codex()

    begun = [sessions.begin("stop", session.id) for _ in range(3)]
    ended = [each.wait() for each in begun]

    assert [each.code for each in ended] == [0, 0, 0]
    assert any("stopped." in each.stdout for each in ended)
    assert gone(codex)
    status = session.status
    assert (status["state"], status["outcome"]) == ("STOPPED", "stopped")
    assert not session.directory.joinpath("task.pid").exists()


def test_a_stop_ends_every_descendant_and_no_other_session(
    sessions: Sessions, codex: StandIn, held: Path
) -> None:
    other = sessions.start()
    codex.plays(
        *script.begin(),
        script.spawn(),
        script.spawn(double_fork=True),
        script.spawn(own_session=False),
        script.hang(),
        thread=script.FRESH,
    )
    session = sessions.start()
    wait_until(lambda: len(codex.children) == 3)
    tools = [(pid, start_time(pid)) for pid in codex.children]

    assert session.stop().stdout == f"Task {session.id} stopped.\n"

    assert not any(is_alive(pid, began) for pid, began in tools)
    assert other.state == "RUNNING"
    held.touch()
    assert other.wait().code == 0


@pytest.mark.usefixtures("held")
def test_stop_all_stops_all(sessions: Sessions) -> None:
    running = {sessions.start().id for _ in range(3)}

    said = sessions("stop", "-a")

    assert said.code == 0
    assert set(said.lines) == {f"Task {key} stopped." for key in running}
    assert sessions.running == set()


@pytest.mark.usefixtures("held")
def test_a_stop_skips_what_waits_and_tells_how_much(
    sessions: Sessions,
) -> None:
    session = sessions.start()
    session.queue("One.")
    session.queue("/quit")
    session.queue("Two.")

    said = session.stop()

    # The quit itself is no prompt that was lost; status counts them alike.
    assert said.stdout == f"Task {session.id} stopped. 2 waiting prompts skipped.\n"
    assert {state for _, state in session.queued} == {"canceled"}
    assert session.given == ["Begin."]
    status = session.status
    assert (status["state"], status["queue"]) == ("STOPPED", 0)
    assert not list(sessions.state_home.glob("queue/*"))
