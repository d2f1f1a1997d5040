"""Sessions: a Codex thread with its runs and prompts.

The key and the short id of a session never change. Its thread is a column that is set
when Codex names the thread.
"""

from __future__ import annotations

import os
from functools import partial

from parsers import json_text
from parsers.struct import Struct, as_dict
from parsers.text import uuid
from runner.errors import (
    ArchivedError,
    RemovedTaskError,
    RunnerError,
    SessionBusyError,
)
from runner.ledger.database import value_of
from runner.ledger.settings import read_settings
from runner.ledger.short_ids import LENGTH, short_ids
from runner.locks import Lock, look
from runner.model import TaskState
from runner.run_files import owner_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from typing import Any

    from parsers.paths import Path
    from runner.ledger.database import Cell, Database
    from runner.ledger.settings import Settings
    from runner.model import SessionId

_NO_LIMIT = -1


class Session(Struct):
    """Hold a snapshot of one session; times are RFC 3339 in UTC.

    `name` is its name in output: its thread, or the id of its run until Codex has named
    the thread. `last_run` is the unfinished run, else the last one that determines the
    state; `outcome` is that run's, None while it is unfinished. `waiting` is the number
    of waiting prompts. `exports` is the directory of its `task.*` files, relative to
    the state directory; None when it has none. `home` is its CODEX_HOME, None when that
    is unknown.
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
    kept: str
    created_at: str
    updated_at: str
    archived_at: str | None
    state: TaskState
    outcome: str | None
    last_run: str | None
    waiting: int

    @property
    def settings(self) -> Settings | None:
        """Return the settings that its next run takes over, if it has any."""
        return read_settings(self.kept)

    @property
    def is_archived(self) -> bool:
        return self.archived_at is not None

    def exports_in(self, state_home: Path) -> Path | None:
        """Name the directory of its `task.*` files."""
        return None if self.exports is None else state_home / self.exports


class Worktree(Struct):
    """Hold the git worktree of a session: its path, its branch and where that began.

    `repo` is the working tree of the user.
    """

    path: str
    repo: str
    branch: str
    base: str

    def columns(self) -> dict[str, Cell]:
        """Return its columns; paths need not be UTF-8."""
        places = {"path": os.fsencode(self.path), "repo": os.fsencode(self.repo)}
        return {**as_dict(self), **places}


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
            raise RemovedTaskError
        return found[0]

    def named(self, text: str) -> list[Session]:
        """Return the sessions with exactly this id (short, thread or run id)."""
        return self._all("sessions_named", text=uuid(text) or text)

    def like(self, text: str) -> list[Session]:
        """Return the sessions with this title or this prefix of an id."""
        is_start = text and not set(text.lower()) - set("0123456789abcdef-")
        start = text.lower() if is_start else ""
        line = " ".join(text.split())
        return self._all("sessions_like", title=text, line=line, start=start)

    def worktree(self, key: int) -> Worktree | None:
        """Return the worktree that the runs of a session work in, if it has one."""
        row = self._db.one("worktree_of", session=key)
        if row is None:
            return None
        places = {name: os.fsdecode(row[name]) for name in ("path", "repo")}
        return Worktree(branch=row["branch"], base=row["base"], **places)

    def keep_worktree(self, key: int, worktree: Worktree) -> None:
        """Record the worktree of a session, before it is made."""
        self._db.write("keep_worktree", session=key, **worktree.columns())

    def imported_as(self, text: str) -> Session | None:
        """Return the session that was imported from a task of another tool."""
        return next(iter(self._all("session_of_import", text=text)), None)

    def of_thread(self, thread: str | None) -> int | None:
        """Return the key of the session of a thread."""
        key: int | None = self._db.value("session_of_thread", thread=thread)
        return key

    def roots_of(self, threads: Iterable[str]) -> set[str]:
        """Return those of some threads that a run of this ledger has opened."""
        found = self._db.all("opened_threads", threads=json_text.dumps([*threads]))
        return {row["thread_id"] for row in found}

    def all(
        self, states: Collection[TaskState] = tuple(TaskState), most: int | None = None
    ) -> list[Session]:
        """Return the sessions in these states, the newest first."""
        runs = {*states} == {TaskState.RUNNING}
        query = "running_sessions" if runs else "sessions_in_states"
        return self._all(query, **_wanted(states, most))

    def listed(
        self, states: Collection[TaskState], most: int | None = None
    ) -> list[dict[str, Any]]:
        """Return what `ls` shows of the sessions in these states, the newest first.

        With `most`, those that run or wait come in addition to the newest.
        """
        runs = {*states} == {TaskState.RUNNING}
        rows = [] if runs else self._rows("listed_sessions", **_wanted(states, most))
        if runs or most is not None:
            known = {row["key"] for row in rows}
            active = self._rows("listed_active", **_wanted(states, None))
            rows += [row for row in active if row["key"] not in known]
        return rows

    def line(self, key: int) -> dict[str, Any]:
        """Return what `ls` shows of one session.

        Raises:
            NoSuchTaskError: it has been removed.
        """
        for row in self._rows("listed_session", session=key):
            return row
        raise RemovedTaskError

    def _rows(self, query: str, **values: Cell) -> list[dict[str, Any]]:
        found = self._db.all(query, **values)
        names = found[0].keys() if found else []
        rows = [dict(zip(names, row, strict=True)) for row in found]
        for row in rows:
            row["working_dir"] = row["working_dir"] and os.fsdecode(row["working_dir"])
        return rows

    def beginnings(self, ids: Iterable[str], least: int = 4) -> dict[str, str]:
        """Return the shortest prefix of each short id that no other session has."""
        found = {}
        for text in ids:
            for length in range(least, LENGTH + 1):
                start = found[text] = text[:length]
                if not self._db.value("other_short_id", start=start, text=text):
                    break
        return found

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
        seed: str = "",
    ) -> int:
        """Insert a session, inside a transaction, and return its key.

        Its short id is computed from `seed`, the id of its first run, so that a rebuild
        computes the same; or `seed` is the short id that an export has.
        """
        seeds = short_ids(seed or os.urandom(8).hex())
        is_taken = partial(self._db.value, "has_short_id")
        key = self._db.insert(
            "insert_session",
            short_id=next(each for each in seeds if not is_taken(text=each)),
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
        """Set the thread of a session, inside a transaction.

        Returns:
            False when the thread belongs to another session.
        """
        told: dict[str, Cell] = {"thread": thread, "exports": exports}
        return bool(self._db.change("name_session", session=key, **told))

    def archive(self, session: Session, exports: str | None, at: str) -> None:
        """Archive an idle session.

        Raises:
            SessionBusyError: a run is unfinished or a prompt waits.
        """
        self._move(session, exports, at, archived_at=at)

    def unarchive(self, session: Session, exports: str | None, at: str) -> None:
        """Move a session out of the archive.

        Raises:
            SessionBusyError: a run on it is unfinished.
        """
        self._move(session, exports, at, archived_at=None)

    def remove(
        self,
        session: Session,
        remove_exports: Callable[[Session], object] = bool,
        *,
        if_unchanged: bool = False,
    ) -> None:
        """Remove a session with its runs and prompts; its usage stays.

        Args:
            session: the session.
            remove_exports: is called just before the change, with the session as it is
                then: it may have been archived since it was read. A kill between the
                two leaves a session whose exports can be rendered again; the other way
                round it would leave exports that belong to no session.
            if_unchanged: refuse a session that was changed since it was read.

        Raises:
            SessionBusyError: a run is unfinished, a prompt waits, or it has changed.
            NoSuchTaskError: it has been removed.
        """
        with self._db.transaction():
            self._refuse_exported(session)
            now = self.get(session.key)
            if if_unchanged and now.updated_at != session.updated_at:
                raise ChangedError(now.short_id)
            self._refuse_open(session)
            remove_exports(now)
            self._db.change("remove_session", session=session.key)

    def restore(
        self,
        key: int,
        title: str | None,
        exports: str,
        updated_at: str,
        *,
        is_archived: bool,
    ) -> None:
        """Set the values that a rebuild read from the exports of a session."""
        with self._db.transaction():
            told: dict[str, Cell] = {"session": key, "exports": exports}
            self._db.change("restore_title", title=title, **told)
            told |= {
                "at": updated_at,
                "archived_at": updated_at if is_archived else None,
            }
            self._db.change("archive_session", **told)

    def refuse_archived(self, key: int) -> None:
        """Refuse an archived session.

        Raises:
            ArchivedError: it is archived.
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
                kept=row["settings"],
                state=TaskState(row["state"]),
            )
            for row in self._db.all(query, **values)
        ]

    def _move(
        self, session: Session, exports: str | None, at: str, archived_at: str | None
    ) -> None:
        """Archive a session, or with no time unarchive it."""
        told = {"exports": exports, "at": at, "archived_at": archived_at}
        with self._db.transaction():
            self._refuse_exported(session)
            if not self._db.change("archive_session", session=session.key, **told):
                self._refuse_open(session)

    def _refuse_exported(self, session: Session) -> None:
        """Refuse a session whose files a process writes at the end of a run."""
        for row in self._db.all("unexported_of_session", session=session.key):
            if look(owner_of(self._db.home, row["run_id"])) is Lock.HELD:
                raise ExportedNowError(session.short_id, row["run_id"], "try again")

    def _refuse_open(self, session: Session) -> None:
        """Refuse to archive a session with an unfinished run or a waiting prompt."""
        now, fix = self.get(session.key), f"codex-tasks stop {session.short_id}"
        if now.last_run is not None and now.outcome is None:
            raise SessionBusyError(now.short_id, now.last_run, fix)
        if now.waiting:
            raise PromptsWaitError(now.short_id, now.waiting, puts_away=True)


def _wanted(states: Collection[TaskState], most: int | None) -> dict[str, Cell]:
    limit = _NO_LIMIT if most is None else most
    return {"states": json_text.dumps([*states]), "most": limit}


class ExportedNowError(SessionBusyError):
    """Refuse to move files that a supervisor writes after its verdict."""


class PromptsWaitError(SessionBusyError):
    """Refuse a prompt that would overtake waiting prompts, or to archive them."""

    def __init__(self, name: str, count: int, *, puts_away: bool = False) -> None:
        message = f"prompts wait for session {name} ({count})"
        hint = f'codex-tasks send --queue {name} "PROMPT", or wait: --wait-for-session'
        if puts_away:
            message = f"task {name} has prompts waiting ({count})"
            hint = f"codex-tasks queue {name}, or codex-tasks stop {name}"
        RunnerError.__init__(self, message, hint)


class ChangedError(SessionBusyError):
    """Refuse to remove what is no longer as it was listed."""

    def __init__(self, name: str) -> None:
        message = f"session {name} has changed since it was listed"
        RunnerError.__init__(self, message, f"codex-tasks status {name}")
