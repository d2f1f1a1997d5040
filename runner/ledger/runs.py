"""The ledger of runs: each record is in the index and in the run's meta file.

The one invariant: both are written in one transaction whose update names the state
that was read, so of two writers exactly one wins and the file is the winner's. What
follows from a run for its session, its mailbox and the usage is in the same one.
"""

from __future__ import annotations

import contextlib
import json

from parsers.struct import replace
from runner import files
from runner.errors import (
    AlreadyDeliveredError,
    NoSuchRunError,
    RunnerError,
    SessionBusyError,
    StaleStateError,
)
from runner.ledger import record
from runner.ledger.database import Database, clean
from runner.ledger.queue import Mailboxes
from runner.ledger.sessions import IS_MEANT, Sessions
from runner.model import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from runner.ledger.database import Cell
    from runner.model import Event, Run, SessionId

_COLUMNS = "state, session_id, repo, prepared_at, ended_at, outcome, record"


class Ledger:
    """Open the ledger of a state directory, making both when they are missing.

    Raises:
        FileFault: the state directory cannot be made.
        LedgerFault: the database cannot be opened or is of a newer suite.
    """

    def __init__(self, state_home: Path) -> None:
        self.database = Database(state_home, _count_all)
        self.sessions = Sessions(self.database)
        self.mail = Mailboxes(self.database)

    def close(self) -> None:
        self.database.close()

    def prepare(self, run: Run, *, title: str | None = None) -> None:
        """Put a new run on record, in the index and as its meta file.

        A run that delivers a prompt of a mailbox takes it out in the same moment.

        Args:
            run: the run.
            title: the name of the session that it opens.

        Raises:
            AlreadyDeliveredError: somebody else has delivered its prompt.
            FileFault: the meta file cannot be written.
            LedgerFault: the index cannot be written.
        """
        mail_id = run.spec.mail_id
        with self.database.transaction(is_durable=mail_id is not None) as db:
            _insert(db, run)
            self.sessions.note(db, run, title=title)
            if mail_id is not None and not self.mail.deliver(db, run):
                raise AlreadyDeliveredError(mail_id)
            write_meta(run)

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
        run_id, *row = _row(now)
        changes = ", ".join(f"{name} = ?" for name in _COLUMNS.split(", "))
        with self.database.transaction() as db:
            changed = db.execute(
                f"update runs set {changes} where run_id = ? and state = ?",  # noqa: S608 - names of columns
                (*row, run_id, _state_of(was)),
            ).rowcount
            if not changed:
                raise StaleStateError(now.run_id, _state_of(was))
            self.sessions.note(db, now, was=was.key)
            if now.is_finished:
                _note_usage(db, now)
            if now.outcome is Outcome.NOT_STARTED and now.spec.mail_id is not None:
                # Codex has never seen the prompt: it waits again, where it stood.
                self.mail.put_back(db, now.spec.mail_id, now.run_id)
            if with_meta:
                write_meta(now)
        return now

    def find(self, run_id: str) -> Run:
        """Return the run of this id.

        Raises:
            NoSuchRunError: the index does not know it.
        """
        found = self._runs("run_id = ?", run_id)
        if not found:
            raise NoSuchRunError(run_id, str(self.database.path))
        return found[0]

    def of_session(self, session_id: SessionId | str) -> list[Run]:
        """Return the runs on a session, in the order in which they had it.

        A run id stands for the session that the run is on, here and below: who knows
        no other need not ask first whether Codex has named it meanwhile.
        """
        found = self._runs(IS_MEANT, session_id)
        return sorted(found, key=lambda run: run.place)

    def last_of(self, session_id: str) -> Run | None:
        """Return the run that tells how a session stands (`succession.last_of`)."""
        sql = f"run_id = (select last_run from sessions where {IS_MEANT})"  # noqa: S608 - ours
        return next(iter(self._runs(sql, session_id)), None)

    def unfinished(self) -> list[Run]:
        """Return the runs that no one has judged yet, the oldest first."""
        return self._runs("state <> 'finished'")

    def unfinished_of(self, session_id: SessionId | str) -> list[Run]:
        """Return the runs on a session that no one has judged yet, the oldest first."""
        return self._runs(f"{IS_MEANT} and state <> 'finished'", session_id)

    def ids_of(self, session_id: SessionId | str) -> list[str]:
        """Return the ids of the runs on a session, sorted."""
        sql = "select run_id from runs where session_id = ? order by run_id"
        return [str(run_id) for (run_id,) in self.database.rows(sql, session_id)]

    def is_source(self, path: Path) -> bool:
        """Tell whether runs were imported from here and lie elsewhere now."""
        sql = (
            "select 1 from runs"
            " where json_extract(record, '$.accounts.imported.source') = ? limit 1"
        )
        return bool(self.database.rows(sql, str(path)))

    def is_empty(self) -> bool:
        """Tell whether it has no run, nor what one that was removed has used."""
        sql = "select 1 from runs union all select 1 from usage limit 1"
        return not self.database.rows(sql)

    def known(self) -> dict[str, str]:
        """Return the ids of all runs, the oldest first, and the session of each."""
        rows = self.database.rows("select run_id, session_id from runs order by run_id")
        return {str(run_id): str(session_id) for run_id, session_id in rows}

    def adopt(
        self,
        run: Run,
        *,
        title: str | None = None,
        archived_in: str | None = None,
        anew: bool = False,
    ) -> Run:
        """Take a run into the index that only its meta file knows.

        Args:
            run: the run.
            title: the name of its session, if the index does not know that either.
            archived_in: where that lies then.
            anew: replace the row that there is, which cannot be read.

        Raises:
            LedgerFault: the index cannot be written.
        """
        with self.database.transaction() as db:
            is_new = self.sessions.find(run.key) is None
            if _insert(db, run, "or replace" if anew else "or ignore"):
                self.sessions.note(db, run, title=title)
                if is_new:
                    self.sessions.place(db, run.key, archived_in)
                if run.is_finished:
                    _note_usage(db, run)
                if run.spec.mail_id and run.outcome is not Outcome.NOT_STARTED:
                    self.mail.deliver(db, run)
        return self.find(run.run_id)

    def recount(self, session_id: str) -> None:
        """Make the row of a session anew from its runs.

        It keeps title and place, and when something else last happened to it.

        Raises:
            LedgerFault: the index cannot be written.
        """
        with self.database.transaction() as db:
            was = self.sessions.find(session_id)
            db.execute("delete from sessions where session_id = ?", (session_id,))
            for run in self.of_session(session_id):
                self.sessions.note(db, run, title=was.title if was else None)
            self.sessions.place(db, session_id, was.archived_in if was else None)
            db.execute(
                "update sessions set updated_at = max(updated_at, ?)"
                " where session_id = ?",
                (was.updated_at if was else "", session_id),
            )

    def move(
        self,
        session_id: str,
        archived_in: str | None,
        runs: list[Run],
        moving: AbstractContextManager[None],
    ) -> int:
        """Put a session elsewhere, in the moment in which its directory is renamed.

        Args:
            session_id: the session.
            archived_in: its directory below the state directory, None to use it again.
            runs: its runs, as they are when their files have moved.
            moving: moves the directory, and back when its block fails.

        Returns:
            How many prompts wait for it; if any do, nothing has been moved.

        Raises:
            SessionBusyError: a run on it is not over.
            FileFault: the directory cannot be moved.
            LedgerFault: the index cannot be written.
        """
        with self.database.transaction() as db:
            self._refuse_living(session_id)
            if waiting := len(self.mail.waiting(session_id)):
                return waiting
            self.sessions.place(db, session_id, archived_in)
            self._relocate(db, runs)
            with moving:
                # It is back before anybody else can look for it.
                db.execute("commit")
        return 0

    def remove(
        self, session_id: str, putting_aside: AbstractContextManager[None]
    ) -> int:
        """Take a session out of the index, in the moment in which its files go.

        Args:
            session_id: the session.
            putting_aside: moves its directory away, and back when its block fails.

        Returns:
            How many prompts wait for it; if any do, nothing has been removed.

        Raises:
            SessionBusyError: a run on it is not over.
            FileFault: the directory cannot be moved.
            LedgerFault: the index cannot be written.
        """
        with self.database.transaction() as db:
            self._refuse_living(session_id)
            if waiting := len(self.mail.waiting(session_id)):
                return waiting
            self.sessions.take_out(db, session_id)
            with putting_aside:
                db.execute("commit")
        return 0

    def relocate(self, runs: list[Run]) -> None:
        """Put on record where the files of runs lie now that their session has moved.

        Raises:
            LedgerFault: the index cannot be written.
        """
        with self.database.transaction() as db:
            self._relocate(db, runs)

    def add_warnings(self, run_id: str, warnings: Iterable[str]) -> None:
        """Add to the record of a finished run what went wrong since, wherever it lies.

        Raises:
            NoSuchRunError: it has been removed.
            FileFault, LedgerFault: as `prepare`.
        """
        with self.database.transaction() as db:
            # Whoever was about to move its session has been waited for.
            run = self.find(run_id).with_warnings(warnings)
            _note_record(db, run)
            write_meta(run)

    def _relocate(self, db: sqlite3.Connection, runs: list[Run]) -> None:
        for run in runs:
            # What has been added to its record since it was read stays there.
            for now in self._runs("run_id = ?", run.run_id):
                place = replace(now.spec, log_dir=run.spec.log_dir)
                _note_record(db, replace(now, spec=place))

    def _refuse_living(self, session_id: str) -> None:
        """Refuse to put away a session that somebody has prepared a run for."""
        if unfinished := self.unfinished_of(session_id):
            holder = unfinished[0].run_id
            raise SessionBusyError(session_id, holder, "codex-tasks stop ends it")

    def _runs(self, condition: str, *values: str) -> list[Run]:
        sql = f"select record from runs where {condition} order by run_id"  # noqa: S608 - see the callers
        rows = self.database.rows(sql, *values)
        return [record.from_json(json.loads(str(text))) for (text,) in rows]


