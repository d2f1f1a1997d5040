"""`codex-tasks verify` and its exit codes, with real supervisors; see tests/ledger."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.commands import rows_of
from support.imports import ROOT
from support.processes import wait_until
from support.sessions import Session, Sessions
from support.tasks import Tasks

from runner.ledger.database import BACKUP, NAME
from runner.locks import Lock, look
from runner.run_files import owner_of

CAPABILITIES = "-dac_override,-dac_read_search,-chown"
BOUND = (
    ("setpriv", "--bounding-set", CAPABILITIES, "--inh-caps", CAPABILITIES)
    if os.getuid() == 0
    else ()
)
AGREES = {"ok": True, "differences": [], "notes": []}


def verify(sessions: Sessions, *words: str) -> dict[str, Any]:
    said = sessions("verify", "--json", *words)
    found: dict[str, Any] = json.loads(said.stdout)
    assert found.pop("schema") == "codex-runner/verify/1"
    assert said.code == (0 if found["ok"] else 1), said.stderr
    return found


def lose_ledger(sessions: Sessions, *, with_backup: bool) -> None:
    for name in (NAME, f"{NAME}-wal", f"{NAME}-shm", *[BACKUP] * with_backup):
        (sessions.state_home / name).unlink(missing_ok=True)


def wait_for_export(session: Session) -> None:
    """Wait until the supervisor has written the last file of the last run."""
    wait_until(lambda: session.runs[-1].is_finished, what="its meta file")


def test_what_the_commands_leave_agrees(
    sessions: Sessions, task: Tasks, held: Path
) -> None:
    first, second = (
        sessions.start("-t", name, "Begin.") for name in ("first", "second")
    )
    first.queue("More.")
    first.queue("And more.")
    assert verify(sessions) == AGREES
    held.touch()
    first.wait()
    second.wait()
    second.send("Fail")
    second.wait()
    sessions("archive", second.id)
    done = task()
    assert done.code == 0
    sessions("rm", sessions.ended("Go.").id)
    wait_for_export(first)

    assert verify(sessions, "--full") == AGREES


def test_people_get_one_line_for_each_difference(sessions: Sessions) -> None:
    session = sessions.ended("Go.")
    wait_for_export(session)
    (session.directory / "task.json").unlink()
    (session.directory / "task.result").unlink()

    found = sessions("verify")
    repaired = sessions("verify", "--repair")
    again = sessions("verify")

    assert (found.code, repaired.code, again.code) == (1, 0, 0)
    assert [line.endswith("(verify --repair fixes it)") for line in found.lines] == [
        True,
        True,
    ]
    assert found.lines[0].startswith(f"export {session.directory / 'task.json'}: ")
    assert "1 task, 1 run: 2 differences, 0 of them fixed" in found.stderr
    assert all(line.endswith("(fixed)") for line in repaired.lines)
    assert "1 task, 1 run: 2 differences, 2 of them fixed" in repaired.stderr
    assert again.stdout == ""
    assert "the ledger and the exported files agree" in again.stderr


def test_where_there_is_no_ledger_nothing_is_wrong(sessions: Sessions) -> None:
    assert verify(sessions) == AGREES
    assert not (sessions.state_home / NAME).exists()


@pytest.mark.parametrize("with_backup", [False, True])
def test_a_destroyed_ledger_is_named_by_every_command_and_brought_back(
    sessions: Sessions, held: Path, *, with_backup: bool
) -> None:
    session = sessions.start("-t", "first", "Begin.")
    held.touch()
    session.wait()
    wait_for_export(session)
    before = session.records
    held.unlink()
    session.send("Hold on.")
    session.queue("It waits.")
    sessions("stop", session.id)
    session.queue("Fail")
    lose_ledger(sessions, with_backup=with_backup)

    for words in (("ls",), ("status", session.id), ("send", session.id, "x")):
        said = sessions(*words)
        assert said.code == 1
        assert "verify --repair" in said.stderr
        assert not (sessions.state_home / NAME).exists()
    (difference,) = verify(sessions)["differences"]
    assert difference["kind"] == "ledger"

    held.touch()
    assert verify(sessions, "--repair")["ok"]
    session.wait()
    assert session.records[0] == before[0]
    assert session.json["title"] == "first"
    assert session.given.count("It waits.") == 0
    assert session.send("It works.").code == 0
    session.wait()
    wait_for_export(session)
    assert session.given[-1] == "It works."
    assert verify(sessions) == AGREES


def test_a_run_that_works_while_the_ledger_is_made_anew_has_its_verdict(
    sessions: Sessions, held: Path
) -> None:
    session = sessions.start("Begin.")
    session.wait_for_run(1)
    lose_ledger(sessions, with_backup=True)

    assert verify(sessions, "--repair")["ok"]
    assert session.state == "RUNNING"
    held.touch()
    wait_for_export(session)

    assert session.wait().code == 0
    assert session.status["outcome"] == "succeeded"
    verify(sessions, "--repair")
    assert verify(sessions) == AGREES


def test_a_ledger_of_a_newer_version_is_refused_and_left_alone(
    sessions: Sessions,
) -> None:
    sessions.ended("Go.")
    with closing(sqlite3.connect(sessions.state_home / NAME)) as db:
        db.execute("pragma user_version = 99")

    for words in (("ls",), ("verify", "--repair")):
        said = sessions(*words)
        assert said.code == 1
        assert "newer version" in said.stderr
    assert not list(sessions.state_home.glob("*.damaged-*"))


@pytest.mark.core
def test_a_supervisor_backs_the_ledger_up_after_its_verdict(
    sessions: Sessions,
) -> None:
    session = sessions.ended("Go.")
    backup = sessions.state_home / BACKUP
    wait_until(backup.exists, what="the backup")

    with closing(sqlite3.connect(backup)) as db:
        found = db.execute("select outcome from runs").fetchall()
    assert found == [("succeeded",)]
    lose_ledger(sessions, with_backup=False)
    (difference,) = verify(sessions, "--repair")["differences"]
    assert str(backup) in difference["detail"]
    assert session.state == "STOPPED"


def test_a_backup_that_cannot_be_written_is_a_warning(sessions: Sessions) -> None:
    sessions.state_home.mkdir(mode=0o700)
    (sessions.state_home / f"{BACKUP}.part").mkdir()
    session = sessions.ended("Go.")

    def warned() -> bool:
        return any(BACKUP in text for text in session.records[0]["warnings"])

    wait_until(warned, what="the warning")
    assert session.status["outcome"] == "succeeded"


def test_prune_removes_directories_that_no_run_has(sessions: Sessions) -> None:
    session = sessions.ended("Go.")
    stray = sessions.state_home / "runs" / "20260101-000000-000000-00000000"
    stray.mkdir()
    (stray / "prompt").write_text("Do it.")
    os.utime(stray, (0, 0))

    looked = sessions("prune", "--older-than", "1d", "--dry-run")
    assert str(stray) in looked.stdout
    assert stray.exists()
    done = sessions("prune", "--older-than", "1d")

    assert (done.code, str(stray) in done.stdout) == (0, True)
    assert not stray.exists()
    assert session.runs[0].directory.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="takes rights from root")
def test_a_directory_that_cannot_be_read_concerns_its_own_task(
    sessions: Sessions,
) -> None:
    closed, other = sessions.ended("Go."), sessions.ended("Go on.")
    wait_for_export(closed)
    wait_for_export(other)
    closed.directory.chmod(0)
    (other.directory / "task.result").unlink()

    found = as_others(sessions, "verify", "--json", "--repair")
    status = as_others(sessions, "status", "--json", "-a")

    differences = json.loads(found.stdout)["differences"]
    fixed = {each["subject"]: each["fixed"] for each in differences}
    assert fixed.pop(str(other.directory / "task.result"))
    assert fixed
    assert not any(fixed.values())
    assert all(place.startswith(str(closed.directory)) for place in fixed)
    assert "Traceback" not in found.stderr
    assert {each["id"] for each in rows_of(status.stdout)} == {closed.id, other.id}
    closed.directory.chmod(0o700)
    assert verify(sessions) == AGREES


def test_runs_whose_files_are_gone_do_not_come_back(
    sessions: Sessions, task: Tasks
) -> None:
    done = task()
    owner = owner_of(sessions.state_home, done.files.run_id)
    wait_until(lambda: look(owner) is Lock.FREE, what="the end of its supervisor")
    shutil.rmtree(task.log_dir)

    (difference,) = verify(sessions, "--repair")["differences"]

    assert difference["kind"] == "files-gone"
    assert difference["subject"] == done.files.run_id
    assert not difference["is_repairable"]


def as_others(sessions: Sessions, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command without the right of root to read everything."""
    return subprocess.run(
        [*BOUND, *sessions.cli.argv(*words, command="codex_tasks")],
        env=sessions.cli.env(),
        cwd=sessions.repo,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_repair_that_is_killed_is_done_by_the_next(tmp_path: Path) -> None:
    script = ROOT / "tests" / "support" / "kill_repairs.py"
    argv = [sys.executable, str(script), str(tmp_path), "12", "7"]

    done = subprocess.run(
        argv,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["bad"] == []
    assert told["kills"] > 5
