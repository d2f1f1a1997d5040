"""The life of one session of the real Codex, from its start into the archive and back.

Each step looks at what the command printed, at its exit code and at the session's own
files.
"""

import stat
from pathlib import Path

import pytest
from support.processes import is_alive, wait_until
from support.real_codex import holding, used
from support.real_sessions import DEADLINE, RealSession, RealSessions, figures
from support.tasks import Ended, is_refused

from parsers.text import uuid


@pytest.fixture
def go(tmp_path: Path) -> Path:
    return tmp_path / "go"


def test_a_session_lives_as_the_manual_tells(sessions: RealSessions, go: Path) -> None:
    session = _is_started(sessions, f"think: hm\nrun: {holding(go)}\nsay: one")
    _is_at_work(session)
    go.touch()
    _has_answered(session, "one", runs=1)
    _is_carried_on(session)
    _is_stopped(session)
    _is_carried_on_after_a_stop(session)
    _is_archived_and_brought_back(session)
    _is_carried_on_at_last(session)


def _is_started(sessions: RealSessions, prompt: str) -> RealSession:
    said = sessions.try_start("-t", "a story", prompt)

    assert (said.code, said.stderr) == (0, "")
    session = sessions.named(said.stdout)
    assert said.stdout == f"{session.id}\n"
    assert uuid(session.id)
    return session


def _is_at_work(session: RealSession) -> None:
    session.wait_for('"command_execution"')
    asked_for = used(1)["input_tokens"]
    wait_until(
        lambda: session.status["usage"]["input_tokens"] == asked_for,
        DEADLINE,
        "the usage of the first call",
    )
    status = session.status

    assert (status["id"], status["title"]) == (session.id, "a story")
    assert (status["state"], status["outcome"]) == ("RUNNING", None)
    assert status["last_result"] is None
    assert status["pid"] == session.pid
    assert is_alive(status["pid"])
    assert session.json["state"] == "RUNNING"
    assert session.last_answer is None
    assert session.log[0]["type"] == "user_message"
    assert {"type": "thread.started", "thread_id": session.id} in session.log
    for path in (session.directory, *session.directory.rglob("*")):
        mode = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == mode, path
    unready = session.result()
    assert (unready.code, unready.stdout) == (75, "")
    assert session.send("say: too early").code == 75
    away = session.sessions("archive", session.id)
    assert (away.code, away.stdout) == (75, "")


def _has_answered(session: RealSession, answer: str, runs: int) -> None:
    waited = session.wait()

    assert (waited.code, waited.stderr) == (0, "")
    assert waited.stdout.startswith(f"Task ID: {session.id}\nTitle: a story\n")
    assert "State: STOPPED\nOutcome: succeeded\n" in waited.stdout
    assert waited.stdout.endswith(f"Last Result:\n{answer}\n")
    assert session.result() == Ended(0, f"{answer}\n", "")
    assert session.last_answer == answer
    assert session.pid is None
    kept = session.json
    assert (kept["state"], kept["outcome"]) == ("STOPPED", "succeeded")
    assert (kept["last_result"], kept["error"]) == (answer, None)
    assert (kept["title"], kept["id"]) == ("a story", session.id)
    assert kept["working_dir"] == str(session.sessions.codex.repo)
    assert len(kept["runs"]) == runs
    assert session.log[-1]["type"] == "turn.completed"


def _is_carried_on(session: RealSession) -> None:
    said = session.send("say: two")

    assert (said.code, said.stdout) == (0, "")
    assert f"delivered by run {session.status['last_run']}" in said.stderr
    _has_answered(session, "two", runs=2)
    assert session.prompts[1] == "say: two"
    assert figures(session.status["usage"]) == session.total


def _is_stopped(session: RealSession) -> None:
    session.send("run: sleep 4000\nsay: never")
    session.wait_for("sleep 4000", times=2)
    codex = session.pid
    said = session.stop()

    assert said == Ended(0, f"Task {session.id} stopped.\n", "")
    assert codex is not None
    assert not is_alive(codex)
    assert session.pid is None
    kept, status = session.json, session.status
    assert (kept["state"], kept["outcome"]) == ("STOPPED", "stopped")
    assert status["state"] == "STOPPED"
    assert status["last_result"] is None
    assert status["previous_result"] == {"run": kept["runs"][1], "text": "two"}
    assert session.last_answer == "two"
    answer = session.result()
    assert (answer.code, answer.stdout) == (1, "")
    assert kept["runs"][2] in answer.stderr
    again = session.stop()
    assert again.code == 0
    assert "is not running" in again.stdout


def _is_carried_on_after_a_stop(session: RealSession) -> None:
    assert session.send("say: on again").code == 0
    _has_answered(session, "on again", runs=4)


def _is_archived_and_brought_back(session: RealSession) -> None:
    name, before = session.id, session.log
    said = session.sessions("archive", name)

    assert said.code == 0
    (away,) = session.sessions.state_home.glob(f"archive/*/*/*/{name}")
    assert str(away) in said.stdout
    assert not session.directory.exists()
    assert '"state": "ARCHIVED"' in (away / "task.json").read_text()
    assert session.status["state"] == "ARCHIVED"
    assert session.result() == Ended(0, "on again\n", "")
    assert session.sessions.all == []
    refused = session.send("say: no")
    fix = f"fix:   codex-tasks unarchive {name}"
    assert is_refused(refused, 1, f"task {name} is ARCHIVED", fix), refused

    back = session.sessions("unarchive", name)

    assert back == Ended(0, f"Task {name} is back in {session.directory}.\n", "")
    assert not away.exists()
    assert session.json["state"] == "STOPPED"
    assert session.log == before
    assert [each.id for each in session.sessions.all] == [name]


def _is_carried_on_at_last(session: RealSession) -> None:
    assert session.send("say: the end").code == 0
    _has_answered(session, "the end", runs=5)
    assert session.given == session.prompts
    assert figures(session.status["usage"]) == session.total
    removed = session.sessions("rm", session.id)
    assert removed.code == 0
    assert not session.directory.exists()
    assert session.sessions.codex.rollout(session.id).exists()
