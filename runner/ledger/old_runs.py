"""The unfinished runs of a previous version at its migration.

While a supervisor of that version owns a run, nothing is migrated. Of the other runs,
one of each session is left for the first sweep to judge; the rest are finished.
"""

from __future__ import annotations

import itertools

from parsers import loose_json
from parsers.paths import Path
from parsers.struct import Struct, replace
from parsers.text import uuid
from runner import files
from runner.clock import iso
from runner.errors import RunnerError
from runner.ledger import record
from runner.ledger.runs import place_text, process_text
from runner.locks import Lock, look
from runner.model import Ended, Outcome, Running, Verdict
from runner.process.table import here, is_alive
from runner.run_files import PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parsers.light import sqlite3
    from runner.ledger.conversion import Steps
    from runner.model import ProcessId, Run

_LOST = "Codex and its supervisor ended without a terminal event"
_KILLED = "its supervisor was killed before it started Codex"


class Owned(Struct, kw_only=False):
    """Hold a run that a process of the previous version owns, and its supervisor."""

    run_id: str
    supervisor: ProcessId | None


def owned(old: sqlite3.Connection, home: Path) -> list[Owned]:
    """Return the unfinished runs that a supervisor or a starting command owns.

    The owner holds the lock of the events file from before the row exists. If that file
    was removed, the recorded process is looked up.
    """
    found = []
    for run_id, key, text in old.execute(
        "select run_id, coalesce(session_id, run_id), record from runs"
        " where state <> 'finished' order by run_id"
    ):
        run, supervisor = read(loose_json.load_or_empty(text.encode())), None
        places = [home / place_of(key) / "runs"]
        if run is not None:
            places.append(Path(run.spec.directory))
            supervisor = run.supervisor
        name = f"{PREFIX}{run_id}.events.jsonl"
        is_owned = any(look(each / name) is Lock.HELD for each in places)
        if supervisor is not None:
            # The versions before recorded neither namespace nor machine.
            is_of_now = supervisor.boot_id == here()["boot_id"]
            supervisor = replace(supervisor, **here()) if is_of_now else None
        if is_owned or (supervisor is not None and is_alive(supervisor)):
            found.append(Owned(run_id, supervisor))
    return found


def place_of(key: str) -> str:
    """Name the directory of a session in the state directory."""
    return key if uuid(key) == key else f".pending/{key}"


def end_runs(steps: Steps) -> None:
    """Leave one unfinished run of a session for the first sweep; finish the others.

    A run that waited for the session had only a supervisor, and a damaged record cannot
    be judged.
    """
    found = steps.do("unfinished").fetchall()
    for _, rows in itertools.groupby(found, lambda row: row["session"]):
        runs = [(row, steps.run(row)) for row in rows]
        usable = [row for row, run in runs if run is not None and not row["waits"]]
        for row, run in runs:
            if run is None or row not in usable[-1:]:
                _end(row, run, steps)
                continue
            owner = run.supervisor
            codex = run.state.codex if isinstance(run.state, Running) else None
            steps.do(
                "go_on",
                run_id=run.run_id,
                state=record.state_of(run),
                supervisor=process_text(owner) if owner else None,
                codex=process_text(codex) if codex else None,
                # A process of another boot is not found.
                place=place_text(replace(owner, **here())) if owner else None,
            )


def _end(row: sqlite3.Row, run: Run | None, steps: Steps) -> None:
    """Finish a run with the verdict of its meta file, else as `lost`."""
    paths = steps.files(row)
    # A supervisor could write its verdict only to the meta file.
    over = read(files.read_json(paths.meta))
    if over is None or over.verdict is None or over.run_id != paths.run_id:
        wrote = files.status(paths.events)
        is_lost = run is None or row["launched_at"] or (wrote and wrote.st_size)
        verdict = Verdict(
            outcome=Outcome.LOST if is_lost else Outcome.NOT_STARTED,
            exit_code=1,
            error=_LOST if is_lost else _KILLED,
            error_class=None if is_lost else "killed",
        )
        over = run and run.advanced(Ended(verdict=verdict, at=run.started_at))
    else:
        verdict = over.verdict
    steps.do(
        "end_run",
        run_id=row["run_id"],
        record=record.compress(record.to_json(over)) if over else row["record"],
        outcome=verdict.outcome,
        exit_code=verdict.exit_code,
        error_class=verdict.error_class,
        thread=over.thread if over else None,
        answered=over is not None and over.has_answer,
        left_running=bool(over and over.accounts.get("left_running")),
        ended_at=iso(over.ended_at) if over and over.ended_at else row["prepared_at"],
    )
    steps.note("run ended by the migration", f"{row['run_id']}: {verdict.outcome}")


def read(data: object) -> Run | None:
    """Read a record; None when it is damaged."""
    try:
        return record.from_json(loose_json.mapping(data))
    except RunnerError:
        return None
