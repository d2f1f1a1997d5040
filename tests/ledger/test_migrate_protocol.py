"""A migration has one commit point, and what stands in its way is named."""

import contextlib
import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
from support import old_state
from support.old_state import make, record_of, row_of

from runner import config, files
from runner.errors import LedgerFault, MigrationError, RunnerError
from runner.ledger import database, file_systems, migrate
from runner.ledger.ledger import Ledger
from runner.ledger.old_runs import Owned
from runner.service import migrate as service
from runner.service.verify import verify

THREAD = "01a1f000-0000-7000-8000-000000000001"
RUN = "20261120-101201-000000-00000001"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Make a state directory of version 0.2 with one run and one waiting prompt."""
    home = tmp_path / "state"
    make(
        home,
        2,
        row_of(record_of(RUN, THREAD, str(home / THREAD / "runs")), THREAD),
        (
            "insert into sessions values (?, null, ?, ?, ?, 'succeeded', null, ?)",
            [THREAD, "2026-11-20T10:12:01.000Z", "2026-11-20T10:12:01.000Z", RUN, RUN],
        ),
        (
            "insert into mail values (1, ?, ?, 'waiting', 'next', null, 0)",
            [THREAD, "2026-11-20T10:13:01.000Z"],
        ),
    )
    (home / THREAD / "mail").mkdir(parents=True)
    (home / THREAD / "mail" / "00000001.prompt").write_text("next")
    return home


@contextlib.contextmanager
def owned(state: Path) -> Iterator[int]:
    """Have an unfinished run on record, and hold the lock of its events meanwhile."""
    logs = state.parent / "logs"
    logs.mkdir()
    process = {"pid": 4_000_000, "start_time": 1, "boot_id": "another"}
    both = {"supervisor": process, "codex": process}
    told = {"state": "running", "ended_at": None, "outcome": None, "processes": both}
    sql, values = row_of(record_of(RUN, THREAD, str(logs), **told), THREAD)
    make(state, 2, (sql, values))
    events = os.open(logs / f"codex-run-{RUN}.events.jsonl", os.O_RDWR | os.O_CREAT)
    fcntl.flock(events, fcntl.LOCK_EX)
    yield events
    with contextlib.suppress(OSError):
        os.close(events)


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def version(path: Path) -> int:
    return int(rows(path, "pragma user_version")[0][0])


def refusal(state: Path) -> str:
    with pytest.raises(RunnerError) as caught:
        Ledger(state)
    return str(caught.value)


def is_untouched(state: Path) -> bool:
    """Tell whether the version before would find everything as it was."""
    waiting = rows(state / "runs.db", "select state from mail")
    triggers = rows(
        state / "runs.db", "select * from sqlite_master where type='trigger'"
    )
    names = [row[1] for row in triggers]
    return (
        version(state / "runs.db") == 2
        and waiting == [("waiting",)]
        and names == ["runs_of_version_1"]
        and not (state / "ledger.db").exists()
    )


# The commit point


def test_the_ledger_takes_the_place_of_the_index(state: Path) -> None:
    Ledger(state).close()

    assert version(state / "ledger.db") == 3
    assert rows(state / "ledger.db", "pragma journal_mode") == [("wal",)]
    assert {path.name for path in state.iterdir()} >= {
        "ledger.db",
        "runs.db",
        "runs.db.schema2",
    }
    assert not list(state.glob("*.new*"))
    for path in (*state.glob("ledger.db*"), *state.glob("runs.db.*")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


def test_the_index_is_closed_and_what_waited_waits_in_the_ledger(state: Path) -> None:
    with contextlib.closing(Ledger(state)) as ledger:
        (prompt,) = ledger.queue.waiting(1)
        assert prompt.text == b"next"

    assert version(state / "runs.db") == 3
    assert rows(state / "runs.db", "select state from mail") == [("skipped",)]
    assert version(state / "runs.db.schema2") == 2
    assert rows(state / "runs.db.schema2", "select state from mail") == [("waiting",)]


@pytest.mark.parametrize(
    "statement",
    [
        "insert into mail values (9, 'x', '', 'waiting', '', null, 0)",
        "delete from mail",
        "delete from runs",
        "insert into runs select 'new', state, '', '', '', '', outcome, '{}' from runs",
        "update sessions set archived_in = 'archive/2026/11/20/x'",
    ],
)
def test_a_program_that_had_opened_the_index_is_refused_in_our_words(
    state: Path, statement: str
) -> None:
    with contextlib.closing(sqlite3.connect(state / "runs.db")) as old:
        old.execute("select * from runs").fetchall()
        Ledger(state).close()

        with pytest.raises(sqlite3.IntegrityError, match="brought to a newer version"):
            old.execute(statement)


def test_it_may_end_what_it_has_begun(state: Path) -> None:
    with contextlib.closing(sqlite3.connect(state / "runs.db")) as old:
        Ledger(state).close()

        old.execute("update runs set record = '{}'")
        old.commit()


@pytest.mark.parametrize(
    "step", ["_save", "_build", "_note_log_dirs", "_close", "_put_in_place"]
)
def test_what_fails_before_the_commit_has_changed_nothing(
    state: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object) -> NoReturn:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(migrate, step, fail)
        if step == "_put_in_place":
            with pytest.raises(OSError, match="Input"):
                Ledger(state)
            assert version(state / "runs.db") == 3
        else:
            assert "Input/output error" in refusal(state)
            assert is_untouched(state)

    with contextlib.closing(Ledger(state)) as ledger:
        assert [prompt.text for prompt in ledger.queue.waiting(1)] == [b"next"]


def test_a_half_made_ledger_is_made_again(state: Path) -> None:
    (state / "ledger.db.new").write_bytes(b"half a ledger")
    (state / "ledger.db.new-journal").write_bytes(b"of a journal")

    Ledger(state).close()

    assert version(state / "ledger.db") == 3


def test_a_lost_ledger_is_never_replaced_by_an_empty_one(state: Path) -> None:
    Ledger(state).close()
    for path in state.glob("ledger.db*"):
        path.unlink()

    assert "codex-tasks verify --repair" in refusal(state)
    (state / "ledger.db.backup").touch()
    assert "codex-tasks verify --repair" in refusal(state)
    (state / "runs.db.restore").touch()
    assert "codex-tasks restore" in refusal(state)
    assert not (state / "ledger.db").exists()


def test_a_lost_ledger_can_be_made_again_and_holds_what_may_be_delivered(
    state: Path,
) -> None:
    Ledger(state).close()
    saved = (state / "runs.db.schema2").read_bytes()
    for path in state.glob("ledger.db*"):
        path.unlink()

    migrate.again(state, state / "ledger.db")

    with contextlib.closing(Ledger(state)) as ledger:
        (prompt,) = ledger.queue.waiting(1)
        assert (prompt.word, prompt.text) == ("held", b"next")
        assert "may have been delivered" in (prompt.detail or "")
    assert (state / "runs.db.schema2").read_bytes() == saved


def test_what_waited_when_it_was_migrated_is_in_no_file_and_is_held_after_a_rebuild(
    state: Path,
) -> None:
    Ledger(state).close()
    database.copy_database(state / "ledger.db", state / "ledger.db.backup")
    for path in (state / "ledger.db", *state.glob("ledger.db-*")):
        path.unlink()
    home = config.load({"CODEX_RUNNER_HOME": str(state), "HOME": "/"})

    assert verify(home, is_repairing=True).differences[0].fixed

    with contextlib.closing(Ledger(state)) as ledger:
        (prompt,) = ledger.queue.waiting(1)
        assert (prompt.word, prompt.text) == ("held", b"next")
        assert "may have been delivered" in (prompt.detail or "")


def test_the_copy_of_an_earlier_attempt_is_kept_where_it_differs(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise OSError(28, "No space left on device")

    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(migrate, "_build", fail)
            refusal(state)
    assert len(list(state.glob("runs.db.schema2*"))) == 1
    with contextlib.closing(sqlite3.connect(state / "runs.db")) as old:
        old.execute("update sessions set title = 'since then'")
        old.commit()

    Ledger(state).close()

    titles = [
        rows(path, "select title from sessions")[0][0]
        for path in sorted(state.glob("runs.db.schema2*"))
    ]
    assert titles == ["since then", None]


# Runs of the version before that are not over


def test_a_run_that_a_supervisor_owns_is_waited_for_and_then_named(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    with owned(state):
        with pytest.raises(MigrationError) as caught:
            migrate.migrate(state, patience=0.1)

        assert caught.value.exit_code == 75
        for word in (
            RUN,
            "codex-tasks migrate, or codex-tasks migrate --stop",
            "migrate --stop",
        ):
            assert word in str(caught.value)
        assert version(state / "runs.db") == 2
        assert {path.name for path in state.iterdir()} <= {
            "runs.db",
            "runs.db-wal",
            "runs.db-shm",
        }


def test_the_migration_goes_on_when_it_has_ended(tmp_path: Path) -> None:
    state = tmp_path / "state"
    told: list[str] = []
    with owned(state) as events:

        def end(runs: Sequence[Owned]) -> None:
            told.extend(run.run_id for run in runs)
            # Others can write while it waits.
            with contextlib.closing(sqlite3.connect(state / "runs.db")) as old:
                old.execute("update runs set repo = '/since'")
                old.commit()
            os.close(events)

        migrate.migrate(state, patience=60, on_wait=end)

    assert told == [RUN]
    with contextlib.closing(Ledger(state)) as ledger:
        assert [run.run_id for run in ledger.runs.unfinished()] == [RUN]


def test_inside_of_a_run_nobody_waits_for_its_own_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PATIENCE_SECONDS", 0.05)
    state = tmp_path / "state"
    told: list[str] = []
    inside = config.load(
        {"CODEX_RUNNER_HOME": str(state), "HOME": "/", config.RUN_MARKER: RUN}
    )

    with owned(state), pytest.raises(MigrationError, match=RUN):
        service.migrate(inside, told.append)

    assert told == [f"waiting for the end of run {RUN}"]


# What it refuses by name, before anything is written


def test_a_network_file_system_is_refused(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_systems, "kind_of", lambda _: "nfs4")

    assert "nfs4 is a network file system" in refusal(state)
    assert is_untouched(state)
    assert not (state / "runs.db.schema2").exists()


def test_a_disk_without_room_is_refused(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "free_bytes", lambda _: 9_000_000)

    told = refusal(state)

    assert "10 MB are needed on its disk, and 9 MB are free (make room there" in told
    assert is_untouched(state)
    assert not (state / "runs.db.schema2").exists()


def test_a_repair_makes_no_ledger_where_the_migration_is_refused(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "free_bytes", lambda _: 9_000_000)
    home = config.load({"CODEX_RUNNER_HOME": str(state), "HOME": "/"})

    with pytest.raises(LedgerFault, match="make room"):
        verify(home, is_repairing=True)

    assert is_untouched(state)


@pytest.mark.parametrize("size", [0, 1, 2])
def test_a_damaged_index_is_not_replaced_by_an_empty_ledger(
    state: Path, size: int
) -> None:
    """A repair of this version cannot know what was in it: the one before can."""
    index = state / "runs.db"
    (state / THREAD / "runs").mkdir()
    whole = index.read_bytes()
    content = [b"", b"garbage " * 4096, whole[:4096] + b"\xa5" * len(whole)][size]
    index.write_bytes(content)
    home = config.load({"CODEX_RUNNER_HOME": str(state), "HOME": "/"})

    for _ in range(2):
        with pytest.raises(LedgerFault, match=r"runs\.db.*with version 0\.2"):
            verify(home, is_repairing=True)
        with pytest.raises(LedgerFault, match=r"with version 0\.2"):
            Ledger(state)

    assert not list(state.glob("ledger.db*"))
    assert index.read_bytes() == content


@pytest.mark.parametrize(
    ("flags", "may_write", "words"),
    [
        (os.ST_RDONLY, True, "its file system is read-only"),
        (0, False, "its directory cannot be written"),
    ],
)
def test_a_place_that_cannot_be_written_is_named(
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    flags: int,
    may_write: bool,
    words: str,
) -> None:
    found = os.statvfs(state)
    fields = [*found[:8], flags, *found[9:]]
    with monkeypatch.context() as patched:
        patched.setattr(os, "statvfs", lambda _: os.statvfs_result(fields))
        patched.setattr(os, "access", lambda *_: may_write)
        told = refusal(state)

    assert words in told
    assert str(state) in told
    assert is_untouched(state)


def test_an_index_of_a_later_version_is_refused(state: Path) -> None:
    with contextlib.closing(sqlite3.connect(state / "runs.db")) as old:
        old.execute("pragma user_version = 4")

    assert "created by a newer version (schema 4)" in refusal(state)
    assert not (state / "ledger.db").exists()


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "runs.db")) as other:
        other.execute("create table notes (text)")

    assert "no index of this suite" in refusal(tmp_path)
    assert rows(tmp_path / "runs.db", "select name from sqlite_master") == [("notes",)]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs.db").write_bytes(b"no database" * 100)

    with pytest.raises(LedgerFault, match="not a database"):
        Ledger(tmp_path)
    assert not (tmp_path / "ledger.db").exists()


def test_the_frozen_directory_is_migrated_when_a_foreign_one_is_called_runs(
    tmp_path: Path,
) -> None:
    state = old_state.extract(tmp_path / "root")
    (state / "runs").mkdir()
    (state / "runs" / "of-somebody-else").write_text("mine")

    with contextlib.closing(Ledger(state)) as ledger:
        assert len(ledger.sessions.all()) == 39
    assert (state / "runs" / "of-somebody-else").read_text() == "mine"
