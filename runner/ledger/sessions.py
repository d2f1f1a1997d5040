"""Sessions: a Codex thread with its runs and prompts.

A session has a key and a short id from its first moment, which never change; its thread
is a column that is filled in when Codex names it.
"""

from __future__ import annotations

import json
import os

from parsers.struct import Struct
from parsers.text import uuid
from runner.errors import ArchivedError, NoSuchTaskError, RunnerError, SessionBusyError
from runner.ledger.database import value_of
from runner.ledger.record import read_settings
from runner.model import TaskState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from runner.ledger.database import Cell, Database
    from runner.ledger.record import Settings
    from runner.model import SessionId

_NO_LIMIT = -1


class Session(Struct):
    """Hold one session at a moment; times are RFC 3339 in UTC.

    `name` is what it is called in output: its thread, or the id of its run as long as
    Codex has named none. `last_run` is the one that is not over, else the one that
    tells how the session stands; `outcome` is that run's, None while it is not over.
    `waiting` is how many prompts wait. `exports` is the directory of its `task.*`
    files, relative to the state directory; None when it has none. `home` is the
    CODEX_HOME that it lives in, None when that is not known.
    """

    key: int
    short_id: str
    thread: SessionId | None
    name: str
    title: str | None
    repo: str | None
    home: str | None
    exports: str | None
    is_imported: bool
    settings: Settings | None
    created_at: str
    updated_at: str
    archived_at: str | None
    state: TaskState
    outcome: str | None
    last_run: str | None
    waiting: int

    @property
    def is_archived(self) -> bool:
        return self.archived_at is not None

    def exports_in(self, state_home: Path) -> Path | None:
        """Name the directory of its `task.*` files."""
        return None if self.exports is None else state_home / self.exports


