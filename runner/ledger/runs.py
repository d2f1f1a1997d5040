"""Runs: rows whose state only advances.

Every transition is one guarded update (`update … where state = ?`). The changes of the
session, its prompt and its usage are in the same transaction.
"""

from __future__ import annotations

import os

from parsers import json_text, loose_json
from parsers.paths import Path
from parsers.struct import replace
from runner import clock
from runner.clock import iso, parse_iso
from runner.errors import NoSuchRunError, StaleStateError
from runner.ledger import record
from runner.ledger.settings import settings_json
from runner.model import Running, Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from parsers.light import datetime, sqlite3
    from runner.ledger.database import Cell
    from runner.ledger.ledger import Ledger
    from runner.ledger.record import Json
    from runner.ledger.recorded import Recorded
    from runner.model import Event, ProcessId, Run, SessionId

# Names of files in a directory of its own, and of flat files.
_OWN, FLAT = 3, 2
# No session has so many runs.
_NEVER = 2**62
# A supervisor sends its own notifications; after this time any command does.
_TELL_SECONDS = 5.0
# The warning when a thread belongs to another session.
FOREIGN_THREAD = "thread {} of this run belongs to another session"
# The target in the outbox for the exports of a run.
_EXPORTS = "exports"


class Runs:
    """Read and write runs."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def find(self, run_id: str) -> Run:
        """Return the run of this id.

        Raises:
            NoSuchRunError: it is not in the ledger.
        """
        found = self._one("run_by_id", run_id=run_id)
        if found is None:
            raise NoSuchRunError(run_id, str(self._ledger.path))
        return found

    def of_session(self, session: int) -> list[Run]:
        """Return the runs of a session in order."""
        return self._all("runs_of_session", session=session)

    def finished(self, session: int) -> list[Recorded]:
        """Return the finished runs of a session in order, as their records."""
        from runner.ledger.recorded import recorded  # noqa: PLC0415 - for `verify`

        rows = self._ledger.all("runs_of_session", session=session)
        return [
            recorded(row, *self._parts(row))
            for row in rows
            if row["state"] == "finished"
        ]

    def ids(self, session: int) -> list[str]:
        """Return the ids of the runs of a session in order."""
        return [row[0] for row in self._ledger.all("run_ids", session=session)]

    def latest(
        self, session: int, only: str | None = None, before: int = _NEVER
    ) -> Run | None:
        """Return the last finished run of a session.

        Args:
            session: its key. A run that only waited for it counts if there is no other.
            only: `launched` or `answered`: only such runs.
            before: only runs with a smaller ordinal.
        """
        return self._one("latest_run", session=session, only=only, before=before)

    def last_turn(self, prompt: int | None) -> Run | None:
        """Return the last run of a prompt in which a turn has begun."""
        return self._one("last_turn", prompt=prompt)

    def next_turn(self, run: Run) -> Run | None:
        """Return the next run of a run's prompt."""
        ids: dict[str, Cell] = {"prompt": run.spec.prompt_id, "ordinal": run.ordinal}
        return self._one("next_turn", **ids)

    def recent(self, session: int) -> list[dict[str, Any]]:
        """Return what a list shows of the last runs of a session, the oldest first."""
        rows = self._ledger.all("recent_runs", session=session)
        found = [dict(zip(row.keys(), row, strict=True)) for row in reversed(rows)]
        for each in found:
            began, ended = each["launched_at"], each["ended_at"]
            each["seconds"] = began and ended and record.elapsed(began, ended)
        return found

    def leaving(self, session: int) -> list[Run]:
        """Return the runs of a session that have left processes running."""
        return self._all("leaving_runs", session=session)

    def ends(self, session: int, ordinal: int) -> dict[str, str | None]:
        """Return the last run of each prompt of a session, with its outcome.

        Only runs from an ordinal on count.

        Runs that only waited for the session are left out, if it has others.
        """
        rows = self._ledger.all("run_ends", session=session, ordinal=ordinal)
        last = {row["prompt"]: row for row in rows}
        return {row["run_id"]: row["outcome"] for row in last.values()}

    def unfinished(self, session: int | None = None) -> list[Run]:
        """Return the unfinished runs of one session or of all."""
        return self._all("unfinished_runs", session=session)

    def has_others(self, run: Run) -> bool:
        """Return whether other runs, or prompts, may need a sweep."""
        return bool(self._ledger.value("has_others", run_id=run.run_id))

    def previous(self, run: Run) -> Run | None:
        """Return the last launched run of the session before this one."""
        ids: dict[str, Cell] = {"session": run.session, "ordinal": run.ordinal}
        return self._one("previous_launched", **ids)

    def next_launch(self, run: Run) -> datetime | None:
        """Return when the next run of the session was launched."""
        after = iso(run.started_at)
        place = {"session": run.session, "ordinal": run.ordinal}
        at = self._ledger.value("next_launch", **place, at=after)
        return None if at is None else parse_iso(at)

    def insert(self, run: Run, parent: str | None = None) -> Run:
        """Insert a run, inside a transaction, and return it with its ordinal.

        One that is started inside another run of this ledger, its `parent`, uses no
        slot.
        """
        whole = record.to_json(run)
        values = self._columns(run, whole)
        ordinal = self._ledger.value("insert_run", **values, parent=parent)
        self._save(run, whole)
        return replace(run, ordinal=ordinal)

    def advance(self, run: Run, event: Event) -> Run:
        """Advance a run to its next state; `finish` ends it.

        Raises:
            StaleStateError: another process has changed its state since it was read, or
                a stop was asked for before it was claimed.
            LedgerFault: the ledger cannot be written.
        """
        now = run.advanced(event)
        is_launched = isinstance(now.state, Running)
        with self._ledger.transaction():
            values = {**self._columns(now), "was": record.state_of(run)}
            query = "launch_run" if is_launched else "claim_run"
            if not self._ledger.change(query, **values):
                raise StaleStateError(run.run_id, record.state_of(run))
            if is_launched:
                self.keep_settings(now)
                self.note(now, "run_started")
        return now

    def claim_waiting(self, run: Run, supervisor: ProcessId) -> bool:
        """Record the supervisor of a waiting run; return False when it was stopped."""
        now = replace(run, state=Waiting(supervisor=supervisor))
        values = {**self._columns(now), "was": record.state_of(run)}
        return bool(self._ledger.write("claim_run", **values))

    def work_in(self, run: Run, place: str) -> Run:
        """Record in which directory of the session's worktree a run works."""
        self._ledger.write("work_in", run_id=run.run_id, place=os.fsencode(place))
        return replace(run, worktree=place)

    def set_thread(self, run: Run, thread: SessionId, exports: str | None) -> bool:
        """Record the thread that Codex announces, for the run and its session.

        Returns:
            False when the thread belongs to another session.
        """
        with self._ledger.transaction():
            self._ledger.change("name_thread_of_run", run_id=run.run_id, thread=thread)
            if run.spec.resume_session is not None:
                return run.spec.resume_session == thread
            return self._ledger.sessions.set_thread(run.session, thread, exports)

    def begin_turn(self, run_id: str) -> None:
        """Record durably that Codex has begun the turn: the prompt is delivered.

        After a power cut it would be delivered a second time.
        """
        with self._ledger.transaction(is_durable=True):
            self._ledger.change("begin_turn", run_id=run_id)

    def finish(self, run: Run, now: Run, *, is_judged: bool = False) -> None:
        """Finish a run with its prompt, session and usage, in one durable transaction.

        Args:
            run: the run as it was read.
            now: the finished run.
            is_judged: a command judged it; the next sweep sends the notification.

        Raises:
            StaleStateError: another process has changed its state since it was read.
            LedgerFault: the ledger cannot be written.
        """
        with self._ledger.transaction(is_durable=True):
            whole = record.to_json(now)
            values = {**self._columns(now, whole), "was": record.state_of(run)}
            if not now.is_finished or not self._ledger.change("finish_run", **values):
                raise StaleStateError(run.run_id, record.state_of(run))
            self._save(now, whole)
            is_moved = record.next_place(now) != now.spec.repo
            if now.has_begun and (is_moved or run.launched_at is None):
                # Or its supervisor was killed before it recorded the launch.
                self.keep_settings(now)
            self._ledger.usage.record_run(now)
            self._ledger.queue.settle(now)
            self.note(now, "run_completed", 0.0 if is_judged else _TELL_SECONDS)

    def unexported(self) -> list[tuple[str | None, int]]:
        """Return the finished runs whose exports are not written yet, with sessions.

        Without a run, the files of a session's prompts are not up to date.
        """
        return [
            (r["run_id"], r["session"]) for r in self._ledger.all("unexported_runs")
        ]

    def note_exported(self, run_id: str | None, session: int | None = None) -> None:
        """Record that exports are written, as far as possible."""
        self._ledger.write("note_exported", run_id=run_id, session=session)

    def add_warnings(
        self, run_id: str, warnings: Iterable[str], export: Callable[[Run], None]
    ) -> Run:
        """Add later warnings to the record of a finished run, and export it.

        No other process can remove its directory meanwhile.

        Raises:
            NoSuchRunError: it was removed.
            LedgerFault: the ledger cannot be written.
        """
        with self._ledger.transaction():
            run = self.find(run_id).with_warnings(warnings)
            self._save(run)
            export(run)
        return run

    def keep_settings(self, run: Run) -> None:
        """Store the settings of this run for the next run of the session."""
        spec = replace(run.spec, repo=record.next_place(run))
        self._ledger.change(
            "keep_settings",
            session=run.session,
            prompt=run.spec.prompt_id,
            settings=settings_json(spec),
            repo=os.fsencode(spec.repo),
        )

    def note(self, run: Run, what: str, delay: float = _TELL_SECONDS) -> None:
        """Insert the notifications of a change to a run, inside a transaction.

        The exports of a finished run are one of these rows, until `note_exported`.
        """
        report = run.spec.report
        targets = {"stream": report.event_stream, "hook": report.notify_command}
        wanted = [name for name, place in targets.items() if place is not None]
        if what == "run_completed":
            wanted.append(_EXPORTS)
        if wanted:
            at = clock.now()
            self._ledger.change(
                "insert_outbox",
                at=iso(at),
                session=run.session,
                prompt=run.spec.prompt_id,
                run_id=run.run_id,
                what=what,
                targets=json_text.dumps(wanted),
                due_at=iso(clock.after(at, delay)),
            )

    def _columns(self, run: Run, whole: Json | None = None) -> dict[str, Cell]:
        """Build the row of a run; paths inside the state directory are relative."""
        told: dict[str, Any] = whole or record.to_json(run)
        path, home = Path(run.spec.directory), self._ledger.home
        codex = run.state.codex if isinstance(run.state, Running) else None
        return {
            **{name: told[name] for name in record.COLUMNS},
            "session": run.session,
            "thread": run.thread,
            "prompt": run.spec.prompt_id,
            "waits": run.waits,
            "worktree": None if run.worktree is None else os.fsencode(run.worktree),
            "directory": os.fsencode(
                path.relative_to(home) if path.is_relative_to(home) else path
            ),
            "layout": FLAT if run.spec.is_flat else _OWN,
            "begun": run.has_begun,
            "answered": run.is_finished and run.has_answer,
            "detail": record.detail_of(run),
            "left_running": len(loose_json.sequence(run.accounts.get("left_running"))),
            "place": place_text(run.supervisor) if run.supervisor else None,
            "supervisor": process_text(run.supervisor) if run.supervisor else None,
            "codex": process_text(codex) if codex else None,
        }

    def _save(self, run: Run, whole: Json | None = None) -> None:
        packed = record.pack(run, whole)
        self._ledger.change("save_record", run_id=run.run_id, record=packed)

    def _one(self, query: str, **values: Cell) -> Run | None:
        return next(iter(self._all(query, **values)), None)

    def _all(self, query: str, **values: Cell) -> list[Run]:
        return [self._run(row) for row in self._ledger.all(query, **values)]

    def _run(self, row: sqlite3.Row) -> Run:
        stored, columns, request = self._parts(row)
        columns["processes"] = _processes(row)
        return replace(
            record.of_row(stored, columns, request),
            session=row["session"],
            ordinal=row["ordinal"],
            waits=bool(row["waits"]),
            is_stop_asked=row["stop_asked_at"] is not None,
        )

    def _parts(self, row: sqlite3.Row) -> tuple[Json, Json, Json]:
        """Return the record of a row, its columns, and those of its request."""
        columns: Json = {name: row[name] for name in record.COLUMNS}
        columns["has_begun"] = bool(row["begun"])
        place = row["worktree"]
        columns["worktree"] = None if place is None else os.fsdecode(place)
        columns["session_id"] = row["thread_id"]
        request = {
            "directory": str(self._ledger.home / os.fsdecode(row["directory"])),
            "is_flat": row["layout"] == FLAT,
            "prompt_id": row["prompt"],
        }
        return record.unpack(row["record"] or b""), columns, request


def process_text(process: ProcessId) -> str:
    """Write a process for a column; `place_text` has its machine and namespace."""
    return f"{process.pid} {process.start_time}"


def place_text(process: ProcessId) -> str:
    """Write the machine, the boot and the PID namespace of a process."""
    return f"{process.machine_id or '-'} {process.boot_id} {process.namespace or '-'}"


def _processes(row: sqlite3.Row) -> dict[str, object]:
    """Read the processes of a run from its columns, for its record."""
    names = ("machine_id", "boot_id", "namespace")
    places = (row["place"] or "- - -").split(" ")
    told = ("" if place == "-" else place for place in places)
    place = dict(zip(names, told, strict=True))
    found: dict[str, object] = {}
    for name in ("supervisor", "codex"):
        if row[name] is not None:
            pid, start_time = map(int, row[name].split(" "))
            found[name] = {"pid": pid, "start_time": start_time, **place}
    return found
