"""`codex-tasks du` measures what is there, `uninstall` removes it."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.commands import fields
from support.processes import wait_until
from support.sessions import Session, Sessions
from support.tasks import is_refused

from parsers.paths import Path as OwnPath
from runner.locks import Lock, look

BLOCK = 512


@pytest.fixture
def session(sessions: Sessions) -> Session:
    """Make a session whose supervisor has ended."""
    session = sessions.ended("-t", "one", "Begin.")
    owner = OwnPath(session.runs[0].path("owner"))
    wait_until(lambda: look(owner) is Lock.FREE, what="the end of the supervisor")
    return session


@pytest.fixture
def log_dir(sessions: Sessions, tmp_path: Path) -> Path:
    """Make a run of `run_codex_task`; give its log directory."""
    usual = ("--repo", sessions.repo, "--log-dir", tmp_path / "logs")
    binary = ("--codex-bin", sessions.stand_in.path)
    assert fields(sessions.cli(*usual, *binary, "--task", "x").stdout)["codex_run_id"]
    return tmp_path / "logs"


def space(*places: Path) -> int:
    files = [p for place in places for p in place.rglob("*") if p.is_file()]
    return sum(path.lstat().st_blocks * BLOCK for path in files)


def used(sessions: Sessions) -> dict[str, Any]:
    said = sessions("du", "--json")
    assert (said.code, said.stderr) == (0, "")
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def test_the_space_is_that_of_the_files_by_kind_and_by_task(
    sessions: Sessions, session: Session, log_dir: Path
) -> None:
    home = sessions.state_home
    (home / "runs" / "stray").mkdir()
    (home / "runs" / "stray" / "x").write_bytes(bytes(100_000))
    (home / "notes").write_text("mine")

    found = used(sessions)
    text = sessions("du").stdout

    kinds = {name: each["size"] for name, each in found["kinds"].items()}
    assert kinds["runs"] == space(home / "runs")
    assert kinds["exports"] == space(session.directory)
    assert kinds["log directories"] == space(log_dir)
    assert kinds["backups"] == (home / "ledger.db.backup").stat().st_blocks * BLOCK
    assert found["size"] == sum(kinds.values()) == space(home, log_dir)
    sizes = {each["title"]: each["size"] for each in found["sessions"]}
    (run,) = session.runs
    assert sizes["one"] == space(session.directory, run.directory)
    assert sizes[None] >= space(log_dir)
    rows = [line.split()[0] for line in text.splitlines()[len(kinds) + 2 :]]
    assert rows == [each["id"] for each in found["sessions"]]
    assert [*sizes.values()] == sorted(sizes.values(), reverse=True)


@pytest.mark.parametrize("words", [["rm"], ["prune", "--older-than", "0s", "-a"]])
def test_files_in_a_log_directory_are_removed_where_it_is_asked_for(
    sessions: Sessions, log_dir: Path, words: list[str]
) -> None:
    (log_dir / "theirs").touch()
    (name,) = sessions.listed()
    dry = sessions("prune", "--older-than", "0s", "-a", "--files", "--dry-run")
    assert len([*log_dir.iterdir()]) > 1

    said = sessions(*words, "--files", *([name] if words == ["rm"] else []))

    assert (said.code, said.stderr) == (0, "")
    assert [path.name for path in log_dir.iterdir()] == ["theirs"]
    assert " 0 bytes " not in said.stdout + dry.stdout


def test_nothing_is_uninstalled_while_a_task_runs(
    sessions: Sessions, held: Path
) -> None:
    session = sessions.start()

    said = sessions("uninstall", "--purge")

    assert is_refused(said, 75, "waiting prompts: 1", "fix:   codex-tasks stop -a")
    held.touch()
    assert session.wait().code == 0


def test_a_purge_removes_what_the_suite_has_written_and_nothing_else(
    sessions: Sessions, session: Session, log_dir: Path
) -> None:
    home = sessions.state_home
    assert sessions("archive", session.id).code == 0
    theirs = home / "archive" / "2026" / "01" / "02" / "of-an-older-tool" / "task.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("{}")

    kept = sessions("uninstall")
    said = sessions("uninstall", "--purge")

    assert (kept.code, said.code) == (0, 0)
    assert f"The state in {home} stays" in kept.stdout
    assert "this is a clone" in kept.stderr
    assert [path for path in home.rglob("*") if path.is_file()] == [theirs]
    assert f"not removed: {home / 'archive'}" in said.stderr
    assert f"not removed: {log_dir}" in said.stderr
    assert sessions("ls").stdout == ""


@pytest.mark.parametrize("words", [["archive"], ["archive", "rm"]])
def test_a_purge_leaves_no_empty_directory(
    sessions: Sessions, session: Session, words: list[str]
) -> None:
    how = ("--queue", "--not-before", "+1h", "--webhook", "http://127.0.0.1:9/")
    secret = {"GITHUB_TOKEN": "ghp-1"}
    assert sessions("send", *how, session.id, "Later.", env=secret).code == 0
    assert sessions("stop", session.id).code == 0
    unsent = "select 1 from outbox where done_at is null and target = 'webhook'"
    wait_until(lambda: not sessions.rows(unsent), what="that the webhook is refused")
    assert [sessions(word, session.id).code for word in words] == [0] * len(words)

    assert sessions("uninstall", "--purge").code == 0

    assert not sessions.state_home.exists()
