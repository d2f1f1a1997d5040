"""The ledger of runs: each record is in the index and in the run's meta file.

The one invariant: both are written in one transaction whose update names the state
that was read, so of two writers exactly one wins and the file is the winner's.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from pathlib import Path

from runner import artifacts, record
from runner.errors import LedgerFault, NoSuchRunError, StaleStateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.model import Event, Run, SessionId

_SCHEMA_VERSION = 1
# Fifty commands that start at once wait for each other's fsync, not for a lock
# that is lost; a disk that takes longer than this is reported as a fault.
_BUSY_SECONDS = 60.0


class Ledger:
    """Open the index of a state directory, making both when they are missing.

    Raises:
        FileFault: the state directory cannot be made.
        LedgerFault: the database cannot be opened or is of a newer suite.
    """

    def __init__(self, state_home: Path) -> None:
        artifacts.make_directory(
            state_home, "CODEX_RUNNER_HOME names another state directory"
        )
        self._path = state_home / "runs.db"
        self._db = self._open()

    def close(self) -> None:
        self._db.close()

    def prepare(self, run: Run) -> None:
        """Put a new run on record, in the index and as its meta file.

        Raises:
            FileFault: the meta file cannot be written.
            LedgerFault: the index cannot be written.
        """
        with self._transaction() as db:
            db.execute("insert into runs values (?, ?, ?, ?, ?, ?, ?, ?)", _row(run))
            _write_meta(run)

    def advance(self, run: Run, event: Event) -> Run:
        """Carry a run to its next state.

        Raises:
            StaleStateError: somebody else has carried it on since it was read.
            FileFault: the meta file cannot be written.
            LedgerFault: the index cannot be written.
        """
        return self.store(run, run.advanced(event))

    def store(self, was: Run, now: Run, *, with_meta: bool = True) -> Run:
        """Put a run on record as it is now, if it still is in the state that it was.

        Args:
            was: the run as it was read.
            now: the run as it is.
            with_meta: write its meta file too; a verdict whose meta file cannot be
                written is better in the index alone than nowhere.

        Raises:
            StaleStateError, FileFault, LedgerFault: as `advance`.
        """
        run_id, state, *rest = _row(now)
        with self._transaction() as db:
            changed = db.execute(
                "update runs set state = ?, session_id = ?, repo = ?, prepared_at = ?,"
                " ended_at = ?, outcome = ?, record = ? where run_id = ? and state = ?",
                (state, *rest, run_id, _state_of(was)),
            ).rowcount
            if not changed:
                raise StaleStateError(now.run_id, _state_of(was))
            if with_meta:
                _write_meta(now)
        return now

    def find(self, run_id: str) -> Run:
        """Return the run of this id.

        Raises:
            NoSuchRunError: the index does not know it.
        """
        row = self._query("select record from runs where run_id = ?", run_id)
        if not row:
            raise NoSuchRunError(run_id, str(self._path))
        return row[0]

    def of_session(self, session_id: SessionId) -> list[Run]:
        """Return the runs on a session, the oldest first."""
        return self._query(
            "select record from runs where session_id = ? order by run_id", session_id
        )

    def unfinished(self) -> list[Run]:
        """Return the runs that no one has judged yet, the oldest first."""
        return self._query(
            "select record from runs where state <> 'finished' order by run_id"
        )

    def adopt(self, run: Run) -> Run:
        """Take a run into the index that only its meta file knows.

        Raises:
            LedgerFault: the index cannot be written.
        """
        with self._transaction() as db:
            db.execute(
                "insert or ignore into runs values (?, ?, ?, ?, ?, ?, ?, ?)", _row(run)
            )
        return self.find(run.run_id)

    def _query(self, sql: str, *values: str) -> list[Run]:
        try:
            rows = self._db.execute(sql, values).fetchall()
        except UnicodeEncodeError:
            return []  # stray bytes of a command line: no id of ours
        except sqlite3.Error as error:
            raise LedgerFault(self._path, str(error)) from error
        return [record.from_json(json.loads(text)) for (text,) in rows]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._db.execute("begin immediate")
            try:
                yield self._db
            except BaseException:
                self._db.execute("rollback")
                raise
            self._db.execute("commit")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("rollback")
            raise LedgerFault(self._path, str(error)) from error

    def _open(self) -> sqlite3.Connection:
        try:
            artifacts.touch(self._path)
            db = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None
            )
            # The meta files are synced one by one, and the index can be made anew
            # from them: a power cut may cost it its last rows, not its consistency.
            db.execute("pragma synchronous = normal")
            _migrate(db, self._path)
        except sqlite3.Error as error:
            raise LedgerFault(self._path, str(error)) from error
        return db


def write_meta_only(run: Run) -> None:
    """Write a verdict to the meta file when the index cannot take it.

    The next reader finds it there and brings the index up to it.

    Raises:
        FileFault: the disk refuses that too.
    """
    _write_meta(run)


def read_meta(path: Path) -> Run | None:
    """Read a run back from its meta file; None when there is none to be read.

    Raises:
        DamagedRecordError: the file holds no record of this suite.
    """
    try:
        text = path.read_bytes()
    except OSError:
        return None
    try:
        data = json.loads(text)
    except ValueError as error:
        raise record.DamagedRecordError(path.name, str(error)) from error
    return record.from_json(data if isinstance(data, dict) else {})


def _write_meta(run: Run) -> None:
    artifacts.replace(
        record.files_of(run.spec).meta, record.encode(record.to_json(run), indent=2)
    )


def _row(run: Run) -> tuple[str | None, ...]:
    data = record.to_json(run)
    return (
        run.run_id,
        _state_of(run),
        run.session,
        os.fsencode(run.spec.repo).decode(errors="replace"),
        str(data["prepared_at"]),
        None if data["ended_at"] is None else str(data["ended_at"]),
        None if data["outcome"] is None else str(data["outcome"]),
        json.dumps(data, ensure_ascii=True),
    )


def _state_of(run: Run) -> str:
    return type(run.state).__name__.lower()


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    (version,) = db.execute("pragma user_version").fetchone()
    if version == _SCHEMA_VERSION:
        return
    if version > _SCHEMA_VERSION:
        raise LedgerFault(path, f"it was made by a newer version (schema {version})")
    # Kept in the file: only the first command ever has to switch it on.
    db.execute("pragma journal_mode = wal")
    db.execute("begin immediate")
    (version,) = db.execute("pragma user_version").fetchone()
    if version == 0:
        schema = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")
        for statement in schema.split(";\n"):
            if statement.strip():
                db.execute(statement)
        db.execute(f"pragma user_version = {_SCHEMA_VERSION}")
    db.execute("commit")
