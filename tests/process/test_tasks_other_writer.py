"""A program that writes a thread without a ledger is seen, named and waited for."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.processes import wait_until
from support.sessions import Session, Sessions
from support.tasks import Ended, is_refused

HOLDS = """\
import fcntl, sys, time
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(300)
"""

Writes = Callable[[Session], "subprocess.Popen[str]"]


@pytest.fixture
def session(sessions: Sessions) -> Session:
    """Start a session that has answered once."""
    return sessions.ended()


@pytest.fixture
def writes(codex_home: Path) -> Iterator[Writes]:
    """Let another program hold the lock that Codex takes on a thread."""
    started: list[subprocess.Popen[str]] = []

    def write(session: Session) -> "subprocess.Popen[str]":
        path = codex_home / "thread-writer-locks" / f"{session.id}.lock"
        path.parent.mkdir(exist_ok=True)
        argv = [sys.executable, "-ISc", HOLDS, str(path)]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield write
    for process in started:
        process.kill()
        process.communicate()


def free(writer: "subprocess.Popen[str]") -> None:
    """End the other program; its lock file stays."""
    writer.kill()
    writer.wait()


def test_status_names_the_program_that_writes_the_thread(
    session: Session, writes: Writes
) -> None:
    before = session.status
    writer = writes(session)

    assert before["other_writer"] is None
    assert session.status["other_writer"] == {"pid": writer.pid}
    said = session.sessions("status", session.id).stdout
    assert f"Written By: another program (pid {writer.pid})" in said

    free(writer)
    assert session.status["other_writer"] is None


def test_the_lock_of_a_run_of_ours_is_no_other_program(
    sessions: Sessions, held: Path, writes: Writes
) -> None:
    session = sessions.start()
    writes(session)

    assert session.status["other_writer"] is None

    held.touch()
    session.sessions("stop", session.id)


def test_a_prompt_is_refused_while_another_program_writes_the_thread(
    session: Session, writes: Writes
) -> None:
    writer = writes(session)

    sent = session.send("More.")
    usual = ("--repo", session.sessions.repo, "--resume", session.id, "--task", "More.")
    resumed = session.sessions.cli(
        *usual, "--codex-bin", session.sessions.stand_in.path
    )

    told = f"another program writes it, pid {writer.pid}"
    again = Ended(resumed.returncode, resumed.stdout, resumed.stderr)
    assert is_refused(sent, 75, told, "fix:   codex-tasks send --queue "), sent
    assert is_refused(again, 75, told, "fix:   wait for its end: --wait-for-session"), (
        again
    )
    assert session.given == ["Begin."]
    assert len(session.records) == 1
    assert session.state == "STOPPED"


def test_a_queued_prompt_waits_for_the_other_program_and_goes_on_by_itself(
    session: Session, writes: Writes
) -> None:
    writer = writes(session)

    queued = session.queue("Next.")

    assert queued.code == 0
    status = session.status
    (prompt,) = status["prompts"]
    assert (prompt["why"], status["state"]) == ("writer", "RUNNING")
    assert "another program writes this thread" in prompt["detail"]
    assert status["other_writer"] == {"pid": writer.pid}
    waiting = session.sessions.begin("status", "--wait", session.id)
    wait_until(lambda: "another program" in waiting.stderr, what="why it waits")
    assert session.given == ["Begin."]

    free(writer)

    assert waiting.wait().code == 0
    assert session.given == ["Begin.", "Next."]


def test_a_run_that_waits_for_the_session_waits_for_the_other_program(
    session: Session, writes: Writes, tmp_path: Path
) -> None:
    writer = writes(session)
    usual = ("--repo", session.sessions.repo, "--resume", session.id, "--task", "Next.")
    said = tmp_path / "said"
    with said.open("wb") as stderr:
        waiting = session.sessions.cli.start(
            *usual,
            *("--codex-bin", session.sessions.stand_in.path, "--wait-for-session"),
            stderr=stderr,
        )
    wait_until(lambda: f"pid {writer.pid}" in said.read_text(), what="why it waits")
    assert session.status["queue"]
    assert waiting.poll() is None
    assert session.given == ["Begin."]

    free(writer)

    waiting.communicate(timeout=30)
    assert waiting.returncode == 0
    assert session.given == ["Begin.", "Next."]
