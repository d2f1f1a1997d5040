"""What a run changes in the files of the user is known by two looks at them."""

import json
from pathlib import Path
from typing import Any

import pytest
from support import stand_in as script
from support.processes import wait_until
from support.repository import git
from support.sessions import Session, Sessions
from support.stand_in import StandIn
from support.tasks import is_refused
from support.terminal import on_screen


@pytest.fixture
def sessions(sessions: Sessions) -> Sessions:
    """Let Codex change a file that is tracked, and write one that is not."""
    sessions.stand_in.plays(
        *script.begin(),
        script.wait(0.3),
        script.write("README.md", "A line.\n"),
        script.write("new.txt", "new\n"),
        script.complete(),
        thread=script.FRESH,
    )
    return sessions


def place_of(session: Session) -> Path:
    """Give the directory of the last run in the state directory."""
    run_id: str = session.records[-1]["run_id"]
    return session.sessions.state_home / "runs" / run_id


def differences(session: Session) -> dict[str, Any]:
    said = session.sessions("diff", "--json", session.id)
    assert said.code == 0, said.stderr
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def everything(repo: Path) -> dict[str, bytes]:
    """Give all files of a repository, those of git too."""
    paths = (path for path in repo.rglob("*") if path.is_file())
    return {str(path.relative_to(repo)): path.read_bytes() for path in paths}


def test_diff_shows_what_a_run_has_changed_and_not_what_was_before_and_after(
    sessions: Sessions,
) -> None:
    (sessions.repo / "README.md").write_text("Mine, before.\n")
    (sessions.repo / "before.txt").touch()

    session = sessions.ended("Do it.")
    (sessions.repo / "README.md").write_text("Mine, after.\n")
    (sessions.repo / "after.txt").touch()

    said = sessions("diff", session.id)
    assert " Mine, before.\n+A line.\n" in said.stdout
    assert "after" not in said.stdout
    assert said.stdout.endswith("untracked, new: new.txt\n")
    told = differences(session)
    assert [each["path"] for each in told["files"]] == ["README.md"]
    assert told["untracked"] == [{"path": "new.txt", "what": "new"}]


def test_new_untracked_files_count_with_their_lines(
    sessions: Sessions, codex: StandIn
) -> None:
    new = sessions.repo / "new.txt"
    changes = [{"path": str(new), "kind": "add"}]
    codex.plays(
        *script.begin(),
        script.wait(0.3),
        script.write(new, "one\ntwo"),
        script.item("file_change", changes=changes, status="completed"),
        script.complete(),
        thread=script.FRESH,
    )
    session = sessions.ended("Do it.")

    cli, words = sessions.cli, ("diff", "--stat", session.id)
    row, whole = on_screen(cli, 80, *words)
    assert row.split() == ["new.txt", "+2", "++"]
    assert whole.startswith("1 file +2 \N{MINUS SIGN}0")
    assert any("  1 file  " in line for line in on_screen(cli, 80, "ls"))
    status = on_screen(cli, 80, "status", session.id)
    assert any(line.split()[:3] == ["changes", "1", "file"] for line in status)


def test_nothing_of_the_repository_is_changed(sessions: Sessions) -> None:
    (sessions.repo / "README.md").write_text("Mine.\n")
    before = everything(sessions.repo)

    sessions.ended("Do it.")

    after = everything(sessions.repo)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"README.md", "new.txt"}


def test_a_commit_of_codex_is_shown(sessions: Sessions) -> None:
    identity = "-c user.name=T -c user.email=t@example.invalid"
    line = f"git add --all && git {identity} commit --quiet --message=Theirs"
    sessions.stand_in.plays(
        *script.begin(),
        script.wait(0.3),
        script.write("README.md", "A line.\n"),
        script.native(Path("/bin/sh"), line),
        script.complete(),
        thread=script.FRESH,
    )

    told = differences(sessions.ended("Do it."))

    assert told["base"] != told["head"]
    assert [each["path"] for each in told["files"]] == ["README.md"]


