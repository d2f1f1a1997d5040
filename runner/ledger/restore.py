"""Restore a migrated state directory for the previous version.

`runs.db` gets its content from before the migration, but prompts that were delivered or
canceled since do not wait in it. A restore that is killed has changed nothing, or the
next `codex-tasks restore` completes it: while `runs.db` is closed and there is no
ledger, both versions refuse the directory.
"""

from __future__ import annotations

from parsers.light import closing, contextmanager, sqlite3, suppress
from parsers.struct import Struct, replace
from runner import clock, files
from runner.clock import iso
from runner.errors import LedgerFault, RunnerError
from runner.ledger import database
from runner.ledger.conversion import Places
from runner.ledger.migrate import BEGUN, CLOSED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from parsers.paths import Path

_BUSY_SECONDS = 2.0
_PATIENCE_SECONDS = 60.0


class Restored(Struct):
    """Hold what the previous version does not have.

    `ledger` is the new path of the ledger, `runs` counts the runs since the migration,
    `waiting` the waiting prompts that were sent since. All are unknown when a killed
    restore is completed.
    """

    ledger: Path | None = None
    runs: int = 0
    waiting: int = 0


class RunsAtWorkError(RunnerError):
    """Refuse to restore a state directory with unfinished runs."""

    exit_code = 75
    code = "busy"

    def __init__(self, runs: list[str]) -> None:
        message = f"runs are unfinished: {', '.join(runs)}"
        super().__init__(message, "codex-tasks stop -a")


class NothingToRestoreError(RunnerError):
    """Refuse a state directory that was not migrated, or is already restored."""

    def __init__(self, state_home: Path) -> None:
        super().__init__(
            f"{state_home} was not migrated, or has been restored already",
            database.ELSEWHERE,
        )


def restore(state_home: Path) -> Restored:
    """Restore a state directory for the previous version.

    Raises:
        RunsAtWorkError: runs are not finished; nothing has changed.
        NothingToRestoreError: it was not migrated.
        LedgerFault: one of the databases cannot be used, or other commands use them.
        FileFault: a file cannot be written.
    """
    begun, told = state_home / BEGUN, Restored()
    path = state_home / database.NAME
    if path.exists():
        if not (state_home / database.OLD_BACKUP).exists():
            raise NothingToRestoreError(state_home)
        away = path.with_name(f"{path.name}.{iso(clock.now()).replace(':', '')}.bak")
        with _alone(path) as ledger:
            told = replace(_make_index(state_home, ledger), ledger=away)
            # From here on both versions refuse the directory.
            path.rename(away)
            files.sync(state_home)
    elif not begun.exists():
        raise NothingToRestoreError(state_home)
    _write_back(state_home)
    files.remove([begun])
    return told


@contextmanager
def _alone(path: Path) -> Iterator[sqlite3.Connection]:
    """Lock the ledger exclusively, and merge its write-ahead log."""
    db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    with database.guarded(path), closing(db):
        try:
            # This merges the write-ahead log; SQLite allows it only for the last user.
            db.execute("pragma journal_mode = delete")
            db.execute("begin exclusive")
        except sqlite3.OperationalError as error:
            fix = "when no other command uses it: codex-tasks restore"
            raise LedgerFault(path, str(error), fix) from error
        try:
            yield db
        finally:
            db.execute("rollback")
            if path.exists():
                db.execute("pragma journal_mode = wal")


def _make_index(state_home: Path, ledger: sqlite3.Connection) -> Restored:
    """Create the database for the previous version, under a temporary name."""
    unfinished = "select run_id from runs where state <> 'finished' order by run_id"
    if runs := [run_id for (run_id,) in ledger.execute(unfinished)]:
        raise RunsAtWorkError(runs)
    copy = state_home / f"{BEGUN}.new"
    database.copy_database(state_home / database.OLD_BACKUP, copy)
    with closing(sqlite3.connect(copy, isolation_level=None)) as db:
        last = _settle_prompts(db, ledger, state_home)
        known = {run_id for (run_id,) in db.execute("select run_id from runs")}
    copy.replace(state_home / BEGUN)
    now = {run_id for (run_id,) in ledger.execute("select run_id from runs")}
    waiting = ledger.execute(
        "select count(*) from prompts where state in ('queued', 'parked') and id > ?",
        (last,),
    )
    return Restored(runs=len(now - known), waiting=waiting.fetchone()[0])


def _settle_prompts(
    db: sqlite3.Connection, ledger: sqlite3.Connection, state_home: Path
) -> int:
    """Update the prompts that waited at the migration; return the last number."""
    if not db.execute("select 1 from sqlite_master where name = 'mail'").fetchone():
        return 0  # schema 1
    # Prompts that no longer wait, and the runs that delivered them.
    now = {
        number: (waits, run_id)
        for number, waits, run_id in ledger.execute(
            "select id, state in ('queued', 'parked'),"
            " iif(begun or state <> 'canceled', (select run_id from runs"
            "  where prompt = prompts.id order by ordinal desc limit 1), null)"
            " from prompts"
        )
    }
    db.execute("begin")
    places = Places(state_home)
    for mail_id, key, archived_in in db.execute(
        "select mail_id, m.session_id, archived_in from mail m"
        " left join sessions s on s.session_id = m.session_id where state = 'waiting'"
    ).fetchall():
        waits, run_id = now.get(mail_id, (False, None))
        if waits:
            continue
        db.execute(
            "update mail set state = ?, run_id = ? where mail_id = ?",
            ("delivered" if run_id else "skipped", run_id, mail_id),
        )
        # The previous version's verify --repair also uses the names of the files.
        if (place := places.of_session(key, archived_in)) is not None:
            path = state_home / place / "mail" / f"{mail_id:08d}.prompt"
            with suppress(OSError):
                path.rename(path.with_suffix(".skipped"))
    db.execute("commit")
    sql = "select max(seq) from sqlite_sequence where name = 'mail'"
    return int(db.execute(sql).fetchone()[0] or 0)


def _write_back(state_home: Path) -> None:
    """Write a whole database into `runs.db`, in one transaction.

    A copy of the file would be overwritten from the write-ahead log of `runs.db`.
    """
    index = state_home / database.OLD
    with database.guarded(index):
        old = sqlite3.connect(state_home / BEGUN)
        db = sqlite3.connect(index, timeout=_PATIENCE_SECONDS)
        with closing(old), closing(db):
            if db.execute("pragma user_version").fetchone()[0] != CLOSED:
                raise NothingToRestoreError(state_home)
            db.execute("pragma synchronous = full")
            old.backup(db)
            db.execute("pragma journal_mode = wal")
