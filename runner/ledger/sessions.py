"""The rows of sessions: what a listing needs without a look at any run's record.

A run's key is its session or, as long as Codex has named none, the run's own id; so a
launch that failed is a session too, under the id of its one run.
"""

from __future__ import annotations

from parsers.struct import Struct
from runner.clock import iso
from runner.ledger.database import clean
from runner.model import GOOD_ENDS, TaskState

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from runner.ledger.database import Cell, Database
    from runner.model import Run

_COLUMNS = "session_id, title, created_at, updated_at, last_run, outcome, archived_in"
# Who asks for a session by the id of a run may have learnt that before Codex named it.
IS_MEANT = "session_id = coalesce((select session_id from runs where run_id = ?1), ?1)"
_BEHIND_ANY_ID = "~"
_IS_LATER = "excluded.last_place >= last_place or excluded.last_run = last_run"
# The states as an index can tell them, given which sessions were at work: one whose
# outcome is not on record may be since, or Codex has just named it.
_CONDITIONS = {
    TaskState.ARCHIVED: "archived_in is not null and session_id not in ({running})",
    TaskState.RUNNING: "(session_id in ({running}) or outcome is null)",
    TaskState.STOPPED: "archived_in is null and outcome in ({good})"
    " and session_id not in ({running})",
    TaskState.DIED: "archived_in is null and coalesce(outcome, '') not in ({good})"
    " and session_id not in ({running})",
}


class Row(Struct, kw_only=False):
    """Hold one session as the index has it; times are RFC 3339 in UTC.

    `last_run` is the one that tells how the session stands (`succession.last_of`),
    `outcome` its, None while it is not over. `archived_in` is a directory, relative to
    the state directory; None for a session in use.
    """

    session_id: str
    title: str | None
    created_at: str
    updated_at: str
    last_run: str
    outcome: str | None
    archived_in: str | None


