"""The real Codex goes on with what a check has said, until it passes or gives up."""

from pathlib import Path

import pytest
from support.processes import wait_until
from support.real_codex import RealTasks
from support.real_sessions import RealSessions

from runner.loopback import LoopbackServer

TOLD = "The check of your work has failed: check.sh exited 1.\n"


@pytest.fixture
def check(tmp_path: Path) -> Path:
    """Make a check that passes in its second turn, and says in which one it is."""
    path, turns = tmp_path / "check.sh", tmp_path / "turns"
    path.write_text(
        f"#!/bin/sh\necho x >> {turns}\nwc -l < {turns}; pwd\n"
        f"test $(wc -l < {turns}) -ge 2\n"
    )
    path.chmod(0o755)
    return path


def test_a_check_that_passes_the_second_time_ends_the_task(
    codex: RealTasks, loopback: LoopbackServer, check: Path
) -> None:
    ended = codex("--verify", check, "--task", "patch: new.txt\nsay: All done.")

    assert (ended.code, ended.stderr) == (0, "")
    first, second = codex.all
    thread = first.meta["session_id"]
    assert second.meta["session_id"] == thread
    one, *_, two = (request.prompt for request in loopback.requests_of(thread))
    assert one.startswith("patch: new.txt")
    assert two == (
        f"{TOLD}Its command: {check}\n"
        f"The end of its output:\n\n1\n{codex.repo}\n\n"
        "Fix the cause, and finish the task. The same check runs after your turn."
    )
    assert [run.meta["error_class"] for run in codex.all] == ["verify_failed", None]
    assert [run.meta["accounts"]["verify"]["iteration"] for run in codex.all] == [1, 2]
    assert second.meta["cost"]["usd"] > 0
    assert f"check passed in turn 2 of 3: {check}" in ended.stdout


def test_a_check_that_never_passes_ends_the_task_after_its_turns(
    codex: RealTasks,
) -> None:
    ended = codex("--verify", "false", "--max-iterations", 4, "--task", "say: Done.")

    assert (ended.code, ended.fields["outcome"]) == (1, "succeeded")
    assert len(codex.all) == 4
    assert {run.meta["session_id"] for run in codex.all} == {ended.meta["session_id"]}
    assert ended.files.summary["success"] is False
    assert "check failed in turn 4 of 4: false exited 1" in ended.stdout


def test_a_queued_prompt_of_a_session_is_checked_and_the_next_one_waits(
    sessions: RealSessions, check: Path
) -> None:
    session = sessions.start("say: zero")
    session.send("say: one", "--queue", "--verify", check)
    session.queue("say: two")

    assert session.wait().code == 0

    given = session.given
    assert [text.partition("\n")[0] + "\n" for text in given] == [
        *("say: zero\n", "say: one\n", TOLD, "say: two\n")
    ]
    assert session.result().stdout == "two\n"


def test_stop_in_a_check_keeps_the_answer_of_the_turn(
    sessions: RealSessions, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    session = sessions.start(
        "--verify", f"sh -c 'touch {begun}; sleep 100'", "say: The answer."
    )
    wait_until(begun.exists, 30, "the check")

    assert session.stop().code == 0

    assert session.status["outcome"] == "stopped"
    assert session.status["last_result"] == "The answer."
    assert session.result("--run", session.runs[0].run_id).stdout == "The answer.\n"
