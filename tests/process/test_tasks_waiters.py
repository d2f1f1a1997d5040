"""Runs of another door that wait for a session, or cannot be started on it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import Cli, fields
from support.processes import wait_until
from support.sessions import Session, Sessions
from support.stand_in import StandIn

Carry = Callable[..., int]


@pytest.fixture
def busy(sessions: Sessions, held: Path) -> Session:  # noqa: ARG001 - its Codex waits
    """Start a session whose runs wait for the test."""
    return sessions.start("-s", "read-only", "Begin.")


@pytest.fixture
def carry(cli: Cli, busy: Session, tmp_path: Path) -> Carry:
    """Carry the session on with `run_codex_task`, elsewhere and with other rights."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def carry(*words: object, codex_bin: object = None) -> int:
        codex_bin = codex_bin or busy.sessions.stand_in.path
        usual = ("--repo", elsewhere, "--skip-git-repo-check", "--resume", busy.id)
        rights = ("--sandbox", "danger-full-access", "--codex-bin", codex_bin)
        return cli(*usual, *rights, "--task", "Theirs.", *words).returncode

    return carry


def settings_of(session: Session) -> tuple[str, str]:
    status = session.status
    return status["sandbox"], status["working_dir"]


def test_a_run_that_gave_up_waiting_changes_nothing(
    busy: Session, carry: Carry, go: Path
) -> None:
    was = busy.status
    assert (was["state"], was["pid"] is None) == ("RUNNING", False)

    assert carry("--wait-for-session", "--timeout", "0.5") == 124

    now = busy.status
    for name in ("state", "outcome", "pid", "last_run", "last_prompt", "sandbox"):
        assert now[name] == was[name], name
    go.touch()
    assert busy.sessions("status", "--wait", busy.id).code == 0
    result = busy.sessions("result", busy.id)
    assert (result.code, result.stdout) == (0, "answer to Begin.\n")
    assert busy.status["state"] == "STOPPED"
    assert busy.sessions("verify").code == 0


def test_what_comes_next_has_the_rights_and_the_place_of_the_session(
    busy: Session, carry: Carry, go: Path, codex: StandIn
) -> None:
    was = settings_of(busy)
    carry("--wait-for-session", "--timeout", "0.5")
    busy.queue("Next.")
    go.touch()
    wait_until(lambda: busy.given == ["Begin.", "Next."])
    busy.wait()

    assert settings_of(busy) == was
    *_, argv = (each["argv"] for each in codex.runs)
    assert "danger-full-access" not in argv
    assert "read-only" in argv
    assert str(was[1]) in argv


def test_a_run_that_could_not_be_started_leaves_the_settings_alone(
    busy: Session, carry: Carry, go: Path
) -> None:
    was = settings_of(busy)
    go.touch()
    busy.wait()

    assert carry(codex_bin="/nowhere/codex") == 127

    assert busy.status["outcome"] == "not_started"
    assert settings_of(busy) == was
    busy.send("Again.")
    busy.wait()
    assert busy.given == ["Begin.", "Again."]
    assert (busy.status["state"], settings_of(busy)) == ("STOPPED", was)
    assert busy.sessions("verify").code == 0


def test_a_run_that_waited_is_the_last_once_it_has_had_its_turn(
    busy: Session, cli: Cli, go: Path
) -> None:
    usual = ("--repo", busy.sessions.repo, "--resume", busy.id, "--task", "Theirs.")
    options = ("--codex-bin", busy.sessions.stand_in.path, "--wait-for-session")
    assert cli(*usual, *options, "--detach").returncode == 0

    go.touch()
    busy.wait()

    assert busy.given == ["Begin.", "Theirs."]
    assert busy.status["last_prompt"] == "Theirs."
    assert busy.sessions("result", busy.id).stdout == "answer to Theirs.\n"
    assert busy.sessions("verify").code == 0


def test_a_waiting_run_that_is_stopped_has_its_files_written_once_as_the_ledger_says(
    busy: Session, cli: Cli
) -> None:
    usual = ("--repo", busy.sessions.repo, "--resume", busy.id, "--task", "Theirs.")
    options = ("--codex-bin", busy.sessions.stand_in.path, "--wait-for-session")
    waiting = cli(*usual, *options, "--detach")
    assert waiting.returncode == 0

    assert busy.stop().code == 0

    unwritten = "select 1 from outbox where target = 'exports' and done_at is null"
    wait_until(lambda: not busy.sessions.rows(unwritten))
    assert busy.sessions("verify").code == 0
    log = Path(fields(waiting.stdout)["log_file"]).read_text()
    assert log.count("outcome=stopped\n") == 1