def test_without_a_commit_the_tracked_files_are_compared(
    sessions: Sessions, tmp_path: Path
) -> None:
    place = tmp_path / "empty"
    place.mkdir()
    git(place, "init", "--quiet")
    (place / "README.md").write_text("Staged.\n")
    git(place, "add", "README.md")

    session = sessions.ended("--working-dir", place, "Do it.")

    assert [each["path"] for each in differences(session)["files"]] == ["README.md"]


def test_a_task_that_runs_is_compared_with_now(sessions: Sessions, go: Path) -> None:
    sessions.stand_in.plays(
        *script.begin(),
        script.wait_for(go),
        script.complete(),
        thread=script.FRESH,
    )
    session = sessions.start("Do it.")
    wait_until((place_of(session) / "snapshot").exists, what="the snapshot")
    (sessions.repo / "README.md").write_text("Now.\n")

    told = differences(session)

    assert [each["path"] for each in told["files"]] == ["README.md"]
    go.touch()
    session.wait()


def test_two_tasks_in_one_directory_are_noted_and_named(
    sessions: Sessions, go: Path
) -> None:
    sessions.stand_in.plays(
        *script.begin(),
        script.wait_for(go),
        script.complete(),
        thread=script.FRESH,
    )
    first = sessions.start("Do it.")

    said = sessions(*sessions.starting("Do this too."))
    apart = sessions(*sessions.starting("--worktree", "And this."))

    run_id = first.records[-1]["run_id"]
    assert f"run {run_id} of task " in said.stderr
    assert f"works in {sessions.repo} too (--worktree keeps" in said.stderr
    assert "too (--worktree" not in apart.stderr
    go.touch()
    sessions("status", "--wait", "--all")
    second = said.stdout.strip()
    others = differences(first)["others"]
    assert [each["task"] for each in others] == [
        Session(second, sessions).status["short_id"]
    ]


def test_a_snapshot_that_takes_too_long_is_given_up(
    sessions: Sessions, tmp_path: Path
) -> None:
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "git").write_text("#!/bin/sh\nsleep 30\n")
    (slow / "git").chmod(0o755)
    path = f"{slow}:{sessions.cli.environment['PATH']}"

    session = sessions.start("Do it.", env={"PATH": path})
    said = sessions("status", "--wait", "--timeout", 10, session.id)

    assert said.code == 0
    shown = sessions("diff", session.id)
    told, fix = (
        "there is no snapshot of run",
        "fix:   for what comes: codex-tasks send --worktree ",
    )
    assert is_refused(shown, 1, told, fix), shown


def test_the_setting_turns_snapshots_off(sessions: Sessions) -> None:
    assert sessions("config", "snapshot", "false").code == 0

    session = sessions.ended("Do it.")

    assert not (place_of(session) / "snapshot").exists()
    assert "none was taken" in sessions("diff", session.id).stderr


def test_outside_of_a_repository_there_is_no_snapshot(
    sessions: Sessions, tmp_path: Path
) -> None:
    session = sessions.ended("--working-dir", tmp_path / "new", "Do it.")

    assert not (place_of(session) / "snapshot").exists()


def test_the_ledger_and_the_files_agree_with_a_snapshot(sessions: Sessions) -> None:
    (sessions.repo / "README.md").write_text("Mine.\n")
    session = sessions.ended("Do it.")
    assert (place_of(session) / "objects").is_dir()

    assert sessions("verify").code == 0
    assert sessions("rm", session.id).code == 0
    assert not [*(sessions.state_home / "runs").iterdir()]


def test_the_changes_of_a_run_are_those_of_that_run(sessions: Sessions) -> None:
    session = sessions.ended("Do it.")
    first = session.records[0]["run_id"]
    session.send("More.")
    session.wait()

    shown = sessions("diff", "--json", first).stdout

    assert json.loads(shown)["run_id"] == first
    assert json.loads(shown)["lines_added"] == 1
    assert differences(session)["run_id"] != first
