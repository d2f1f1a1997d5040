"""`ls` reads the ledger, and the names in the state directory: no file of a session."""

import os
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.commands import rows_of
from support.many import export, fill

from runner.cli import codex_tasks
from runner.ledger.database import NAME, Database, queries
from runner.ledger.ledger import Ledger
from runner.service.lookup import older_tasks

OLDER = [f"0a1b2c3d-4e5f-6789-abcd-{number:012x}" for number in range(7)]
_SESSIONS = 1_000


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "state"
    monkeypatch.setenv("CODEX_RUNNER_HOME", str(path))
    monkeypatch.setattr(sys, "argv", ["codex-tasks"])
    return path


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Record every path that is opened, listed or asked for its status."""
    paths: list[str] = []

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in {"open", "os.listdir", "os.scandir", "sqlite3.connect"}:
            paths.append(str(arguments[0]))

    def spied(call: Callable[..., object]) -> Callable[..., object]:
        def spy(path: object, *more: object, **options: object) -> object:
            paths.append(str(path))
            return call(path, *more, **options)

        return spy

    for name in ("stat", "lstat", "access"):
        monkeypatch.setattr(os, name, spied(getattr(os, name)))
    is_on = True
    sys.addaudithook(lambda *seen: hook(*seen) if is_on else None)
    yield paths
    is_on = False


def with_directories(home: Path) -> None:
    """Give each session the directory that its exports would be in."""
    ledger = Ledger(home)
    with ledger.transaction():
        for session in ledger.sessions.all():
            assert session.thread is not None
            (home / session.thread).mkdir()
            ledger.change("set_exports", session=session.key, exports=session.thread)
    ledger.close()


def test_of_a_thousand_sessions_no_file_is_looked_at(
    home: Path, looked_at: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    fill(home, sessions=_SESSIONS, runs_per_session=1)
    with_directories(home)
    looked_at.clear()

    assert codex_tasks.main(["ls", "--json"]) == 0

    out, err = capfd.readouterr()
    assert (len(rows_of(out)), err) == (_SESSIONS, "")
    inside = {path for path in looked_at if path.startswith(f"{home}/")}
    assert {Path(path).parent for path in inside} == {home}
    assert len(inside) < 10


def test_directories_that_are_no_tasks_of_an_older_tool_are_not_read(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(home, sessions=3, runs_per_session=1)
    with_directories(home)
    for name in ("notes", f".{OLDER[2]}"):
        (home / name).mkdir()
        (home / name / "task.json").touch()
    (home / OLDER[0]).mkdir()
    (home / OLDER[3]).touch()

    assert codex_tasks.main(["ls"]) == 0
    out, err = capfd.readouterr()
    assert (len(out.splitlines()), err) == (3, "")


def test_of_many_damaged_tasks_of_an_older_tool_five_are_named(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in OLDER:
        (home / name).mkdir(parents=True)
        (home / name / "task.json").touch()

    codex_tasks.main(["ls"])

    out, err = capfd.readouterr()
    assert out == ""
    _, *named, rest = err.splitlines()
    assert [OLDER[number] in line for number, line in enumerate(named)] == [True] * 5
    assert rest == "codex-tasks: nor are 2 more tasks of an older tool"


def test_of_the_names_of_threads_no_history_is_read(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(home, 3, 1)
    export(home)
    asked, run = set[str](), Database.all

    def counting(self: Database, query: str, **values: int | str) -> list[sqlite3.Row]:
        asked.add(query)
        return run(self, query, **values)

    monkeypatch.setattr(Database, "all", counting)
    ledger = Ledger(home)

    assert older_tasks(ledger) == []
    assert asked == {"names_of_no_thread"}
    (home / OLDER[0]).mkdir()
    (home / OLDER[0] / "task.json").touch()
    assert older_tasks(ledger) == [home / OLDER[0]]
    ledger.close()


def test_what_one_session_has_used_is_found_without_the_usage_of_others(
    home: Path,
) -> None:
    Ledger(home).close()
    query = "explain query plan " + queries()["usage_of_session"]

    with closing(sqlite3.connect(home / NAME)) as database:
        plan = [row[3] for row in database.execute(query, {"name": "one"})]

    assert plan == ["SEARCH usage_sums USING PRIMARY KEY (grouped=? AND key=?)"]


@pytest.mark.parametrize(
    "name",
    [
        *("deliverable", "all_waiting", "next_deadline", "unfinished_runs", "expired"),
        *("listed_active", "listed_session", "has_limits", "kept", "latest_run"),
    ],
)
def test_what_runs_or_waits_is_found_without_what_has_ended(
    home: Path, name: str
) -> None:
    Ledger(home).close()
    query = queries()[name].partition(";")[0]
    values = dict.fromkeys(re.findall(r":(\w+)", query))

    with closing(sqlite3.connect(home / NAME)) as database:
        rows = database.execute(f"explain query plan {query}", values)
        plan = [row[3] for row in rows]

    whole = [each for each in plan if re.match("SCAN [a-z]*(runs|prompts|r|p)$", each)]
    assert whole == []
