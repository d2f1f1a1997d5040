"""A migrated state directory can be given back to the version before."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any, NoReturn

import pytest
from support import old_state

from runner import clock, config
from runner.errors import LedgerFault, UsageError
from runner.ledger import restore
from runner.ledger.ledger import Ledger
from runner.ledger.restore import NothingToRestoreError, RunsAtWorkError
from runner.service import migrate as service

HELD = "01a1f000-0000-7000-8000-000000000005"
LIVING = "01a1f000-0000-7000-8000-000000000018"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Make the frozen state directory, migrated, with nothing unfinished."""
    home = old_state.extract(tmp_path / "root")
    ledger = Ledger(home)
    with ledger.transaction():
        ledger._db.execute(
            "update runs set state = 'finished', outcome = 'lost', exit_code = 1,"
            " ended_at = prepared_at where state <> 'finished'"
        )
    ledger.close()
    return home


def settings(state: Path) -> config.Config:
    return config.load({"CODEX_RUNNER_HOME": str(state), "HOME": str(state.parent)})


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def dump(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        return [*db.iterdump()]


def change(state: Path, sql: str) -> None:
    with contextlib.closing(sqlite3.connect(state / "ledger.db")) as db:
        db.execute(sql)
        db.commit()


def test_the_index_is_what_it_was(state: Path) -> None:
    saved = dump(state / "runs.db.schema2")

    told = restore.restore(state)

    assert dump(state / "runs.db") == saved
    assert rows(state / "runs.db", "pragma user_version") == [(2,)]
    assert rows(state / "runs.db", "pragma journal_mode") == [("wal",)]
    assert not (state / "ledger.db").exists()
    assert told.ledger is not None
    assert rows(told.ledger, "pragma user_version") == [(3,)]
    assert (told.runs, told.waiting) == (0, 0)
    assert not list(state.glob("runs.db.restore*"))


def test_what_was_delivered_or_canceled_since_does_not_wait_again(state: Path) -> None:
    change(
        state,
        "update prompts set state = 'canceled', reason = 'stopped', hold = null,"
        " ended_at = queued_at where id = 2",
    )
    change(
        state,
        "update prompts set state = 'done', reason = 'succeeded', begun = 1,"
        " ended_at = queued_at where id = 7",
    )
    change(
        state,
        "insert into runs (run_id, session, ordinal, prompt, state, outcome, directory,"
        " layout, prepared_at, ended_at) select 'since', session, 99, 7, 'finished',"
        " 'succeeded', x'', 3, queued_at, queued_at from prompts where id = 7",
    )
    change(state, "delete from prompts where id = 5")

    told = restore.restore(state)

    found = rows(state / "runs.db", "select mail_id, state, run_id from mail")
    assert found == [
        (1, "skipped", None),
        (2, "skipped", None),
        (3, "waiting", None),
        (4, "waiting", None),
        (5, "skipped", None),
        (6, "waiting", None),
        (7, "delivered", "since"),
        (8, "waiting", None),
        (9, "waiting", None),
    ]
    # The version before goes by the names of the files too.
    assert [path.name for path in sorted((state / HELD / "mail").iterdir())] == [
        "00000002.skipped",
        "00000003.prompt",
        "00000004.prompt",
    ]
    assert (state / LIVING / "mail" / "00000007.skipped").exists()
    assert (told.runs, told.waiting) == (1, 0)


def test_prompts_that_were_sent_since_are_counted(state: Path) -> None:
    ledger = Ledger(state)
    ledger.queue.add(1, b"since then", "since then", clock.now())
    ledger.close()

    assert restore.restore(state).waiting == 1


def test_it_can_be_migrated_again(state: Path) -> None:
    restore.restore(state)

    with contextlib.closing(Ledger(state)) as ledger:
        assert len(ledger.sessions.all()) == 39
    assert service.restore(settings(state)).ledger is not None


def test_it_is_refused_while_runs_are_not_over(state: Path) -> None:
    change(
        state,
        "update runs set state = 'running', outcome = null, ended_at = null"
        " where run_id = '20261130-035925-932805-08897fdc'",
    )

    with pytest.raises(RunsAtWorkError, match="20261130-035925-932805-08897fdc"):
        restore.restore(state)

    assert rows(state / "ledger.db", "pragma journal_mode") == [("wal",)]
    assert rows(state / "runs.db", "pragma user_version") == [(3,)]


def test_it_is_refused_while_another_command_uses_the_ledger(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore, "_BUSY_SECONDS", 0.05)
    with contextlib.closing(Ledger(state)) as ledger:
        ledger.sessions.all()
        with pytest.raises(LedgerFault, match="when no other command uses it"):
            restore.restore(state)

    assert (state / "ledger.db").exists()
    assert rows(state / "runs.db", "pragma user_version") == [(3,)]


def test_it_is_refused_where_nothing_was_migrated(tmp_path: Path) -> None:
    Ledger(tmp_path / "new").close()
    with pytest.raises(NothingToRestoreError):
        restore.restore(tmp_path / "new")

    old = old_state.extract(tmp_path / "root")
    with pytest.raises(NothingToRestoreError):
        restore.restore(old)
    assert rows(old / "runs.db", "pragma user_version") == [(2,)]


def test_one_that_was_killed_is_ended_by_the_next(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = dump(state / "runs.db.schema2")

    def die(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(restore, "_write_back", die)
        with pytest.raises(KeyboardInterrupt):
            restore.restore(state)
    # Neither version takes the directory for its own.
    with pytest.raises(LedgerFault, match="codex-tasks restore"):
        Ledger(state)
    assert rows(state / "runs.db", "pragma user_version") == [(3,)]

    restore.restore(state)

    assert dump(state / "runs.db") == saved
    with pytest.raises(NothingToRestoreError):
        restore.restore(state)


def test_what_was_left_behind_is_judged_first(tmp_path: Path) -> None:
    home = old_state.extract(tmp_path / "root")
    Ledger(home).close()

    told = service.restore(settings(home))

    assert told.ledger is not None
    judged = "select count(*) from runs where state <> 'finished'"
    assert rows(told.ledger, judged) == [(0,)]


def test_it_is_refused_inside_a_run(state: Path) -> None:
    inside = config.load(
        {
            "CODEX_RUNNER_HOME": str(state),
            "HOME": str(state.parent),
            config.RUN_MARKER: "20261130-035925-932805-08897fdc",
        }
    )

    with pytest.raises(UsageError):
        service.restore(inside)
    assert (state / "ledger.db").exists()


def test_migrate_counts_what_it_has_taken_over(tmp_path: Path) -> None:
    home = old_state.extract(tmp_path / "root")

    done = service.migrate(settings(home), lambda _: None)
    again = service.migrate(settings(home), lambda _: None)

    assert done is not None
    assert (done.sessions, done.runs, done.waiting) == (39, 55, 8)
    assert done.is_new
    assert len(done.notes) == 6
    assert again is not None
    assert not again.is_new


def test_migrate_makes_nothing_where_there_is_nothing(tmp_path: Path) -> None:
    assert service.migrate(settings(tmp_path / "state"), lambda _: None) is None
    assert not (tmp_path / "state").exists()
