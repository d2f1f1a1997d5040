"""`codex-tasks verify` names what differs between index and files, and mends it."""

import json
import os
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import stand_in as script
from support.processes import kill, wait_until
from support.verified import FIRST, OTHER, Context, age, mail_file

from runner import files, session_files
from runner.ledger.runs import Ledger


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def run_file(house: Context, suffix: str) -> Path:
    return house.meta().with_name(house.meta().name.replace(".meta.json", suffix))


def archive_by_hand(house: Context) -> None:
    bucket = house.home / "archive" / "2026" / "01" / "02"
    files.make_directory(bucket)
    house.directory().rename(bucket / script.THREAD)


def execute(sql: str) -> Callable[[Context], None]:
    def run(house: Context) -> None:
        with house.db() as db:
            assert db.execute(sql, (FIRST,)).rowcount == 1

    return run


def leave_temporary(house: Context) -> None:
    path = house.directory() / ".task.json.0a1b2c3d.tmp"
    path.touch(0o600)
    age(path)


def leave_removed(house: Context) -> None:
    path = house.home / f".removed-{FIRST}-0a1b2c3d"
    path.mkdir()
    (path / "task.json").touch()
    age(path)


def leave_import(house: Context) -> None:
    path = house.home / ".import-20260101-000000-000000-00000000.tmp"
    (path / "runs").mkdir(parents=True)
    (path / "runs" / "half").touch()
    age(path)


def leave_views_behind(house: Context) -> None:
    bucket = house.home / "archive" / "2026" / "01" / "02"
    files.make_directory(bucket / FIRST)
    for name in ("task.json", "task.log", "task.result"):
        shutil.copy(house.directory() / name, bucket / FIRST / name)


def leave_empty_beginning(house: Context) -> None:
    path = house.home / ".pending" / "20260101-000000-000000-00000000"
    (path / "runs").mkdir(parents=True)
    age(path)


def waiting_row(house: Context, state: str = "waiting") -> None:
    with house.db() as db:
        at = "2026-01-01T00:00:00.000Z"
        db.execute(
            "insert into mail (mail_id, session_id, queued_at, state, task)"
            " values (7, ?, ?, ?, 'More.')",
            (FIRST, at, state),
        )


def misdelivered_prompt(house: Context) -> None:
    waiting_row(house)
    mail_file(house, "00000007.prompt")
    with house.db() as db:
        db.execute("update mail set state = 'delivered', run_id = 'gone'")


def skipped_file_of_a_waiting_row(house: Context) -> None:
    waiting_row(house)
    mail_file(house, "00000007.skipped")


def prompt_file_of_a_skipped_row(house: Context) -> None:
    waiting_row(house, "skipped")
    mail_file(house, "00000007.prompt")


