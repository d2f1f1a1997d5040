"""A ledger that was lost is made anew, also with the runs of another command."""

from pathlib import Path

import pytest
from support import stand_in as script
from support.commands import Cli, fields, rows_of
from support.processes import wait_until
from support.sessions import Session, Sessions
from support.stand_in import StandIn
from support.tasks import gone


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path / "logs"


@pytest.fixture
def mixed(sessions: Sessions, cli: Cli, logs: Path) -> Session:
    """Give a session that two commands have worked on."""
    session = sessions.ended("-t", "mixed", "Begin.")
    by_hand(cli, sessions, logs, "--resume", session.id)
    return session


def by_hand(cli: Cli, sessions: Sessions, logs: Path, *words: object) -> str:
    """Run `run_codex_task` to its end; return the id of the session."""
    usual = ("--repo", sessions.repo, "--codex-bin", sessions.stand_in.path)
    done = cli(*usual, "--log-dir", logs, "--task", "By hand.", *words)
    assert done.returncode == 0, done.stderr
    return fields(done.stdout)["codex_session_id"]


def lose_the_ledger(sessions: Sessions) -> None:
    """Remove the ledger and its backup, so that the files alone tell."""
    for path in sessions.state_home.glob("ledger.db*"):
        path.unlink()


def known(sessions: Sessions) -> list[dict[str, object]]:
    """List what a listing says, without what only a repair may touch."""
    told = rows_of(sessions("ls", "-a", "--json").stdout)
    names = ("id", "title", "state", "outcome", "last_run")
    found = [{name: each[name] for name in names} for each in told]
    return sorted(found, key=lambda each: str(each["id"]))


@pytest.mark.core
def test_a_lost_ledger_is_made_anew_with_the_runs_of_every_command(
    mixed: Session, sessions: Sessions, cli: Cli, logs: Path
) -> None:
    by_hand(cli, sessions, logs)
    archived = Session(by_hand(cli, sessions, logs), sessions)
    assert sessions("archive", archived.id).code == 0
    was, usage = known(sessions), sessions("usage", "--json").stdout
    assert mixed.status["runs"] == 2
    lose_the_ledger(sessions)

    sessions("verify", "--repair")

    assert sessions("verify").code == 0
    assert known(sessions) == was
    assert archived.status["state"] == "ARCHIVED"
    assert mixed.status["runs"] == 2
    assert mixed.status["last_prompt"] == "By hand."
    assert sessions("usage", "--json").stdout == usage


@pytest.mark.parametrize("is_repaired_first", [True, False])
def test_a_ledger_that_is_lost_under_a_supervisor_gets_its_verdict_and_its_queue(
    sessions: Sessions, codex: StandIn, go: Path, *, is_repaired_first: bool
) -> None:
    codex.plays(
        *script.begin(),
        script.when("Next.", script.message("next"), script.complete()),
        script.wait_for(go),
        script.message("first"),
        script.complete(),
        thread=script.FRESH,
    )
    session = sessions.start()
    supervisor = session.wait_for_run(1).supervisor()
    assert session.queue("Next.").code == 0
    lose_the_ledger(sessions)

    if is_repaired_first:
        sessions("verify", "--repair")
        assert session.state == "RUNNING"
    go.touch()
    wait_until(lambda: gone(supervisor), what="the end of the supervisor")
    if not is_repaired_first:
        sessions("verify", "--repair")

    assert session.wait().code == 0
    assert session.given == ["Begin.", "Next."]
    assert [run["outcome"] for run in session.records] == ["succeeded", "succeeded"]
    assert session.queued == [("Next.", "done")]
    assert session.status["last_result"] == "next"
    said = sessions("verify", "--full")
    assert (said.code, said.stdout) == (0, "")


def test_what_was_removed_does_not_come_back(
    sessions: Sessions, cli: Cli, logs: Path
) -> None:
    session = by_hand(cli, sessions, logs)
    assert sessions("rm", session).code == 0

    assert sessions("verify").code == 0
    assert sessions("import", logs).stdout == ""
    assert known(sessions) == []


def test_runs_in_a_directory_that_was_moved_are_taken_back_by_import(
    mixed: Session, sessions: Sessions, logs: Path, tmp_path: Path
) -> None:
    lose_the_ledger(sessions)
    moved = logs.rename(tmp_path / "moved")
    sessions("verify", "--repair")
    assert mixed.status["runs"] == 1

    tried = sessions("import", "--dry-run", moved)
    assert mixed.status["runs"] == 1
    taken = sessions("import", moved)

    assert tried.stdout == taken.stdout
    assert taken.stdout == f"{mixed.id}  run  1 run  By hand.\n"
    assert "imported 1 session (1 run)" in taken.stderr
    assert mixed.status["runs"] == 2
    assert sessions("result", mixed.id).stdout == "answer to By hand.\n"
    assert sessions("import", moved).stdout == ""


@pytest.mark.parametrize("words", [("ls",), ("status", "-a"), ("usage",)])
def test_a_missing_ledger_beside_sessions_is_not_taken_for_an_empty_one(
    mixed: Session, words: tuple[str, ...]
) -> None:
    assert mixed.sessions("archive", mixed.id).code == 0
    lose_the_ledger(mixed.sessions)

    for _ in range(2):
        said = mixed.sessions(*words)
        assert "verify --repair" in said.stderr
    said = mixed.sessions("status", mixed.id)
    assert (said.code, said.stdout) == (1, "")
    assert "verify --repair" in said.stderr
    mixed.sessions("verify", "--repair")
    assert "verify --repair" not in mixed.sessions(*words).stderr


def test_a_state_directory_without_anything_says_nothing_of_repairs(
    sessions: Sessions,
) -> None:
    assert "verify" not in sessions("ls").stderr
    assert "verify" not in sessions("status", "nobody").stderr
