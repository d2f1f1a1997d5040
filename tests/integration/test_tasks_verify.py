"""`codex-tasks verify` names what differs between index and files, and mends it."""

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import stand_in as script
from support.commands import Cli
from support.processes import kill, wait_until
from support.stand_in import StandIn

from runner import artifacts, session_files
from runner.store.ledger import Ledger

FIRST = script.THREAD
OTHER = "01a1f000-0000-7000-8000-00000000000f"
HOUR = 3600
CAPABILITIES = "-dac_override,-dac_read_search,-chown"
BOUND = (
    ("setpriv", "--bounding-set", CAPABILITIES, "--inh-caps", CAPABILITIES)
    if os.getuid() == 0
    else ()
)
TABLES = ("runs", "sessions", "usage")


@dataclass(frozen=True)
class House:
    """One state directory with real sessions, and the commands that work on it."""

    cli: Cli
    home: Path
    repo: Path
    stand_in: StandIn

    def run(
        self, *words: object, code: int | None = 0, stdin: str | None = None
    ) -> str:
        done = self.cli(*words, command="codex_tasks", cwd=self.repo, stdin=stdin)
        assert code in {None, done.returncode}, done.stdout + done.stderr
        return done.stdout

    def start(self, *words: object, thread: str = script.THREAD) -> str:
        self.stand_in.plays(*script.ordinary(), thread=thread)
        options = ["--codex-bin", self.stand_in.path, "--skip-git-repo-check"]
        started = self.run("start", *options, *words, "Do it.").strip()
        self.wait(started)
        return started

    def send(self, session: str, *words: str) -> None:
        self.run("send", session, *words)
        self.wait(session)

    def as_others(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command without the right of root to read everything."""
        return subprocess.run(
            [*BOUND, *self.cli.argv(*words, command="codex_tasks")],
            env=self.cli.env(),
            cwd=self.repo,
            capture_output=True,
            text=True,
            check=False,
        )

    def wait(self, session: str) -> None:
        wait_until(self._is_quiet, 20, what=f"the end of {session}")

    def _is_quiet(self) -> bool:
        with self.db() as db:
            living = db.execute("select 1 from runs where state <> 'finished'")
            mail = db.execute("select 1 from mail where state = 'waiting'")
            return living.fetchone() is None and mail.fetchone() is None

    def db(self) -> "closing[sqlite3.Connection]":
        return closing(sqlite3.connect(self.home / "runs.db", isolation_level=None))

    def dump(self) -> dict[str, list[tuple[object, ...]]]:
        with self.db() as db:
            return {
                name: db.execute(f"select * from {name} order by 1, 2").fetchall()  # noqa: S608
                for name in TABLES
            }

    def verify(self, *words: str) -> dict[str, Any]:
        done = self.cli("verify", "--json", *words, command="codex_tasks")
        found: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if found["ok"] else 1), done.stderr
        return found

    def kinds(self, *words: str) -> list[str]:
        return [each["kind"] for each in self.verify(*words)["differences"]]

    def directory(self, session: str = script.THREAD) -> Path:
        return self.home / session

    def meta(self, session: str = script.THREAD) -> Path:
        return next(self.directory(session).glob("runs/*.meta.json"))


@pytest.fixture
def house(cli: Cli, state_home: Path, repo: Path, stand_in: StandIn) -> House:
    return House(cli, state_home, repo, stand_in)


@pytest.fixture
def two(house: House) -> House:
    """Give a house with two sessions: the first is the one that will be damaged."""
    house.start("-t", "first")
    house.start("-t", "second", thread=OTHER)
    assert house.verify() == {"ok": True, "differences": []}
    return house


def age(path: Path) -> None:
    at = path.stat().st_mtime - 2 * HOUR
    os.utime(path, (at, at))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def run_file(house: House, suffix: str) -> Path:
    return house.meta().with_name(house.meta().name.replace(".meta.json", suffix))


def archive_by_hand(house: House) -> None:
    bucket = house.home / "archive" / "2026" / "01" / "02"
    artifacts.make_directory(bucket)
    house.directory().rename(bucket / script.THREAD)


def execute(sql: str) -> Callable[[House], None]:
    def run(house: House) -> None:
        with house.db() as db:
            assert db.execute(sql, (FIRST,)).rowcount == 1

    return run


def leave_temporary(house: House) -> None:
    path = house.directory() / ".task.json.0a1b2c3d.tmp"
    path.touch(0o600)
    age(path)


def leave_removed(house: House) -> None:
    path = house.home / f".removed-{FIRST}-0a1b2c3d"
    path.mkdir()
    (path / "task.json").touch()
    age(path)


def leave_import(house: House) -> None:
    path = house.home / ".import-20260101-000000-000000-00000000.tmp"
    (path / "runs").mkdir(parents=True)
    (path / "runs" / "half").touch()
    age(path)


def leave_views_behind(house: House) -> None:
    bucket = house.home / "archive" / "2026" / "01" / "02"
    artifacts.make_directory(bucket / FIRST)
    for name in ("task.json", "task.log", "task.result"):
        shutil.copy(house.directory() / name, bucket / FIRST / name)


def leave_empty_beginning(house: House) -> None:
    path = house.home / ".pending" / "20260101-000000-000000-00000000"
    (path / "runs").mkdir(parents=True)
    age(path)


def mail_file(house: House, name: str, text: str = "More.") -> Path:
    path = house.directory() / "mail" / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(0o600)
    path.write_text(text)
    return path


def waiting_row(house: House, state: str = "waiting") -> None:
    with house.db() as db:
        at = "2026-01-01T00:00:00.000Z"
        db.execute(
            "insert into mail (mail_id, session_id, queued_at, state, task)"
            " values (7, ?, ?, ?, 'More.')",
            (FIRST, at, state),
        )


def misdelivered_prompt(house: House) -> None:
    waiting_row(house)
    mail_file(house, "00000007.prompt")
    with house.db() as db:
        db.execute("update mail set state = 'delivered', run_id = 'gone'")


def skipped_file_of_a_waiting_row(house: House) -> None:
    waiting_row(house)
    mail_file(house, "00000007.skipped")


def prompt_file_of_a_skipped_row(house: House) -> None:
    waiting_row(house, "skipped")
    mail_file(house, "00000007.prompt")


DAMAGE: dict[str, tuple[Callable[[House], object], str]] = {
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
def test_damage_is_named_alone_and_mended(two: House, what: str) -> None:
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


def test_a_prompt_that_is_gone_is_for_its_user_to_skip(two: House) -> None:
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
def test_a_file_that_cannot_be_made_again_is_named(two: House, suffix: str) -> None:
    path = run_file(two, suffix)
    path.unlink()

    for _ in range(2):
        (difference,) = two.verify("--repair")["differences"]

        assert difference["kind"] == "files-missing"
        assert str(path) in difference["detail"]
        assert not difference["is_repairable"]
        assert not path.exists()


def test_a_log_and_a_summary_are_made_anew_as_they_were(two: House) -> None:
    log, summary = run_file(two, ".log"), run_file(two, ".summary.json")
    was, told = log.read_text(), json.loads(summary.read_text())
    log.unlink()
    summary.unlink()

    assert two.verify("--repair")["ok"]

    assert json.loads(summary.read_text()) == told
    assert "codex_run_id=" in log.read_text()
    assert was.endswith(log.read_text()[-200:])


def test_two_directories_that_were_swapped_are_named_and_left_alone(
    two: House,
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


FOREIGN: dict[str, Callable[[House], Path]] = {
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
def test_what_is_not_ours_is_named_and_left_alone(two: House, what: str) -> None:
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


def test_a_task_of_the_older_command_is_told_to_be_imported(two: House) -> None:
    path = two.home / OTHER.replace("f", "e") / "task.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"id": path.parent.name, "state": "STOPPED"}))

    (difference,) = two.verify()["differences"]

    assert "codex-tasks import" in difference["detail"]


@pytest.fixture
def rich(two: House) -> House:
    """Give a house with all that there is: archived, queued, skipped, never started."""
    two.send(FIRST, "Again.")
    two.run("send", "--queue", FIRST, "And again.")
    two.wait(FIRST)
    two.run("archive", OTHER)
    two.stand_in.plays(script.err("no\n"), script.leave(1))
    options = ["--codex-bin", two.stand_in.path, "--skip-git-repo-check"]
    two.run("start", *options, "-t", "third", "Do it.", code=1)
    two.run("start", "--codex-bin", "/nowhere/codex", "-t", "fourth", "Do.", code=1)
    two.stand_in.plays(*script.ordinary())
    assert two.verify() == {"ok": True, "differences": []}
    return two


def checkpoint(house: House) -> None:
    """Leave nothing in the WAL that would make up for the damage."""
    with house.db() as db:
        assert db.execute("pragma wal_checkpoint(truncate)").fetchone()[0] == 0


def lose_index(house: House) -> None:
    (house.home / "runs.db").unlink()


def lose_index_and_log(house: House) -> None:
    for path in house.home.glob("runs.db*"):
        path.unlink()


def garble_index(house: House) -> None:
    checkpoint(house)
    (house.home / "runs.db").write_bytes(b"garbage " * 4096)


def garble_pages(house: House) -> None:
    checkpoint(house)
    path = house.home / "runs.db"
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))


@pytest.mark.parametrize(
    "lose", [lose_index, lose_index_and_log, garble_index, garble_pages]
)
def test_an_index_that_is_lost_is_made_anew_from_the_files(
    rich: House, lose: Callable[[House], None]
) -> None:
    before = rich.dump()
    lose(rich)

    assert not rich.verify()["ok"]
    assert rich.verify("--repair")["ok"]

    assert rich.dump() == before
    assert rich.verify() == {"ok": True, "differences": []}
    with rich.db() as db:
        assert db.execute("select state from mail").fetchall() == [("delivered",)]
    rich.send("first", "It works.")
    assert rich.verify() == {"ok": True, "differences": []}


def lose_a_page(house: House) -> None:
    """Damage the index of a table; what it is an index of can still be read."""
    checkpoint(house)
    with house.db() as db:
        (size,) = db.execute("pragma page_size").fetchone()
        sql = "select rootpage from sqlite_master where name = 'runs_by_session'"
        (page,) = db.execute(sql).fetchone()
    with (house.home / "runs.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


@pytest.mark.parametrize("lose", [lose_index_and_log, garble_pages, lose_a_page])
def test_what_removed_tasks_have_used_is_in_an_index_made_anew(
    two: House, lose: Callable[[House], None]
) -> None:
    before = two.dump()["usage"]
    two.run("rm", OTHER)
    lose(two)

    assert two.verify("--repair")["ok"]

    assert two.dump()["usage"] == before
    assert len(two.dump()["runs"]) == 1
    assert two.verify() == {"ok": True, "differences": []}


def test_what_only_a_damaged_index_knows_is_taken_over(two: House) -> None:
    before = two.dump()
    two.run("rm", OTHER)
    (two.home / "removed.jsonl").unlink()
    (two.directory() / "task.json").unlink()
    lose_a_page(two)

    two.verify("--repair")

    after = two.dump()
    assert after["usage"] == before["usage"]
    assert [row[:2] for row in after["sessions"]] == [(FIRST, "first")]
    assert OTHER in (two.home / "removed.jsonl").read_text()
    assert two.verify() == {"ok": True, "differences": []}


def test_what_cannot_be_read_of_a_damaged_index_is_said(two: House) -> None:
    garble_pages(two)

    (difference,) = two.verify()["differences"]

    assert "not all of runs, sessions, usage can be read" in difference["detail"]


def test_what_a_removed_task_has_used_is_checked(two: House) -> None:
    two.run("rm", OTHER)
    before = two.dump()
    with two.db() as db:
        db.execute("delete from usage where session_id = ?", (OTHER,))

    assert two.kinds() == ["removed-uncounted"]
    assert two.verify("--repair")["ok"]
    assert two.dump() == before

    (two.home / "removed.jsonl").write_text('{"run_id": "torn')
    assert two.kinds() == ["removed-unnoted"]
    assert two.verify("--repair")["ok"]
    assert two.verify() == {"ok": True, "differences": []}


def test_a_removed_task_whose_files_are_left_elsewhere_does_not_come_back(
    two: House, tmp_path: Path
) -> None:
    thread = OTHER.replace("f", "e")
    done = two.cli(
        *("--repo", two.repo, "--log-dir", tmp_path / "logs", "--task", "Do it."),
        *("--codex-bin", two.stand_in.path, "--resume", thread),
        command="run_codex_task",
    )
    assert done.returncode == 0
    two.run("rm", thread)
    before = two.dump()
    lose_index_and_log(two)

    assert two.verify("--repair")["ok"]

    assert two.dump() == before


def test_garbage_is_kept_when_the_index_is_made_anew(two: House) -> None:
    garble_index(two)

    (difference,) = two.verify()["differences"]
    assert difference["kind"] == "index-damaged"
    assert not list(two.home.glob("*.damaged-*"))
    two.verify("--repair")

    (aside,) = two.home.glob("runs.db.damaged-*")
    assert aside.read_bytes().startswith(b"garbage")


def test_a_newer_index_is_no_damage(two: House) -> None:
    with two.db() as db:
        db.execute("pragma user_version = 99")

    done = two.cli("verify", "--repair", command="codex_tasks")

    assert done.returncode == 1
    assert "newer version" in done.stderr
    assert not list(two.home.glob("*.damaged-*"))


def test_mail_finds_its_way_back_into_a_lost_index(two: House, tmp_path: Path) -> None:
    go = tmp_path / "go"
    two.stand_in.plays(*script.begin(), script.wait_for(go), *script.fail("no")[:2])
    two.run("send", FIRST, "Hold on.")
    two.run("send", "--queue", FIRST, "Delivered never.")
    two.run("stop", FIRST)
    two.wait(FIRST)
    assert [path.name for path in (two.directory() / "mail").iterdir()] == [
        "00000001.skipped"
    ]
    mail_file(two, "00000002.prompt", "Waits.")
    lose_index_and_log(two)

    two.verify("--repair")

    with two.db() as db:
        rows = db.execute("select mail_id, state, task, attempts from mail").fetchall()
    assert rows == [
        (1, "skipped", "Delivered never.", 0),
        (2, "waiting", "Waits.", 0),
    ]
    two.stand_in.plays(*script.ordinary())
    two.run("status", FIRST, code=None)
    two.wait(FIRST)
    assert two.stand_in.runs[-1]["stdin"] == "Waits."
    assert two.verify() == {"ok": True, "differences": []}


def test_a_prompt_that_a_run_without_a_record_may_have_delivered_stays(
    two: House,
) -> None:
    mail_file(two, "00000007.prompt")
    stray = two.meta().with_name("codex-run-20260101-000000-000000-00000000.prompt")
    stray.touch(0o600)
    age(stray)

    found = two.verify("--repair")

    assert [each["kind"] for each in found["differences"]] == [
        "unrecorded",
        "prompt-unknown",
    ]
    assert not any(each["is_repairable"] for each in found["differences"])


def test_a_quit_leaves_its_mark_on_what_waited(two: House, tmp_path: Path) -> None:
    go = tmp_path / "go"
    two.stand_in.plays(*script.begin(), script.wait_for(go), script.complete())
    two.run("send", FIRST, "Hold on.")
    two.run("send", "--queue", FIRST, "/quit")
    two.run("send", "--queue", FIRST, "Too late.")
    go.touch()
    two.wait(FIRST)

    names = sorted(path.name for path in (two.directory() / "mail").iterdir())
    assert names == ["00000001.skipped", "00000002.skipped"]
    assert two.verify() == {"ok": True, "differences": []}


def test_a_session_at_work_is_no_difference(two: House, tmp_path: Path) -> None:
    go = tmp_path / "go"
    two.stand_in.plays(*script.begin(), script.wait_for(go), script.complete())
    two.run("send", FIRST, "Hold on.")
    (two.directory() / "task.result").unlink()

    assert two.verify("--repair") == {"ok": True, "differences": []}
    go.touch()
    two.wait(FIRST)


def test_a_living_run_is_taken_into_a_new_index(two: House, tmp_path: Path) -> None:
    go = tmp_path / "go"
    two.stand_in.plays(*script.begin(), script.wait_for(go), script.complete())
    two.run("send", FIRST, "Hold on.")
    lose_index_and_log(two)

    assert two.verify("--repair")["ok"]
    (shown,) = json.loads(two.run("status", "--json", FIRST, code=None))
    assert shown["state"] == "RUNNING"
    go.touch()
    meta = max(two.directory().glob("runs/*.meta.json"))
    wait_until(lambda: json.loads(meta.read_text())["state"] == "finished")
    assert two.verify("--repair")["ok"]
    assert two.verify() == {"ok": True, "differences": []}


def test_a_run_that_was_left_behind_is_judged(two: House, tmp_path: Path) -> None:
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


def test_a_session_whose_name_came_too_late_gets_its_directory(house: House) -> None:
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
    house: House,
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
    artifacts.make_directory(pending.mailbox)
    artifacts.create(pending.mail(7), b"It waits.")

    assert house.verify("--repair")["ok"]

    assert not pending.directory.exists()
    files = session_files.active(house.home, session)
    assert files.mail(7).read_text() == "It waits."
    with house.db() as db:
        assert db.execute("select state from mail").fetchall() == [("waiting",)]
    assert house.verify() == {"ok": True, "differences": []}


def test_two_directories_of_one_session_are_named(two: House) -> None:
    bucket = two.home / "archive" / "2026" / "01" / "02"
    artifacts.make_directory(bucket)
    shutil.copytree(two.directory(), bucket / FIRST)

    (difference,) = two.verify("--repair")["differences"]

    assert difference["kind"] == "twice"
    assert difference["subject"] == FIRST


def test_damage_of_all_tasks_is_all_mended(two: House) -> None:
    for session in (FIRST, OTHER):
        (two.directory(session) / "task.json").unlink()
        two.meta(session).write_text("x")
        (two.directory(session) / "task.log").unlink()

    assert two.kinds() == ["meta-damaged", "meta-damaged"]
    assert two.verify("--repair")["ok"]
    assert two.verify() == {"ok": True, "differences": []}


def test_files_of_another_door_are_named_when_they_are_gone(
    two: House, tmp_path: Path
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
    two: House, inner: str
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
def test_a_closed_directory_of_nobody_s_is_named_and_left_alone(two: House) -> None:
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
    two: House, tmp_path: Path, inner: str, *, is_there: bool
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


def test_people_get_one_line_for_each_difference(two: House) -> None:
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


def test_nothing_at_all_agrees(house: House) -> None:
    assert house.verify() == {"ok": True, "differences": []}
