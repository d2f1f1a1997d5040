"""Tasks that the older `codex-tasks` runs with the real Codex."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import older_worker
from support.processes import is_alive, wait_until
from support.real_codex import RealTasks, holding
from support.real_sessions import RealSession, RealSessions, figures

Work = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def work(codex: RealTasks, sessions: RealSessions) -> Work:
    """Let the older tool start work; outside of a sandbox, as the tests of runs do."""
    settings, state_home = codex.home / "config.toml", sessions.state_home
    settings.write_text(f'sandbox_mode = "danger-full-access"\n{settings.read_text()}')
    state_home.mkdir(mode=0o700)
    place = str(codex.stand_in.path.parent)
    codex.cli.environment["PATH"] = f"{place}{os.pathsep}{os.environ['PATH']}"

    def work(prompt: str, thread: str = "none") -> subprocess.Popen[bytes]:
        words = [
            "worker",
            "--store-root",
            state_home,
            codex.repo,
            thread,
            prompt,
            codex.stand_in.path,
        ]
        argv = [sys.executable, older_worker.__file__, *map(str, words)]
        worker = codex.cli.launch(argv)
        wait_until(
            lambda: any(state_home.glob("*/task.pid")) or worker.poll() is not None,
            what="a pid",
        )
        return worker

    return work


@pytest.fixture
def go(tmp_path: Path) -> Path:
    return tmp_path / "go"


def only(sessions: RealSessions) -> RealSession:
    (place,) = sessions.state_home.glob("*/task.json")
    return RealSession(place.parent.name, sessions)


def test_a_task_of_the_older_tool_is_followed_and_resumed(
    sessions: RealSessions, work: Work, go: Path
) -> None:
    worker = work(f"run: {holding(go)}\nsay: one")
    session = only(sessions)
    wait_until(lambda: "command_execution" in session.text("task.log"), what="work")
    status = session.status
    followed = sessions.begin("log", "-f", session.id)

    go.touch()
    log, waited = followed.wait(), session.wait()

    assert (status["state"], status["pid"]) == ("RUNNING", session.pid or status["pid"])
    assert (log.code, waited.code) == (0, 0)
    assert "  one\n" in log.stdout
    assert worker.wait(20) == 0
    assert figures(session.status["usage"]) == session.total
    # What the older tool does next is shown too.
    assert work("say: two", session.id).wait(20) == 0
    assert session.result().stdout == "two\n"

    assert session.send("say: three").code == 0

    assert session.wait().code == 0
    assert (session.status["runs"], session.result().stdout) == (3, "three\n")
    assert figures(session.status["usage"]) == session.total


def test_stop_ends_the_codex_of_the_older_tool_gently(
    sessions: RealSessions, work: Work, go: Path
) -> None:
    worker = work(f"run: {holding(go)}\nsay: one")
    session = only(sessions)
    wait_until(lambda: "command_execution" in session.text("task.log"), what="work")
    pid = session.pid

    said = session.stop()

    assert (said.code, said.stdout) == (0, f"Task {session.id} stopped.\n")
    assert pid is not None
    assert not is_alive(pid)
    worker.wait(20)
    assert session.status["outcome"] == "stopped"
    # INT came first: Codex has noted it.
    assert sessions.codex.records(session.id, "turn_aborted")
    assert session.send("say: on").code == 0
    assert session.wait().code == 0
    assert session.result().stdout == "on\n"
