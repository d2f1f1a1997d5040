"""One session of the real Codex through both doors: one writer, one account."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.processes import wait_until
from support.real_codex import RealTasks, holding, parts, used
from support.real_sessions import RealSessions, figures
from support.tasks import Ended, is_refused

BUSY = 75
SENDERS = 4


def test_run_codex_task_keeps_out_of_a_session_that_is_at_work(
    codex: RealTasks, sessions: RealSessions, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    session = sessions.start(f"run: {holding(go)}\nsay: one")
    (holder,) = session.runs
    resume = ("--resume", session.id)

    refused = codex(*resume, "--task", "say: two")
    waiting = codex.start(*resume, "--wait-for-session", "--task", "say: three")
    wait_until(lambda: holder.run_id in waiting.stderr, what="the note who holds it")
    status = session.status
    go.touch()
    ended = waiting.wait()

    fix = "fix:   wait for its end: --wait-for-session"
    assert is_refused(refused, BUSY, holder.run_id, fix), refused
    assert status["state"] == "RUNNING"
    assert ended.code == 0
    assert ended.meta["started_at"] >= holder.meta["ended_at"]
    assert session.wait().code == 0
    assert session.result().stdout == "three\n"
    assert session.prompts == session.given
    assert session.json["runs"] == [holder.run_id, ended.files.run_id]
    assert session.last_answer == "three"
    assert parts(ended.files.summary["token_usage"]) == used(3)
    assert figures(session.status["usage"]) == session.total


def test_codex_tasks_keeps_out_of_a_session_that_run_codex_task_holds(
    codex: RealTasks, sessions: RealSessions, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    session = sessions.start("say: one")
    assert session.wait().code == 0
    begun = codex.start(
        *("--resume", session.id, "--task", f"run: {holding(go)}\nsay: two")
    )
    holder = begun.wait_running()
    session.wait_for('"command_execution"')

    refused = session.send("say: too early")
    queued = session.queue("say: three")
    status = session.status
    away = sessions("archive", session.id)
    go.touch()
    ended = begun.wait()

    assert is_refused(
        refused, BUSY, holder.run_id, "fix:   codex-tasks send --queue "
    ), refused
    assert queued.code == 0
    assert (status["state"], status["queue"]) == ("RUNNING", 1)
    assert status["last_run"] == holder.run_id
    assert away.code == BUSY
    assert (ended.code, ended.fields["outcome"]) == (0, "succeeded")
    assert session.wait().code == 0
    assert session.result().stdout == "three\n"
    assert session.given[-1] == "say: three"
    assert len(session.given) == len(session.json["runs"]) == 3
    assert figures(session.status["usage"]) == session.total


def test_a_session_that_run_codex_task_began_is_a_session_like_any_other(
    codex: RealTasks, sessions: RealSessions
) -> None:
    begun = codex("--task", "run: true\nsay: one")
    (session,) = sessions.all

    assert session.id == begun.fields["codex_session_id"]
    assert session.result() == Ended(0, "one\n", "")
    assert session.send("say: two").code == 0
    assert session.wait().code == 0
    assert session.result().stdout == "two\n"
    assert session.prompts == ["run: true\nsay: one", "say: two"]
    assert session.json["runs"][0] == begun.files.run_id
    assert figures(session.status["usage"]) == session.total
    resumed = codex("--resume", session.id, "--task", "say: three")
    assert resumed.code == 0
    assert session.result().stdout == "three\n"


def test_of_many_who_send_at_once_one_is_taken_and_the_others_are_told(
    sessions: RealSessions, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    session = sessions.start("say: zero")
    assert session.wait().code == 0
    asked = [f"run: {holding(go)}\nsay: {number}" for number in range(SENDERS)]

    with ThreadPoolExecutor(SENDERS) as pool:
        said = list(pool.map(session.send, asked))
    go.touch()

    assert sorted(each.code for each in said) == [0] + [BUSY] * (SENDERS - 1)
    (taken,) = (
        prompt for prompt, each in zip(asked, said, strict=True) if not each.code
    )
    assert session.wait().code == 0
    assert session.given[1:] == session.prompts[1:] == [taken]
    assert len(session.runs) == 2


def test_stop_ends_the_run_of_the_other_door(
    codex: RealTasks, sessions: RealSessions
) -> None:
    begun = codex.start("--task", "run: sleep 4000\nsay: never")
    files = begun.wait_running()
    wait_until(lambda: files.meta["session_id"], what="the session's id")
    (session,) = sessions.all

    assert session.stop() == Ended(0, f"Task {session.id} stopped.\n", "")

    ended = begun.wait()
    assert ended.code == 143
    assert ended.fields["outcome"] == "stopped"
    assert session.status["state"] == "STOPPED"
