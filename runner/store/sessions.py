"""The rows of sessions: what a listing needs without a look at any run's record.

A run's key is its session or, as long as Codex has named none, the run's own id; so a
launch that failed is a session too, under the id of its one run.
"""

from __future__ import annotations

from parsers.value import Value
from runner.clock import iso

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from runner.model import Run
    from runner.store.database import Cell, Database

_COLUMNS = "session_id, title, created_at, updated_at, last_run, outcome, archived_in"
_BEHIND_ANY_ID = "~"


class Row(Value, kw_only=False):
    """Hold one session as the index has it; times are RFC 3339 in UTC.

    `outcome` is that of the last run, None while it is not over. `archived_in` is a
    directory, relative to the state directory; None for a session in use.
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
        if was is not None and was != run.key:
            self._rename(db, was, run.key)
        at = iso(run.ended_at or run.started_at)
        db.execute(
            f"insert into sessions ({_COLUMNS}) values (?, ?, ?, ?, ?, ?, null)"  # noqa: S608 - names of columns
            " on conflict (session_id) do update set"
            " created_at = min(created_at, excluded.created_at),"
            " updated_at = max(updated_at, excluded.updated_at),"
            " outcome = case when excluded.last_run >= last_run"
            " then excluded.outcome else outcome end,"
            " last_run = max(last_run, excluded.last_run)",
            (run.key, title, iso(run.spec.prepared_at), at, run.run_id, run.outcome),
        )

    def find(self, session_id: str) -> Row | None:
        """Return the session of this id."""
        return next(iter(self._rows("where session_id = ?", session_id)), None)

    def of_run(self, run_id: str) -> Row | None:
        """Return the session that a run is on."""
        sql = "where session_id = (select session_id from runs where run_id = ?)"
        return next(iter(self._rows(sql, run_id)), None)

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
        *,
        limit: int | None = None,
        archived: bool | None = None,
        outcomes: Sequence[str] | None = None,
        besides: Iterable[str] = (),
    ) -> list[Row]:
        """Return sessions, the newest first.

        Args:
            limit: how many at the most.
            archived: only those that are, or are not.
            outcomes: only those whose last run ended in one of these ways.
            besides: ids of others that are wanted whatever their outcome.
        """
        where: list[str] = ["true"]
        values: list[Cell] = []
        if archived is not None:
            where.append(f"archived_in is {'not ' if archived else ''}null")
        if outcomes is not None:
            others = list(besides)
            where.append(
                f"(outcome in ({_marks(outcomes)}) or session_id in ({_marks(others)}))"
            )
            values += [*outcomes, *others]
        values.append(-1 if limit is None else limit)
        return self._rows(
            f"where {' and '.join(where)}"
            " order by updated_at desc, session_id desc limit ?",
            *values,
        )

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
