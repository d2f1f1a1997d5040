"""The exports of a session are there when a caller may look for them."""

import json
import subprocess
from pathlib import Path

import pytest
from support.processes import wait_until
from support.sabotage import SUPERVISOR, dies, hold, sabotaged
from support.sessions import Sessions
from support.tasks import gone


def test_the_files_of_a_session_are_there_before_its_id_is_printed(
    sessions: Sessions, tmp_path: Path
) -> None:
    held = hold(tmp_path)
    env = sabotaged(held.at(SUPERVISOR, "os.rename", "task.json"))
    start = sessions.begin(*sessions.starting("Begin."), env=env)
    wait_until(held.reached.exists, what="the first task.json")

    with pytest.raises(subprocess.TimeoutExpired):
        start.wait(1)
    assert start.stdout == ""
    held.go.touch()

    thread = start.wait().stdout.strip()
    directory = sessions.state_home / thread
    assert json.loads((directory / "task.json").read_bytes())["id"] == thread
    assert (directory / "task.log").exists()


@pytest.mark.parametrize("killed_at", ["summary.json", "meta.json"])
def test_the_exports_that_a_killed_supervisor_owes_are_written_by_the_next_sweep(
    killed_at: str, sessions: Sessions
) -> None:
    """It is killed after it has committed the verdict."""
    # meta.json is written at the launch and with the thread's name before.
    time = 3 if killed_at == "meta.json" else 1
    point = dies(SUPERVISOR, "os.rename", killed_at, time)
    session = sessions.start("Begin.", env=sabotaged(point))
    (run,) = session.runs
    supervisor = run.supervisor()
    wait_until(lambda: gone(supervisor), what="the end of the supervisor")
    assert not run.is_finished

    assert sessions("ls").code == 0

    assert run.meta["outcome"] == "succeeded"
    assert run.summary["outcome"] == "succeeded"
    assert (session.json["state"], session.json["outcome"]) == ("STOPPED", "succeeded")
    assert sessions("verify").code == 0
    assert sessions.rows("select * from outbox") == []


def test_they_are_written_before_the_next_run_of_the_session_begins(
    sessions: Sessions, held: Path
) -> None:
    point = dies(SUPERVISOR, "os.rename", "summary.json")
    session = sessions.start("Begin.", env=sabotaged(point))
    session.wait_for_run(1)
    session.queue("Later.")
    held.touch()
    supervisor = session.runs[0].supervisor()
    wait_until(lambda: gone(supervisor), what="the end of the supervisor")

    assert session.wait().code == 0

    assert session.prompts == ["Begin.", "Later."]
    wait_until(lambda: sessions.rows("select * from outbox") == [])
    assert sessions("verify").code == 0


def test_a_run_owes_no_exports_when_its_supervisor_is_done(sessions: Sessions) -> None:
    sessions.ended()

    # The verdict is recorded before the exports are written.
    wait_until(lambda: sessions.rows("select * from outbox") == [])


@pytest.mark.parametrize("verb", ["archive", "rm"])
def test_what_a_supervisor_still_writes_is_neither_moved_nor_removed(
    verb: str, sessions: Sessions, tmp_path: Path
) -> None:
    held = hold(tmp_path)
    # task.json is written when the thread is named, and again after the verdict.
    env = sabotaged(held.at(SUPERVISOR, "os.rename", "task.json", 2))
    session = sessions.start("Begin.", env=env)
    wait_until(held.reached.exists, what="the last task.json")
    (run,) = session.runs
    supervisor = run.supervisor()

    command = sessions.begin(verb, session.id)
    with pytest.raises(subprocess.TimeoutExpired):
        command.process.wait(1)
    held.go.touch()

    assert command.wait().code == 0
    wait_until(lambda: gone(supervisor), what="the end of the supervisor")
    assert not (sessions.state_home / session.id).exists()
    assert run.directory.exists() is (verb == "archive")
    assert sessions("verify").code == 0