class Sessions:
    """Read and write the rows of sessions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(
        self,
        db: sqlite3.Connection,
        run: Run,
        *,
        was: str | None = None,
        title: str | None = None,
    ) -> None:
        """Bring a session up to one of its runs.

        Args:
            db: the transaction that writes the run.
            run: the run as it is now.
            was: its key before; another one when Codex has named its thread since.
            title: the name of a session that begins.
        """
        if was == run.run_id and was != run.key:
            self._rename(db, was, run.key)
        at = iso(run.ended_at or run.started_at)
        db.execute(
            f"insert into sessions ({_COLUMNS}, last_place)"  # noqa: S608 - names of columns
            " values (?, ?, ?, ?, ?, ?, null, ?) on conflict (session_id) do update set"
            " created_at = min(created_at, excluded.created_at),"
            " updated_at = max(updated_at, excluded.updated_at),"
            f" outcome = iif({_IS_LATER}, excluded.outcome, outcome),"
            f" last_run = iif({_IS_LATER}, excluded.last_run, last_run),"
            f" last_place = iif({_IS_LATER}, excluded.last_place, last_place)",
            (
                run.key,
                title and clean(title),
                iso(run.spec.prepared_at),
                at,
                run.run_id,
                run.outcome,
                "" if run.is_bystander else run.place,
            ),
        )

    def place(
        self, db: sqlite3.Connection, session_id: str, archived_in: str | None
    ) -> None:
        """Note where a session lies, in the transaction that moves it."""
        db.execute(
            "update sessions set archived_in = ? where session_id = ?",
            (archived_in, session_id),
        )

    def find(self, session_id: str) -> Row | None:
        """Return the session of this id."""
        return next(iter(self._rows("where session_id = ?", session_id)), None)

    def of(self, key: str) -> Row | None:
        """Return the session of this id, or that the run of this id is on now."""
        return next(iter(self._rows(f"where {IS_MEANT}", key)), None)

    def imported_as(self, old_id: str) -> Row | None:
        """Return the session that a task of another tool has become."""
        sql = (
            "where session_id = (select session_id from runs where"
            " json_extract(record, '$.accounts.imported.source') like '%/' || ?"
            " limit 1)"
        )
        return next(iter(self._rows(sql, old_id)), None)

    def starting_with(self, prefix: str) -> list[Row]:
        """Return the sessions whose id begins like this, a few at the most."""
        return self._rows(
            "where session_id >= ? and session_id < ? order by session_id limit 10",
            prefix,
            prefix + _BEHIND_ANY_ID,
        )

    def titled(self, title: str) -> list[Row]:
        """Return the sessions of this name, the newest first."""
        return self._rows("where title = ? order by updated_at desc limit 10", title)

    def newest(
        self,
        states: Iterable[TaskState] = tuple(TaskState),
        running: Iterable[str] = (),
        limit: int | None = None,
    ) -> list[Row]:
        """Return the sessions that are in one of these states, the newest first.

        Among them are all whose outcome is not on record and that may be in one.

        Args:
            states: the states that are wanted.
            running: the ids of those that are at work: that no row can tell.
            limit: how many at the most.
        """
        at_work = list(running)
        conditions = [_CONDITIONS[state] for state in set(states)]
        marks = {"good": _marks(GOOD_ENDS), "running": _marks(at_work)}
        where = " or ".join(f"({each})" for each in conditions).format(**marks)
        values: list[Cell] = []
        for each in conditions:
            values += GOOD_ENDS if "{good}" in each else ()
            values += at_work if "{running}" in each else ()
        return self._rows(
            f"where {where or 'false'}"
            " order by updated_at desc, session_id desc limit ?",
            *values,
            -1 if limit is None else limit,
        )

    def repos(self, session_ids: Iterable[str]) -> dict[str, str]:
        """Return where the last run of each of these sessions works."""
        sql = (
            "select session_id, repo from runs where run_id ="
            " (select last_run from sessions where session_id = ?)"
        )
        found = (self._database.rows(sql, each) for each in session_ids)
        return {str(key): str(repo) for rows in found for key, repo in rows}

    def ids(self) -> set[str]:
        """Return the ids of all sessions."""
        rows = self._database.rows("select session_id from sessions")
        return {str(session_id) for (session_id,) in rows}

    def archive(self, session_id: str, directory: str | None, at: str) -> None:
        """Note where a session has been archived; None brings it back into use.

        Raises:
            LedgerFault: the index cannot be written.
        """
        with self._database.transaction() as db:
            db.execute(
                "update sessions set archived_in = ?, updated_at = ?"
                " where session_id = ?",
                (directory, at, session_id),
            )

    def set_title(self, session_id: str, title: str | None) -> None:
        """Name a session.

        Raises:
            LedgerFault: the index cannot be written.
        """
        with self._database.transaction() as db:
            db.execute(
                "update sessions set title = ? where session_id = ?",
                (title, session_id),
            )

    def remove(self, session_id: str) -> None:
        """Take a session out of the index; what it has used and cost stays.

        Raises:
            LedgerFault: the index cannot be written.
        """
        with self._database.transaction() as db:
            self.take_out(db, session_id)

    def take_out(self, db: sqlite3.Connection, session_id: str) -> None:
        """Remove a session in the transaction that removes its directory too."""
        for table in ("runs", "mail", "sessions"):
            db.execute(f"delete from {table} where session_id = ?", (session_id,))  # noqa: S608 - a table of ours

    def _rename(self, db: sqlite3.Connection, old: str, new: str) -> None:
        db.execute(
            "update or ignore sessions set session_id = ? where session_id = ?",
            (new, old),
        )
        db.execute("delete from sessions where session_id = ?", (old,))
        for table in ("mail", "usage"):
            db.execute(
                f"update {table} set session_id = ? where session_id = ?",  # noqa: S608 - a table of ours
                (new, old),
            )

    def _rows(self, sql: str, *values: Cell) -> list[Row]:
        found = self._database.rows(f"select {_COLUMNS} from sessions {sql}", *values)  # noqa: S608 - see the callers
        return [Row(*row) for row in found]  # type: ignore[arg-type] # as the schema says


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