class Sessions:
    """Read and write sessions."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def get(self, key: int) -> Session:
        """Return the session of a key.

        Raises:
            NoSuchTaskError: it has been removed.
        """
        found = self._all("session_by_key", session=key)
        if not found:
            raise NoSuchTaskError(str(key))
        return found[0]

    def named(self, text: str) -> list[Session]:
        """Return the sessions that a text names for certain, by an id of theirs."""
        return self._all("sessions_named", text=uuid(text) or text)

    def like(self, text: str) -> list[Session]:
        """Return the sessions whose title or the beginning of whose id it is."""
        is_start = text and not set(text.lower()) - set("0123456789abcdef-")
        start = text.lower() if is_start else ""
        line = " ".join(text.split())
        return self._all("sessions_like", title=text, line=line, start=start)

    def imported_as(self, text: str) -> Session | None:
        """Return the session that the task of another tool has become."""
        return next(iter(self._all("session_of_import", text=text)), None)

    def of_thread(self, thread: str | None) -> int | None:
        """Return the key of the session that a thread belongs to."""
        key: int | None = self._db.value("session_of_thread", thread=thread)
        return key

    def all(
        self, states: Collection[TaskState] = tuple(TaskState), most: int | None = None
    ) -> list[Session]:
        """Return the sessions that are in one of these states, the newest first."""
        limit = _NO_LIMIT if most is None else most
        return self._all("sessions_in_states", states=json.dumps([*states]), most=limit)

    def open(  # noqa: PLR0913 - the columns of a row
        self,
        at: str,
        *,
        thread: str | None = None,
        title: str | None = None,
        repo: str | None = None,
        home: str | None = None,
        settings: str = "{}",
        import_id: int | None = None,
    ) -> int:
        """Insert a session, inside a transaction, and return its key."""
        # Eight hex digits that never begin with 0.
        number = 0x10000000 + int.from_bytes(os.urandom(4)) % 0xF0000000
        key = self._db.insert(
            "insert_session",
            short_id=f"{number:08x}",
            title=title,
            repo=None if repo is None else os.fsencode(repo),
            home=b"" if home is None else os.fsencode(home),
            settings=settings,
            imported=import_id,
            at=at,
        )
        if thread is not None:
            self.set_thread(key, thread)
        return key

    def set_thread(self, key: int, thread: str, exports: str | None = None) -> bool:
        """Name the thread of a session, inside a transaction.

        Returns:
            False when the thread belongs to another session.
        """
        told: dict[str, Cell] = {"thread": thread, "exports": exports}
        return bool(self._db.change("name_session", session=key, **told))

    def archive(self, session: Session, exports: str | None, at: str) -> None:
        """Put away a session in which nothing runs or waits.

        Raises:
            SessionBusyError: something does.
        """
        self._move(session, exports, at, archived_at=at)

    def unarchive(self, session: Session, exports: str | None, at: str) -> None:
        """Bring back a session that has been put away.

        Raises:
            SessionBusyError: a run on it is not over.
        """
        self._move(session, exports, at, archived_at=None)

    def remove(self, session: Session, *, if_unchanged: bool = False) -> None:
        """Remove a session with its runs and prompts; its usage stays.

        Args:
            session: the session.
            if_unchanged: not when something has happened to it since it was read.

        Raises:
            SessionBusyError: something runs or waits in it, or it has changed.
            NoSuchTaskError: it has been removed.
        """
        with self._db.transaction():
            now = self.get(session.key)
            if if_unchanged and now.updated_at != session.updated_at:
                raise SessionBusyError(session.name, now.last_run or "?", _CHANGED)
            self._refuse_open(session)
            self._db.change("remove_session", session=session.key)

    def restore(
        self, key: int, title: str | None, exports: str, archived_at: str | None
    ) -> None:
        """Take over what the exports of a session say of it."""
        with self._db.transaction():
            told: dict[str, Cell] = {"session": key, "exports": exports}
            self._db.change("restore_title", title=title, **told)
            if archived_at is not None:
                told |= {"at": archived_at, "archived_at": archived_at}
                self._db.change("archive_session", **told)

    def refuse_archived(self, key: int) -> None:
        """Refuse work for a session that has been put away.

        Raises:
            ArchivedError: it has been.
            NoSuchTaskError: it has been removed.
        """
        session = self.get(key)
        if session.is_archived:
            raise ArchivedError(session.name)

    def _all(self, query: str, **values: Cell) -> list[Session]:
        return [
            value_of(
                Session,
                row,
                key=row["id"],
                thread=row["thread_id"],
                repo=None if row["repo"] is None else os.fsdecode(row["repo"]),
                home=os.fsdecode(row["home"]) or None,
                is_imported=row["imported"] is not None,
                settings=read_settings(row["settings"]),
                state=TaskState(row["state"]),
            )
            for row in self._db.all(query, **values)
        ]

    def _move(
        self, session: Session, exports: str | None, at: str, archived_at: str | None
    ) -> None:
        """Put a session away, or bring it back without a time."""
        told = {"exports": exports, "at": at, "archived_at": archived_at}
        with self._db.transaction():
            if not self._db.change("archive_session", session=session.key, **told):
                self._refuse_open(session)

    def _refuse_open(self, session: Session) -> None:
        """Refuse to put away a session in which something runs or waits."""
        now, fix = self.get(session.key), "codex-tasks stop ends it"
        if now.last_run is not None and now.outcome is None:
            raise SessionBusyError(session.name, now.last_run, fix)
        if now.waiting:
            raise PromptsWaitError(session.name, now.waiting, puts_away=True)


class PromptsWaitError(SessionBusyError):
    """Refuse a prompt that would overtake those that wait, or to put them away."""

    def __init__(self, name: str, count: int, *, puts_away: bool = False) -> None:
        message = (
            f"task {name} has prompts waiting ({count}): codex-tasks stop cancels"
            " them, send delivers them"
            if puts_away
            else f"prompts wait for session {name} ({count}): --wait-for-session waits"
            " behind them, codex-tasks stop cancels them"
        )
        RunnerError.__init__(self, message)


_CHANGED = "it has changed since it was listed"
