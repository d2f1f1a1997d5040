"""The rows of mailboxes: prompts that wait for their session, and what became of them.

A prompt leaves `waiting` in the transaction that puts its run on record, so it is
never delivered twice and never lost in between.
"""

from __future__ import annotations

from parsers.struct import Struct, replace
from runner.clock import iso
from runner.errors import ArchivedError, NoSuchTaskError
from runner.ledger.sessions import IS_MEANT
from runner.prompt.read import is_quit

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from datetime import datetime

    from runner.ledger.database import Cell, Database
    from runner.model import Run

_COLUMNS = "mail_id, session_id, queued_at, state, task, run_id, attempts"
_INTO = f"into mail ({_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?)"
_LAST = "select coalesce(max(seq), 0) from sqlite_sequence where name = 'mail'"
# In an index that was made anew only the runs know which numbers were used.
_DELIVERED = (
    "select max(json_extract(record, '$.request.mail_id')) from runs"
    " where session_id = ?"
)
_UNFINISHED = f"select run_id from runs where {IS_MEANT} and state <> 'finished'"  # noqa: S608 - ours
_ARCHIVED_IN = "select archived_in from sessions where session_id = ?"


class Mail(Struct, kw_only=False):
    """Hold one prompt of a mailbox.

    `state` is waiting, delivered or skipped; `task` a preview of the prompt; `attempts`
    how many runs were prepared for it whose Codex never started.
    """

    mail_id: int
    session_id: str
    queued_at: str
    state: str
    task: str
    run_id: str | None
    attempts: int

    @property
    def is_quit(self) -> bool:
        """Tell whether it ends the session instead of being given to Codex."""
        return is_quit(self.task.encode(errors="replace"))


class Skipped(Struct):
    """Hold what has been skipped, and which runs on the session were not over then."""

    prompts: tuple[Mail, ...]
    unfinished: frozenset[str]


