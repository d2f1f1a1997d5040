"""`codex-tasks stop` ends what a task does, and nothing else."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import stand_in as script
from support.guard import MARKER
from support.processes import is_alive, kill, start_time, wait_until
from support.sabotage import SUPERVISOR, TASKS, dies, hold, sabotaged
from support.sessions import Session, Sessions
from support.stand_in import StandIn, make_native
from support.tasks import gone

from runner.process import cgroup


def test_without_anything_running_there_is_nothing_to_stop(sessions: Sessions) -> None:
    empty = sessions("stop", "-a")
    session = sessions.ended()

    for said in (empty, sessions("stop", "-a")):
        assert (said.code, said.stdout) == (0, "No running tasks to stop.\n")
    said = session.stop()
    assert said.code == 0
    assert said.stdout == f"Task {session.id} is not running; nothing to stop.\n"


@pytest.mark.core
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


@pytest.mark.usefixtures("held")
def test_a_stop_stops_the_tasks_that_were_started_inside_too(
    sessions: Sessions,
) -> None:
    outer = sessions.start("Outer.")
    # Interpreters of their own: the kernel shows the environment of their start.
    inside = {"CODEX_RUNNER_RUN": outer.wait_for_run(1).run_id, "PYTHONUTF8": "1"}
    inner = sessions.start("Inner.", env=inside)
    inner.wait_for_run(1)
    assert inner.queue("Next.", env=inside).code == 0

    said = outer.stop()

    assert (said.code, said.stderr) == (0, "")
    assert said.stdout == (
        f"Task {outer.id} stopped.\n"
        f"Task {inner.id} stopped. 1 waiting prompt skipped.\n"
    )
    sessions("ls")
    assert inner.status["outcome"] == "stopped"
    assert inner.given == ["Inner."]


@pytest.mark.core
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


@pytest.mark.core
@pytest.mark.usefixtures("held")
def test_a_stop_skips_what_waits_and_tells_how_much(
    sessions: Sessions,
) -> None:
    session = sessions.start()
    session.queue("One.")
    session.queue("Two.")
    session.queue("/quit")

    said = session.stop()

    # The quit itself is no prompt that was lost; status counts them alike.
    assert said.stdout == f"Task {session.id} stopped. 2 waiting prompts skipped.\n"
    assert {state for _, state in session.queued} == {"canceled"}
    assert session.given == ["Begin."]
    status = session.status
    assert (status["state"], status["queue"]) == ("STOPPED", 0)
    assert not list(sessions.state_home.glob("queue/*"))


@pytest.fixture
def impatient(environment: dict[str, str]) -> float:
    """Let what does not obey be killed after this many seconds."""
    environment["CODEX_RUNNER_GRACE_SECONDS"] = "3"
    return 3.0


def deaf(codex: StandIn) -> None:
    """Let Codex ignore every signal but KILL."""
    codex.plays(
        script.ignore("INT", "TERM"),
        *script.begin(),
        script.message("ready"),
        script.hang(),
        thread=script.FRESH,
    )


def test_stop_all_stops_all_at_the_same_time(
    sessions: Sessions, codex: StandIn, impatient: float
) -> None:
    deaf(codex)
    running = {sessions.start().id for _ in range(5)}
    began = time.monotonic()

    said = sessions("stop", "-a")

    # One after the other they would take five times the grace time.
    assert impatient < time.monotonic() - began < 4 * impatient
    assert set(said.lines) == {f"Task {key} stopped." for key in running}
    assert sessions.running == set()


@pytest.mark.usefixtures("held")
def test_a_suspended_supervisor_does_not_hold_up_a_stop(
    sessions: Sessions, impatient: float
) -> None:
    session = sessions.start()
    run = session.wait_for_run(1)
    supervisor, codex = run.supervisor(), run.codex()
    os.kill(supervisor, signal.SIGSTOP)
    began = time.monotonic()

    said = session.stop()

    # Twice the grace time for the supervisor; what it leaves behind obeys at once.
    assert time.monotonic() - began < 4 * impatient
    assert (said.code, said.lines[0]) == (0, f"Task {session.id} stopped.")
    wait_until(lambda: gone(supervisor, codex))
    assert session.status["outcome"] == "stopped"


@pytest.fixture
def left(
    sessions: Sessions, codex: StandIn, tmp_path: Path, marker: str
) -> Iterator[tuple[Session, list[int]]]:
    """Kill a Codex and its supervisor, and give what they have left running.

    The first tool carries the marker of its run; the second has an environment and a
    process session of its own, and no parent that belongs to the run.
    """
    pids, program = tmp_path / "pids", make_native(tmp_path / "native")
    tools = [
        f"({how} setsid sleep 300 > /dev/null 2>&1 & echo $! >> {pids})"
        for how in ("", f"env -i {MARKER}={marker}")
    ]
    events = [{"type": "thread.started", "thread_id": "$THREAD"}]
    events += [{"type": "turn.started"}]
    lines = (f"echo '{json.dumps(each)}'" for each in events)
    native = script.native(program, "\n".join((*tools, *lines, "sleep 300")))
    codex.plays(native, thread=script.FRESH)
    session = sessions.start()
    session.wait_for_run(1)
    found = [int(pid) for pid in pids.read_text().split()]
    session.lose(supervisor=True, codex=True)
    for pid in codex.natives:
        kill(pid)
    yield session, found
    for pid in found:
        kill(pid)


def test_what_a_killed_codex_has_left_running_is_ended_by_a_stop(
    left: tuple[Session, list[int]],
) -> None:
    session, (marked, unmarked) = left
    assert session.state == "DIED"
    assert is_alive(marked)

    said = session.stop()

    assert said.stdout == f"Task {session.id} stopped.\n"
    assert not is_alive(marked)
    if cgroup.is_possible():
        assert not is_alive(unmarked)
        assert said.stderr == ""
        assert session.runs[0].run_id not in cgroup.by_run()
    else:
        assert "may still run" in said.stderr


def test_a_task_is_removed_when_what_it_has_left_running_has_ended(
    sessions: Sessions, codex: StandIn
) -> None:
    codex.plays(*script.begin(), script.spawn(), script.complete(), thread=script.FRESH)
    session = sessions.start()
    session.wait()
    (left,) = codex.children

    for command in (["rm", session.id], ["prune", "-a", "--older-than", "0s"]):
        said = sessions(*command)
        assert said.code == 75
        assert f"{left} (python" in said.stderr
        short = session.status["short_id"]
        assert f"\nfix:   codex-tasks stop {short}\n" in said.stderr
    assert is_alive(left)
    assert session.stop().stdout == f"Task {session.id} stopped.\n"

    assert gone(left)
    assert sessions("rm", session.id).code == 0


HIDDEN = "umount -l /sys/fs/cgroup/unified 2> /dev/null || umount -l /sys/fs/cgroup"


@pytest.mark.skipif(
    subprocess.run(
        ["unshare", "--mount", "sh", "-c", HIDDEN],  # noqa: S607  # any unshare
        capture_output=True,
        check=False,
    ).returncode
    != 0,
    reason="needs the right to unmount the control groups in a namespace of its own",
)
def test_a_stop_without_control_groups_says_that_processes_may_be_left(
    left: tuple[Session, list[int]],
) -> None:
    session, (marked, unmarked) = left
    cli = session.sessions.cli
    argv = cli.argv("stop", session.id, command="codex_tasks")
    hidden = ["unshare", "--mount", "sh", "-c", f'{HIDDEN}; exec "$@"', "sh", *argv]

    said = cli.launch(hidden)
    _, notes = said.communicate(timeout=30)

    assert not is_alive(marked)
    assert is_alive(unmarked)
    assert b"processes" in notes
    assert b"may still run" in notes


def test_a_run_that_is_stopped_before_its_supervisor_claims_it_is_told(
    sessions: Sessions, codex: StandIn, tmp_path: Path
) -> None:
    held = hold(tmp_path)
    point = held.at(SUPERVISOR, "sqlite3.execute", "begin immediate", 2)
    begun = sessions.begin(*sessions.starting("Begin."), env=sabotaged(point))
    wait_until(held.reached.exists)
    (run_id,) = (record["run_id"] for record in sessions.records)

    stopping = sessions.begin("stop", run_id)
    asked = "select stop_asked_at is not null from runs"
    wait_until(lambda: sessions.rows(asked) == [(1,)])
    held.go.touch()

    assert stopping.wait().stdout == f"Task {run_id} stopped.\n"
    assert begun.wait().code == 1
    assert codex.runs == []


def test_what_is_sent_after_the_order_to_stop_is_delivered(
    sessions: Sessions, held: Path, tmp_path: Path
) -> None:
    session = sessions.start()
    session.queue("Before.")
    (tmp_path / "stop").mkdir()
    ordered = hold(tmp_path / "stop")
    # It looks what runs, after the transaction in which it gave the order.
    point = ordered.at(TASKS, "sqlite3.execute", "where r.state <> 'finished'", 1)
    stop = sessions.begin("stop", session.id, env=sabotaged(point))
    wait_until(ordered.reached.exists)

    assert session.queue("After.").code == 0
    ordered.go.touch()

    assert "stopped. 1 waiting prompt skipped." in stop.wait().stdout
    held.touch()
    assert session.wait().code == 0
    assert session.given == ["Begin.", "After."]
    assert session.queued == [("Before.", "canceled"), ("After.", "done")]


def test_a_prompt_whose_run_was_to_stop_is_never_put_back(
    sessions: Sessions, codex: StandIn
) -> None:
    session = sessions.ended()
    codex.plays(script.hang(), thread=script.FRESH)
    session.queue("Next.")
    wait_until(lambda: session.given == ["Begin.", "Next."], what="a prompt is given")
    # The order is given, and its process is killed before it has ended anything.
    point = dies(TASKS, "sqlite3.execute", "where r.state <> 'finished'", 1)
    killed = sessions("stop", session.id, env=sabotaged(point))
    assert killed.code == -signal.SIGKILL
    codex.plays(*script.ordinary(), thread=script.FRESH)

    session.lose(supervisor=True, codex=True)
    session.wait()

    assert session.given == ["Begin.", "Next."]
    assert session.queued == [("Next.", "canceled")]
    assert session.status["queue"] == 0


def test_a_stop_leaves_a_run_alone_that_was_sent_after_it(
    sessions: Sessions, codex: StandIn, go: Path
) -> None:
    codex.plays(
        *script.begin(),
        script.when("Leave", script.spawn(ignoring=["TERM"]), script.complete()),
        script.wait_for(go),
        script.complete(),
        thread=script.FRESH,
    )
    sessions.cli.environment["CODEX_RUNNER_GRACE_SECONDS"] = "3"
    session = sessions.ended("Leave one.")
    session.send("To be stopped.")
    stopping = sessions.begin("stop", session.id)
    wait_until(lambda: session.records[1]["outcome"] == "stopped")
    # It is about what the first run has left that the stop still waits.
    assert stopping.process.poll() is None

    assert session.send("Wanted.").code == 0

    assert stopping.wait().code == 0
    go.touch()
    session.wait()
    assert [each["outcome"] for each in session.records] == [
        "succeeded",
        "stopped",
        "succeeded",
    ]
    assert gone(*codex.children)