def read_meta(path: Path) -> Run | None:
    """Read a run back from its meta file; None when there is none.

    Raises:
        DamagedRecordError: what is there is no record of this suite.
    """
    try:
        data = json.loads(files.read_bytes(path))
    except (OSError, ValueError, RecursionError) as error:
        if files.status(path) is None:
            return None  # also under a name that no file can have
        raise record.DamagedRecordError(path.name, str(error)) from error
    return record.from_json(data if isinstance(data, dict) else {})


def write_meta(run: Run) -> None:
    """Write the meta file of a run.

    Alone it is the last resort for a verdict that the index cannot take: the next
    reader finds it there and brings the index up to it.

    Raises:
        FileFault: the disk refuses that too.
    """
    files.replace(
        record.files_of(run.spec).meta, record.encode(record.to_json(run), indent=2)
    )


def _note_usage(db: sqlite3.Connection, run: Run) -> None:
    from runner.ledger.usage import record_run  # noqa: PLC0415 - not before a run is over

    record_run(db, run)


def _count_all(db: sqlite3.Connection) -> None:
    """Count the runs of an older index, which had no rows for that."""
    for (text,) in db.execute("select record from runs where state = 'finished'"):
        # A record that cannot be read is for `verify` to name.
        with contextlib.suppress(RunnerError, ValueError, TypeError):
            _note_usage(db, record.from_json(json.loads(text)))


def _note_record(db: sqlite3.Connection, run: Run) -> None:
    db.execute(
        "update runs set record = ? where run_id = ?",
        (json.dumps(record.to_json(run)), run.run_id),
    )


def _insert(db: sqlite3.Connection, run: Run, otherwise: str = "") -> int:
    sql = f"insert {otherwise} into runs (run_id, {_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608, E501 - names of columns
    return db.execute(sql, _row(run)).rowcount


def _row(run: Run) -> tuple[Cell, ...]:
    data = record.to_json(run)
    return (
        run.run_id,
        _state_of(run),
        run.key,
        clean(run.spec.repo),
        str(data["prepared_at"]),
        None if data["ended_at"] is None else str(data["ended_at"]),
        run.outcome,
        json.dumps(data, ensure_ascii=True),
    )


def _state_of(run: Run) -> str:
    return type(run.state).__name__.lower()
