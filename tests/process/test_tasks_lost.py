"""Whoever was killed, whenever the machine was switched off: status is the truth."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import stand_in as script
from support.guard import MARKER
from support.processes import is_alive, kill, start_time, wait_until
from support.sabotage import SUPERVISOR, TASKS, Point, dies, hold, sabotaged
from support.sessions import Session, Sessions
from support.stand_in import StandIn
from support.tasks import gone

from runner.locks import Lock, look

# What commands and supervisors deliver, without the timer.
pytestmark = pytest.mark.usefixtures("without_timer")

ELSEWHEN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def busy(sessions: Sessions, codex: StandIn, go: Path) -> Session:
    """Start a session whose Codex waits for the test."""
    codex.plays(
        *script.begin(),
        script.message("half of it"),
        script.wait_for(go),
        script.message("all of it"),
        script.complete(),
        thread=script.FRESH,
    )
    session = sessions.start()
    session.wait_for_run(1)
    return session


@pytest.fixture
def stranger(marker: str) -> Iterator[int]:
    """Start a process that is none of ours, whose pid the record will name."""
    process = subprocess.Popen(
        ["sleep", "60"],  # noqa: S607  # any sleep
        env={**os.environ, MARKER: marker},
        start_new_session=True,
    )
    yield process.pid
    process.kill()
    process.wait()


def rewrite(
    session: Session,
    *,
    pid: int | None = None,
    start_time: int | None = None,
    boot_id: str | None = None,
) -> None:
    """Change what the ledger says of the processes of the last run."""
    (files,) = session.runs
    sql = "select place, supervisor, codex from runs where run_id = ?"
    ((place, *processes),) = session.sessions.rows(sql, files.run_id)
    machine, boot, namespace = place.split()
    changed = []
    for process in processes:
        was_pid, was_start_time = process.split()
        changed.append(f"{pid or was_pid} {start_time or was_start_time}")
    session.sessions.change(
        "update runs set place = ?, supervisor = ?, codex = ? where run_id = ?",
        *(f"{machine} {boot_id or boot} {namespace}", *changed, files.run_id),
    )


@pytest.mark.core
def test_a_killed_supervisor_leaves_a_running_session_that_ends_well(
    busy: Session, go: Path
) -> None:
    codex = busy.runs[-1].codex()
    busy.lose(supervisor=True)

    assert busy.state == "RUNNING"
    assert busy.sessions.listed()[busy.id]["state"] == "RUNNING"
    assert busy.send("More.").code == 75

    go.touch()
    wait_until(lambda: gone(codex))
    status = busy.status
    assert (status["state"], status["outcome"]) == ("STOPPED", "succeeded")
    assert status["last_result"] == "all of it"
    assert busy.result().stdout == "all of it\n"
    assert busy.text("task.result") == "all of it"
    assert busy.json["state"] == "STOPPED"
    assert [line["type"] for line in busy.log] == [
        "user_message",
        "thread.started",
        "turn.started",
        "item.completed",
        "item.completed",
        "turn.completed",
    ]


def test_a_suspended_supervisor_is_named_with_the_way_to_go_on(
    busy: Session, go: Path
) -> None:
    run = busy.runs[-1]
    supervisor, codex = run.supervisor(), run.codex()
    os.kill(supervisor, signal.SIGSTOP)
    why = f"its supervisor (pid {supervisor}) is suspended: kill -CONT {supervisor}"
    assert busy.status["pid"] == codex
    assert busy.status["note"].startswith(why)
    go.touch()
    wait_until(lambda: gone(codex))

    status = busy.status
    waited = busy.sessions("status", "--wait", "--timeout", "2.5", busy.id)

    assert (status["state"], status["pid"]) == ("RUNNING", None)
    assert status["note"].startswith(f"Codex has ended; {why}")
    assert waited.code == 124
    assert waited.stderr.count(why) == 1
    assert f"Note: Codex has ended; {why}" in waited.stdout
    os.kill(supervisor, signal.SIGCONT)
    assert busy.wait().code == 0
    assert busy.status["note"] is None


def test_a_killed_codex_leaves_a_session_that_has_died(busy: Session) -> None:
    busy.lose(supervisor=False, codex=True)

    assert busy.wait().code == 1

    status = busy.status
    assert (status["state"], status["outcome"]) == ("DIED", "interrupted")
    assert "SIGKILL" in status["error"]
    assert busy.json["state"] == "DIED"


@pytest.mark.core
def test_with_both_killed_the_session_has_died_and_its_run_is_lost(
    busy: Session,
) -> None:
    busy.lose(supervisor=True, codex=True)

    status = busy.status

    assert (status["state"], status["outcome"]) == ("DIED", "lost")
    assert busy.sessions.listed()[busy.id]["state"] == "DIED"
    assert status["pid"] is None
    assert not busy.directory.joinpath("task.pid").exists()
    assert busy.stop().stdout == f"Task {busy.id} is not running; nothing to stop.\n"
    (run,) = busy.runs
    assert run.meta["outcome"] == "lost"


def test_a_session_that_has_died_is_carried_on(busy: Session, go: Path) -> None:
    busy.lose(supervisor=True, codex=True)
    go.touch()

    assert busy.send("More.").code == 0
    assert busy.wait().code == 0

    assert busy.given == ["Begin.", "More."]
    assert [record["outcome"] for record in busy.records] == ["lost", "succeeded"]
    assert busy.state == "STOPPED"


@pytest.mark.parametrize("command", ["status", "ls", "stop", "send"])
def test_after_a_reboot_no_session_is_running(
    busy: Session, go: Path, command: str
) -> None:
    busy.lose(supervisor=True, codex=True)
    rewrite(busy, boot_id=ELSEWHEN)
    go.touch()

    if command == "stop":
        assert "is not running" in busy.stop().stdout
    elif command == "send":
        assert busy.send("More.").code == 0
        busy.wait()
    elif command == "ls":
        assert busy.sessions.listed()[busy.id]["state"] == "DIED"
    else:
        assert busy.state == "DIED"

    assert busy.records[0]["outcome"] == "lost"
    assert busy.state == ("STOPPED" if command == "send" else "DIED")


def test_a_run_that_a_power_cut_has_ended_says_so_and_what_it_used_is_unknown(
    busy: Session,
) -> None:
    """The cut empties the files that the system had not written to the disk yet."""
    begun = "select begun from runs"
    wait_until(lambda: busy.sessions.rows(begun) == [(1,)], what="the turn's record")
    (run,) = busy.runs
    busy.lose(supervisor=True, codex=True)
    rewrite(busy, boot_id=ELSEWHEN)
    Path(run.meta["events_file"]).write_bytes(b"")

    status = busy.status

    assert status["outcome"] == "lost"
    assert status["error"].endswith("; the machine was restarted")
    assert status["usage"]["total_tokens"] is None
    assert (status["usage"]["unknown_runs"], status["cost"]["usd"]) == (1, None)
    listed = busy.sessions.listed()[busy.id]
    figures = listed["usage"]["total_tokens"], listed["cost"]["usd"]
    assert figures == (None, None)


def test_a_prompt_that_waited_over_a_reboot_is_delivered_by_the_next_command(
    busy: Session, go: Path
) -> None:
    assert busy.queue("Next.").code == 0
    busy.lose(supervisor=True, codex=True)
    rewrite(busy, boot_id=ELSEWHEN)
    go.touch()

    listed = busy.sessions.listed()

    # It may have ended before the list was read.
    assert listed[busy.id]["state"] in {"RUNNING", "STOPPED"}
    assert listed[busy.id]["queue"] == 0
    assert busy.wait().code == 0
    assert [record["outcome"] for record in busy.records] == ["lost", "succeeded"]
    assert busy.given == ["Begin.", "Next."]
    assert busy.state == "STOPPED"


@pytest.mark.parametrize("has_its_start_time", [False, True])
def test_a_recycled_pid_is_no_running_session_and_never_signalled(
    busy: Session, stranger: int, *, has_its_start_time: bool
) -> None:
    busy.lose(supervisor=True, codex=True)
    began = start_time(stranger)
    if has_its_start_time:
        rewrite(busy, pid=stranger, start_time=began, boot_id=ELSEWHEN)
    else:
        rewrite(busy, pid=stranger)

    stopped = busy.stop()

    assert (stopped.code, stopped.stdout) == (
        0,
        f"Task {busy.id} is not running; nothing to stop.\n",
    )
    assert is_alive(stranger, began)
    assert busy.state == "DIED"
    assert busy.records[-1]["outcome"] == "lost"


def test_a_recycled_pid_in_the_file_of_the_pid_is_nothing_to_anybody(
    busy: Session, stranger: int
) -> None:
    busy.lose(supervisor=True, codex=True)
    busy.directory.joinpath("task.pid").write_text(str(stranger))

    assert busy.state == "DIED"
    busy.stop()
    assert busy.sessions("archive", busy.id).code == 0
    assert is_alive(stranger)


def test_a_session_whose_supervisor_is_gone_is_stopped_with_all_it_has_started(
    sessions: Sessions, codex: StandIn
) -> None:
    codex.plays(
        *script.begin(),
        script.spawn(),
        script.spawn(double_fork=True),
        script.message("ready"),
        script.hang(),
        thread=script.FRESH,
    )
    session = sessions.start()
    files = session.wait_for_run(1)
    wait_until(lambda: "ready" in files.text(".events.jsonl"))
    tools = [(pid, start_time(pid)) for pid in codex.children]
    session.lose(supervisor=True)

    stopped = session.stop()

    assert stopped.stdout == f"Task {session.id} stopped.\n"
    assert not any(is_alive(pid, began) for pid, began in tools)
    status = session.status
    assert (status["state"], status["outcome"]) == ("STOPPED", "stopped")


def test_what_is_being_stopped_without_a_supervisor_is_at_work_until_all_has_ended(
    sessions: Sessions, codex: StandIn, tmp_path: Path
) -> None:
    codex.plays(
        *script.begin(),
        script.spawn(ignoring=["TERM"]),
        script.message("ready"),
        script.hang(),
        thread=script.FRESH,
    )
    session = sessions.start()
    files = session.wait_for_run(1)
    wait_until(lambda: "ready" in files.text(".events.jsonl"))
    (tool,) = codex.children
    session.lose(supervisor=True)

    patient = {"CODEX_RUNNER_GRACE_SECONDS": "60"}
    stop = sessions.begin("stop", session.id, env=patient)
    wait_until(lambda: gone(files.codex()))
    # Each of them waits for the judge for some seconds.
    usual = ("--repo", sessions.repo, "--codex-bin", codex.path, "--log-dir", tmp_path)
    resumed = sessions.cli.start(*usual, "--resume", session.id, "--task", "More.")
    sent = sessions.begin("send", session.id, "More.")
    state = session.state
    busy = (sent.wait().code, resumed.wait())
    kill(tool)

    assert stop.wait().stdout == f"Task {session.id} stopped.\n"
    assert (state, *busy) == ("RUNNING", 75, 75)
    assert session.status["outcome"] == "stopped"
    assert session.given == ["Begin."]


@pytest.mark.core
def test_a_prompt_whose_turn_has_begun_is_not_delivered_again(
    sessions: Sessions, codex: StandIn
) -> None:
    session = sessions.ended()
    codex.plays(
        script.when("Dies.", *script.begin(), script.die("KILL")),
        *script.ordinary(),
        thread=script.FRESH,
    )
    # The second one is written once Codex is started.
    point = dies(SUPERVISOR, "open", "meta.json.", 2)
    session.queue("Dies.", env=sabotaged(point))
    wait_until(lambda: session.given == ["Begin.", "Dies."], what="the prompt is given")

    session.wait()

    assert session.given == ["Begin.", "Dies."]
    assert session.records[-1]["outcome"] in {"lost", "interrupted"}
    assert session.state == "DIED"
    assert session.status["queue"] == 0


# The sender is killed; then it is killed, and the supervisor that it has started.
CLAIM = ("sqlite3.execute", "set state = :state, supervisor")
REOPENED = ("sqlite3.connect", "ledger.db", 2)
BEFORE_THE_LAUNCH = {
    "queued": [dies(TASKS, "os.fork", "")],
    "running": [dies(TASKS, *REOPENED), dies(SUPERVISOR, *CLAIM)],
}


def lost_sender(session: Session, state: str) -> None:
    """Kill a sender, so that its prompt is in this state and nobody delivers it."""
    env = sabotaged(*BEFORE_THE_LAUNCH[state])
    assert session.queue("Next.", env=env).code == -signal.SIGKILL
    home = session.sessions.state_home
    owners = list((home / "runs").glob("*/owner"))
    wait_until(lambda: all(look(owner) is Lock.FREE for owner in owners))
    assert session.queued == [("Next.", state)]


@pytest.mark.parametrize("state", BEFORE_THE_LAUNCH)
def test_a_prompt_whose_sender_died_before_the_launch_is_delivered_by_a_wait(
    sessions: Sessions, state: str
) -> None:
    session = sessions.ended()
    lost_sender(session, state)

    session.wait()

    assert session.given == ["Begin.", "Next."]
    assert session.records[-1]["outcome"] == "succeeded"


@pytest.mark.parametrize("state", BEFORE_THE_LAUNCH)
def test_a_prompt_whose_sender_died_before_the_launch_is_skipped_by_a_stop(
    sessions: Sessions, state: str
) -> None:
    session = sessions.ended()
    lost_sender(session, state)

    stopped = session.stop()

    assert "nothing to stop. 1 waiting prompt skipped." in stopped.stdout
    session.wait()
    assert session.given == ["Begin."]
    assert session.queued == [("Next.", "canceled")]
    assert list((sessions.state_home / "queue").iterdir()) == []


def test_a_prompt_that_codex_could_not_be_started_for_is_skipped_by_a_stop(
    sessions: Sessions, codex: StandIn, tmp_path: Path
) -> None:
    session = sessions.ended()
    (tmp_path / "stop").mkdir()
    launching, stopping = hold(tmp_path), hold(tmp_path / "stop")
    point = launching.at(SUPERVISOR, "os.posix_spawn", str(codex.path))
    queued = sessions.begin(
        "send", "--queue", session.id, "Next.", env=sabotaged(point)
    )
    wait_until(launching.reached.exists)
    away = codex.path.with_name("away")
    codex.path.rename(away)
    # It looks again after its transaction.
    point = stopping.at(TASKS, "sqlite3.execute", "where r.state <> 'finished'", 1)
    stop = sessions.begin("stop", session.id, env=sabotaged(point))
    wait_until(stopping.reached.exists)
    launching.go.touch()
    stopping.go.touch()

    said = stop.wait()

    queued.wait()
    away.rename(codex.path)
    # The launch fails, then the stop looks, so nothing ran; or the other way round.
    assert said.stdout in {
        f"Task {session.id} {ended}. 1 waiting prompt skipped.\n"
        for ended in ("stopped", "is not running; nothing to stop")
    }
    session.wait()
    assert session.given == ["Begin."]
    assert session.queued == [("Next.", "canceled")]


def test_what_a_reader_judges_during_a_stop_is_not_started_again(
    sessions: Sessions, codex: StandIn, tmp_path: Path
) -> None:
    session = sessions.ended()
    lost_sender(session, "running")
    looking = hold(tmp_path)
    # It looks again after its transaction.
    point = looking.at(TASKS, "sqlite3.execute", "where r.state <> 'finished'", 1)
    stop = sessions.begin("stop", session.id, env=sabotaged(point))
    wait_until(looking.reached.exists)

    assert session.state != "RUNNING"
    looking.go.touch()

    assert "1 waiting prompt skipped." in stop.wait().stdout
    assert session.queued == [("Next.", "canceled")]
    assert len(codex.runs) == 1


def slow(sessions: Sessions, codex: StandIn, go: Path, *points: Point) -> Session:
    """Bring a session to a run that waits for the test, with a prompt behind it."""
    session = sessions.ended()
    codex.plays(
        script.when("Slow.", *script.begin(), script.wait_for(go), script.complete()),
        *script.ordinary(),
        thread=script.FRESH,
    )
    session.send("Slow.", env=sabotaged(*points))
    session.queue("Next.")
    session.wait_for_run(2)
    return session


@pytest.mark.core
def test_a_prompt_whose_supervisor_died_while_it_delivered_is_delivered_by_a_wait(
    sessions: Sessions, codex: StandIn, go: Path
) -> None:
    point = dies(SUPERVISOR, "os.fork", "")
    session = slow(sessions, codex, go, point)
    supervisor = session.runs[-1].supervisor()
    go.touch()
    wait_until(lambda: gone(supervisor))

    assert session.wait().code == 0

    assert session.given == ["Begin.", "Slow.", "Next."]
    outcomes = [record["outcome"] for record in session.records]
    assert outcomes == ["succeeded"] * 3


def test_a_prompt_that_a_supervisor_and_a_wait_want_to_deliver_is_delivered_once(
    sessions: Sessions, codex: StandIn, go: Path, tmp_path: Path
) -> None:
    delivering = hold(tmp_path)
    # It knows what it can deliver, and has not put the run on record yet.
    point = delivering.at(SUPERVISOR, "sqlite3.execute", "join why_waiting")
    session = slow(sessions, codex, go, point)
    supervisor = session.runs[-1].supervisor()
    go.touch()
    wait_until(delivering.reached.exists)

    assert session.wait().code == 0
    delivering.go.touch()
    wait_until(lambda: gone(supervisor))

    assert session.wait().code == 0
    assert session.given == ["Begin.", "Slow.", "Next."]
    assert len(session.records) == 3
    assert sessions("verify").code == 0


def test_a_start_whose_caller_dies_is_found_by_what_ls_says(
    sessions: Sessions, tmp_path: Path
) -> None:
    # The command has made a ledger, and opened that.
    reopened = ("sqlite3.connect", "ledger.db", 4)
    both = (dies(TASKS, *reopened), dies(SUPERVISOR, *CLAIM))
    begun = sessions.begin(*sessions.starting("Begin."), env=sabotaged(*both))
    assert begun.wait().code == -signal.SIGKILL
    (owner,) = sessions.state_home.glob("runs/*/owner")
    wait_until(lambda: look(owner) is Lock.FREE)

    (listed,) = sessions.listed().values()

    assert (listed["state"], listed["outcome"]) == ("DIED", "not_started")
    assert not list((tmp_path / "state").glob("*-*-*"))
    held = hold(tmp_path)
    begun = sessions.begin(
        *sessions.starting("Begin."),
        env=sabotaged(held.at(SUPERVISOR, *CLAIM)),
    )
    wait_until(held.reached.exists)
    assert len(sessions.running) == 1
    held.go.touch()
    assert begun.wait().code == 0
    Session(begun.stdout.strip(), sessions).wait()


def test_a_send_that_may_have_reached_codex_says_so(
    sessions: Sessions,
) -> None:
    session = sessions.ended()
    point = dies(SUPERVISOR, "os.posix_spawn", "exec")

    said = session.send("Charge the card.", env=sabotaged(point))

    assert said.code == 1
    assert "perhaps before it started Codex" in said.stderr
    assert session.records[-1]["outcome"] == "lost"
    assert session.send("Look what it has done.").code == 0
    assert session.wait().code == 0