DAMAGE: dict[str, tuple[Callable[[Context], object], str]] = {
    "no task.json": (lambda h: (h.directory() / "task.json").unlink(), "json-missing"),
    "garbage in task.json": (
        lambda h: (h.directory() / "task.json").write_bytes(b"\0garbage"),
        "json-damaged",
    ),
    "half a task.json": (
        lambda h: os.truncate(h.directory() / "task.json", 20),
        "json-damaged",
    ),
    "a task.json of another session": (
        lambda h: shutil.copy(
            h.directory(OTHER) / "task.json", h.directory() / "task.json"
        ),
        "json-damaged",
    ),
    "a list in task.json": (
        lambda h: (h.directory() / "task.json").write_text("[]"),
        "json-damaged",
    ),
    "another title": (
        lambda h: edit(h.directory() / "task.json", title="other"),
        "json-differs",
    ),
    "another state": (
        lambda h: edit(h.directory() / "task.json", state="ARCHIVED"),
        "json-differs",
    ),
    "other runs": (
        lambda h: edit(h.directory() / "task.json", runs=["x"]),
        "json-differs",
    ),
    "no title in the index": (
        execute("update sessions set title = null where session_id = ?"),
        "title-unknown",
    ),
    "no meta file": (lambda h: h.meta().unlink(), "meta-missing"),
    "garbage in a meta file": (lambda h: h.meta().write_text("{"), "meta-damaged"),
    "an older meta file": (
        lambda h: edit(h.meta(), outcome="failed"),
        "meta-differs",
    ),
    "no runs directory": (
        lambda h: shutil.rmtree(h.directory() / "runs"),
        "meta-missing",
    ),
    "no directory": (lambda h: shutil.rmtree(h.directory()), "directory-gone"),
    "archived by hand": (archive_by_hand, "misplaced"),
    "no answer": (lambda h: (h.directory() / "task.result").unlink(), "result-missing"),
    "no log": (lambda h: (h.directory() / "task.log").unlink(), "log-missing"),
    "an empty log": (
        lambda h: os.truncate(h.directory() / "task.log", 0),
        "log-incomplete",
    ),
    "a log without its end": (
        lambda h: os.truncate(
            h.directory() / "task.log", (h.directory() / "task.log").stat().st_size - 1
        ),
        "log-incomplete",
    ),
    "a pid": (
        lambda h: (h.directory() / "task.json").with_name("task.pid").touch(0o600),
        "pid-stale",
    ),
    "a directory open to others": (lambda h: h.directory().chmod(0o755), "mode"),
    "a file open to others": (
        lambda h: (h.directory() / "task.json").chmod(0o644),
        "mode",
    ),
    "locks open to others": (lambda h: (h.home / "locks").chmod(0o755), "mode"),
    "an old temporary file": (leave_temporary, "leftover"),
    "what was half removed": (leave_removed, "leftover"),
    "what was half imported": (leave_import, "leftover"),
    "views in a second directory": (leave_views_behind, "twice"),
    "a start that came to nothing": (leave_empty_beginning, "leftover"),
    "a run that is not in the index": (
        execute("delete from runs where session_id = ?"),
        "unknown-run",
    ),
    "a session that is not in the index": (
        execute("delete from sessions where session_id = ?"),
        "row-differs",
    ),
    "a stale outcome in the index": (
        execute("update sessions set outcome = 'failed' where session_id = ?"),
        "row-differs",
    ),
    "times that are older than the runs": (
        execute(
            "update sessions set created_at = '2020-01-01T00:00:00.000Z',"
            " updated_at = '2020-01-01T00:00:00.000Z' where session_id = ?"
        ),
        "row-differs",
    ),
    "a row that cannot be read": (
        execute("update runs set record = '{}' where session_id = ?"),
        "row-damaged",
    ),
    "other costs in the index": (
        execute("update usage set usd = 999 where session_id = ?"),
        "usage-differs",
    ),
    "no costs in the index": (
        execute("delete from usage where session_id = ?"),
        "usage-differs",
    ),
    "costs of another session": (
        execute("update usage set session_id = 'x' where session_id = ?"),
        "usage-differs",
    ),
    "no summary": (lambda h: run_file(h, ".summary.json").unlink(), "files-missing"),
    "no readable log": (lambda h: run_file(h, ".log").unlink(), "files-missing"),
    "a prompt that no run has delivered": (misdelivered_prompt, "prompt-misdelivered"),
    "a prompt that waits and has been skipped": (
        skipped_file_of_a_waiting_row,
        "prompt-skipped",
    ),
    "a prompt that was skipped and seems to wait": (
        prompt_file_of_a_skipped_row,
        "prompt-skipped",
    ),
    "a skipped prompt that is not in the index": (
        lambda h: mail_file(h, "00000007.skipped"),
        "prompt-unknown",
    ),
    "a prompt that is not in the index": (
        lambda h: mail_file(h, "00000007.prompt"),
        "prompt-unknown",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_named_alone_and_mended(two: Context, what: str) -> None:
    damage, kind = DAMAGE[what]
    before = two.dump()
    damage(two)

    found = two.verify()
    (difference,) = found["differences"]
    assert difference["kind"] == kind
    assert OTHER not in difference["subject"]
    assert difference["is_repairable"]
    assert not difference["mended"]
    assert two.kinds() == [kind], "looking mends nothing"

    repaired = two.verify("--repair")
    assert repaired["ok"]
    assert repaired["differences"][0]["mended"]
    assert two.verify() == {"ok": True, "differences": []}
    if what != "archived by hand":
        assert two.dump() == before


def test_a_prompt_that_is_gone_is_for_its_user_to_skip(two: Context) -> None:
    waiting_row(two)

    (difference,) = two.verify("--repair")["differences"]

    assert difference["kind"] == "prompt-missing"
    assert not difference["is_repairable"]
    assert "codex-tasks stop skips it" in difference["detail"]
    with two.db() as db:
        assert db.execute("select state from mail").fetchall() == [("waiting",)]
    two.run("stop", FIRST)
    assert two.verify() == {"ok": True, "differences": []}


@pytest.mark.parametrize("suffix", [".events.jsonl", ".stderr", ".prompt"])
def test_a_file_that_cannot_be_made_again_is_named(two: Context, suffix: str) -> None:
    path = run_file(two, suffix)
    path.unlink()

    for _ in range(2):
        (difference,) = two.verify("--repair")["differences"]

        assert difference["kind"] == "files-missing"
        assert str(path) in difference["detail"]
        assert not difference["is_repairable"]
        assert not path.exists()


def test_a_log_and_a_summary_are_made_anew_as_they_were(two: Context) -> None:
    log, summary = run_file(two, ".log"), run_file(two, ".summary.json")
    was, told = log.read_text(), json.loads(summary.read_text())
    log.unlink()
    summary.unlink()

    assert two.verify("--repair")["ok"]

    assert json.loads(summary.read_text()) == told
    assert "codex_run_id=" in log.read_text()
    assert was.endswith(log.read_text()[-200:])


def test_two_directories_that_were_swapped_are_named_and_left_alone(
    two: Context,
) -> None:
    aside = two.home / "aside"
    two.directory().rename(aside)
    two.directory(OTHER).rename(two.directory())
    aside.rename(two.directory(OTHER))
    before = {path for path in two.home.rglob("*") if path.is_file()}

    differences = two.verify("--repair")["differences"]

    assert [each["kind"] for each in differences] == ["misplaced", "misplaced"]
    assert not any(each["is_repairable"] for each in differences)
    assert {path for path in two.home.rglob("*") if path.is_file()} == before


FOREIGN: dict[str, Callable[[Context], Path]] = {
    "a file": lambda h: h.home / "notes.txt",
    "a temporary file of a user's": lambda h: h.home / ".notes.tmp",
    "one that is nearly ours": lambda h: h.directory() / ".task.json.tmp",
    "a directory like a temporary file": lambda h: (
        h.home / ".task.json.0a1b2c3d.tmp" / "x"
    ),
    "a directory of a user's": lambda h: h.home / ".notes.tmp" / "x",
    "a clone": lambda h: h.home / ".repo.0a1b2c3d.clone" / "x",
    "something removed by others": lambda h: h.home / ".removed-x" / "x",
    "something removed elsewhere": lambda h: (
        h.directory() / f".removed-{FIRST}-0a1b2c3d" / "x"
    ),
    "a file in a session": lambda h: h.directory() / "notes.txt",
    "a file among the runs": lambda h: h.directory() / "runs" / "notes.txt",
    "a file among the locks": lambda h: h.home / "locks" / "notes.txt",
    "a file in the archive": lambda h: h.home / "archive" / "notes.txt",
    "a directory like a session's": lambda h: h.home / OTHER.replace("f", "e") / "x",
    "a directory": lambda h: h.home / "mine" / "x",
    "a nameless one": lambda h: h.home / ".pending" / "mine" / "x",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_not_ours_is_named_and_left_alone(two: Context, what: str) -> None:
    path = FOREIGN[what](two)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text("mine")
    path.chmod(0o644)
    age(path)
    age(path.parent)

    for _ in range(2):
        (difference,) = two.verify("--repair")["differences"]

        assert difference["kind"] == "foreign"
        assert str(path.relative_to(two.home)).startswith(difference["subject"])
        assert not difference["is_repairable"]
        assert path.read_text() == "mine"
        assert path.stat().st_mode & 0o777 == 0o644


def test_a_task_of_the_older_command_is_told_to_be_imported(two: Context) -> None:
    path = two.home / OTHER.replace("f", "e") / "task.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"id": path.parent.name, "state": "STOPPED"}))

    (difference,) = two.verify()["differences"]

    assert "codex-tasks import" in difference["detail"]


def test_a_run_that_was_left_behind_is_judged(two: Context, tmp_path: Path) -> None:
    go = tmp_path / "go"
    two.stand_in.plays(*script.begin(), script.wait_for(go), script.complete())
    two.run("send", FIRST, "Hold on.")
    meta = max(two.directory().glob("runs/*.meta.json"))
    processes = json.loads(meta.read_text())["processes"]
    for name in ("supervisor", "codex"):
        kill(processes[name]["pid"])
    wait_until(lambda: json.loads(meta.read_text())["state"] == "running")

    assert two.verify() == {"ok": True, "differences": []}
    assert json.loads(meta.read_text())["outcome"] == "lost"


def test_a_session_whose_name_came_too_late_gets_its_directory(house: Context) -> None:
    session = house.start("-t", "first")
    directory = house.directory()
    run_id = house.meta().name.removeprefix("codex-run-")[: -len(".meta.json")]
    pending = house.home / ".pending" / run_id
    directory.rename(pending)
    ledger = Ledger(house.home)
    run = ledger.find(run_id)
    ledger.relocate([session_files.moved(run, session_files.SessionFiles(pending))])
    ledger.close()

    assert house.kinds() == ["misplaced"]
    assert house.verify("--repair")["ok"]
    assert house.directory(session).is_dir()
    assert not pending.exists()
    assert house.verify() == {"ok": True, "differences": []}


def test_what_waits_comes_along_when_a_session_gets_its_directory(
    house: Context,
) -> None:
    session = house.start("-t", "first")
    run_id = house.meta().name.removeprefix("codex-run-")[: -len(".meta.json")]
    pending = session_files.pending(house.home, run_id)
    pending.directory.mkdir()
    for path in house.directory().iterdir():
        path.rename(pending.directory / path.name)
    ledger = Ledger(house.home)
    run = ledger.find(run_id)
    ledger.relocate([session_files.moved(run, pending)])
    ledger.close()
    waiting_row(house)
    files.make_directory(pending.mailbox)
    files.create(pending.mail(7), b"It waits.")

    assert house.verify("--repair")["ok"]

    assert not pending.directory.exists()
    paths = session_files.active(house.home, session)
    assert paths.mail(7).read_text() == "It waits."
    with house.db() as db:
        assert db.execute("select state from mail").fetchall() == [("waiting",)]
    assert house.verify() == {"ok": True, "differences": []}


def test_two_directories_of_one_session_are_named(two: Context) -> None:
    bucket = two.home / "archive" / "2026" / "01" / "02"
    files.make_directory(bucket)
    shutil.copytree(two.directory(), bucket / FIRST)

    (difference,) = two.verify("--repair")["differences"]

    assert difference["kind"] == "twice"
    assert difference["subject"] == FIRST


def test_damage_of_all_tasks_is_all_mended(two: Context) -> None:
    for session in (FIRST, OTHER):
        (two.directory(session) / "task.json").unlink()
        two.meta(session).write_text("x")
        (two.directory(session) / "task.log").unlink()

    assert two.kinds() == ["meta-damaged", "meta-damaged"]
    assert two.verify("--repair")["ok"]
    assert two.verify() == {"ok": True, "differences": []}


def test_files_of_another_door_are_named_when_they_are_gone(
    two: Context, tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    done = two.cli(
        *("--repo", two.repo, "--log-dir", logs, "--codex-bin", two.stand_in.path),
        *("--task", "Do it.", "--resume", OTHER.replace("f", "e")),
        command="run_codex_task",
    )
    assert done.returncode == 0
    assert two.verify()["ok"]

    next(logs.glob("*.meta.json")).unlink()
    assert two.kinds() == ["files-gone"]
    assert two.verify("--repair")["ok"]
    assert two.verify()["ok"]

    shutil.rmtree(logs)
    (difference,) = two.verify("--repair")["differences"]
    assert difference["kind"] == "files-gone"
    assert not difference["is_repairable"]


@pytest.mark.skipif(sys.platform != "linux", reason="takes rights from root")
@pytest.mark.parametrize("inner", ["", "runs"])
def test_a_directory_that_cannot_be_read_concerns_its_own_task(
    two: Context, inner: str
) -> None:
    closed = two.directory() / inner
    closed.chmod(0)
    (two.directory(OTHER) / "task.result").unlink()

    found = two.as_others("verify", "--json")
    status = two.as_others("status", "--json", "-a")
    archived = two.as_others("archive", "-a")

    kinds = {each["kind"]: each for each in json.loads(found.stdout)["differences"]}
    assert kinds.keys() == {"mode", "closed", "result-missing"}
    assert kinds["closed"]["subject"] == str(closed.relative_to(two.home))
    assert {each["id"] for each in json.loads(status.stdout)} == {FIRST, OTHER}
    assert f"Task {OTHER} archived" in archived.stdout
    if not inner:
        assert FIRST in status.stderr
        assert f"Failed to archive task {FIRST}: " in archived.stderr
        assert archived.returncode == 1
    mended = two.as_others("verify", "--repair")
    assert mended.returncode == 0, mended.stdout
    assert two.verify() == {"ok": True, "differences": []}


@pytest.mark.skipif(sys.platform != "linux", reason="takes rights from root")
def test_a_closed_directory_of_nobody_s_is_named_and_left_alone(two: Context) -> None:
    place = two.home / OTHER.replace("f", "e")
    place.mkdir(mode=0)

    (difference,) = json.loads(two.as_others("verify", "--repair", "--json").stdout)[
        "differences"
    ]

    assert difference["kind"] == "closed"
    assert not difference["is_repairable"]
    assert stat.S_IMODE(place.stat().st_mode) == 0


@pytest.mark.parametrize("inner", ["", "runs"])
@pytest.mark.parametrize("is_there", [True, False])
def test_nothing_is_written_through_a_link(
    two: Context, tmp_path: Path, inner: str, *, is_there: bool
) -> None:
    outside = tmp_path / "outside"
    if is_there:
        outside.mkdir()
    place = two.directory() / inner
    shutil.rmtree(place)
    place.symlink_to(outside)

    for _ in range(2):
        (difference,) = two.verify("--repair")["differences"]

        assert difference["kind"] == "link"
        assert not difference["is_repairable"]
        assert outside.exists() == is_there
        assert not is_there or list(outside.iterdir()) == []
        assert place.is_symlink()


def test_people_get_one_line_for_each_difference(two: Context) -> None:
    (two.directory() / "task.json").unlink()
    (two.home / "two\nlines").touch()

    found = two.cli("verify", command="codex_tasks")
    mended = two.cli("verify", "--repair", command="codex_tasks")

    assert found.returncode == mended.returncode == 1
    assert len(found.stdout.splitlines()) == 2
    assert f"json-missing {FIRST}: " in found.stdout
    assert found.stdout.splitlines()[1].endswith("(verify --repair mends it)")
    assert mended.stdout.splitlines()[1].endswith("(mended)")
    assert "2 tasks, 2 runs: 2 differences, 1 of them mended" in mended.stderr


def test_one_of_a_kind_is_not_said_to_be_several(house: Context) -> None:
    house.start()
    (house.directory() / "task.json").unlink()

    found = house.cli("verify", command="codex_tasks")

    assert "1 task, 1 run: 1 difference, 0 of them mended" in found.stderr


def test_nothing_at_all_agrees(house: Context) -> None:
    assert house.verify() == {"ok": True, "differences": []}