class Mailboxes:
    """Read and write the rows of all mailboxes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self,
        session_id: str,
        task: str,
        at: datetime,
        write: Callable[[int], None],
        *,
        above: int = 0,
    ) -> int:
        """Add a prompt to a mailbox and return its number; on the disk before that.

        Args:
            session_id: whose mailbox.
            task: a preview of the prompt.
            at: when it was queued.
            write: writes the prompt's file, whose name is told by the number.
            above: a number that its own must exceed.

        Raises:
            ArchivedError: the session has been put away.
            NoSuchTaskError: there is none of this id any more.
            FileFault: the file cannot be written; nothing is queued.
            LedgerFault: the index cannot be written.
        """
        with self._database.transaction(is_durable=True) as db:
            found = db.execute(_ARCHIVED_IN, (session_id,)).fetchone()
            if found is None:
                # Removed, or known by its thread since a moment ago.
                raise NoSuchTaskError(session_id)
            if found != (None,):
                raise ArchivedError(session_id)
            mail_id = _next(db, session_id, above)
            db.execute(
                "insert into mail (mail_id, session_id, queued_at, state, task)"
                " values (?, ?, ?, 'waiting', ?)",
                (mail_id, session_id, iso(at), task),
            )
            write(mail_id)
        return mail_id

    def find(self, mail_id: int) -> Mail | None:
        """Return the prompt of a number, whose session may be any."""
        return next(iter(self._of("mail_id = ?", mail_id)), None)

    def waiting(self, session_id: str) -> list[Mail]:
        """Return what waits for a session, in the order of the queue."""
        return self._of(f"{IS_MEANT} and state = 'waiting'", session_id)

    def of_session(self, session_id: str) -> list[Mail]:
        """Return all that ever was in a session's mailbox."""
        return self._of(IS_MEANT, session_id)

    def skipped(self, session_id: str) -> int:
        """Return how many prompts for a session were never delivered, on purpose.

        One that ends the session is not for Codex: it is not among them.
        """
        skipped = self._of(f"{IS_MEANT} and state = 'skipped'", session_id)
        return sum(not mail.is_quit for mail in skipped)

    def counts(self) -> dict[str, int]:
        """Return how many prompts wait, for each session that has any."""
        rows = self._database.rows(
            "select session_id, count(*) from mail where state = 'waiting'"
            " group by session_id"
        )
        return {str(session): int(str(count)) for session, count in rows}

    def deliver(self, db: sqlite3.Connection, run: Run) -> bool:
        """Give a run the waiting prompt that it delivers; tell whether it still waited.

        A number alone may be another session's, of another state directory.
        """
        return bool(
            db.execute(
                "update mail set state = 'delivered', run_id = ?"
                " where mail_id = ? and session_id = ? and state = 'waiting'",
                (run.run_id, run.spec.mail_id, run.key),
            ).rowcount
        )

    def put_back(self, db: sqlite3.Connection, mail_id: int, run_id: str) -> None:
        """Let the prompt of a run that never came to be wait again."""
        db.execute(
            "update mail set state = 'waiting', run_id = null,"
            " attempts = attempts + 1 where mail_id = ? and run_id = ?",
            (mail_id, run_id),
        )

    def last(self, session_id: str) -> int:
        """Return the number of the newest prompt for a session, 0 without any."""
        return max((mail.mail_id for mail in self.of_session(session_id)), default=0)

    def skip(
        self, session_id: str, mark: Callable[[Mail], None], up_to: int | None = None
    ) -> Skipped:
        """Mark what waits for a session as skipped, and return it.

        Args:
            session_id: whose mailbox.
            mark: marks the file of a prompt too, in the same transaction.
            up_to: the number of the last prompt that is meant, None for all.

        Raises:
            LedgerFault: the index cannot be written.
        """
        with self._database.transaction(is_durable=True) as db:
            waiting = self.waiting(session_id)
            meant = [m for m in waiting if up_to is None or m.mail_id <= up_to]
            db.executemany(
                "update mail set state = 'skipped' where mail_id = ?",
                [(mail.mail_id,) for mail in meant],
            )
            for mail in meant:
                mark(mail)
            runs = db.execute(_UNFINISHED, (session_id,)).fetchall()
        return Skipped(
            prompts=tuple(meant), unfinished=frozenset(run_id for (run_id,) in runs)
        )

    def restore(self, mail: Mail) -> None:
        """Put a prompt into the index as its file and the runs tell of it.

        A number that is another session's stays with that.

        Raises:
            LedgerFault: the index cannot be written.
        """
        with self._database.transaction(is_durable=True) as db:
            db.execute(
                f"insert {_INTO} on conflict (mail_id) do update"
                " set state = excluded.state, run_id = excluded.run_id"
                " where session_id = excluded.session_id",
                _row(mail),
            )

    def restore_anew(
        self, mail: Mail, move: Callable[[int], None], *, above: int = 0
    ) -> None:
        """Put a prompt into the index under a new number: its own is taken elsewhere.

        Args:
            mail: the prompt.
            move: gives its file the name of the new number, in the same transaction.
            above: a number that the new one must exceed.

        Raises:
            LedgerFault: the index cannot be written.
        """
        with self._database.transaction(is_durable=True) as db:
            mail_id = _next(db, mail.session_id, above)
            db.execute(f"insert {_INTO}", _row(replace(mail, mail_id=mail_id)))
            move(mail_id)

    def _of(self, condition: str, value: Cell) -> list[Mail]:
        rows = self._database.rows(
            f"select {_COLUMNS} from mail where {condition} order by mail_id",  # noqa: S608 - see the callers
            value,
        )
        return [Mail(*row) for row in rows]  # type: ignore[arg-type] # as the schema says


def _next(db: sqlite3.Connection, session_id: str, above: int) -> int:
    """Return a number that no prompt of the session has had, and none of the index."""
    (last,) = db.execute(_LAST).fetchone()
    (delivered,) = db.execute(_DELIVERED, (session_id,)).fetchone()
    return max(int(last), int(delivered or 0), above) + 1


def _row(mail: Mail) -> tuple[Cell, ...]:
    return tuple(getattr(mail, name) for name in _COLUMNS.split(", "))
