"""Rebuild a lost ledger: restore its backup, then read the exports since.

The order is that of DESIGN: the backup, `queue/`, `runs/*/meta.json`, `task.json`, and
the directories of `log-dirs`.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from pathlib import Path

from parsers import loose_json
from parsers.struct import replace
from parsers.text import uuid
from runner import clock, files
from runner.errors import ConflictFault, LedgerFault, RunnerError
from runner.exports import queue_files, run_exports, task_files
from runner.ledger import database, record
from runner.ledger.ledger import Ledger
from runner.model import (
    OUTCOMES,
    CodexOptions,
    Finished,
    Limits,
    Report,
    SessionId,
)
from runner.run_files import PREFIX, RUNS, beside, own_directory, owner_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config
    from runner.model import Run

# The kind, in the table of imports, of a run from a meta file of this suite; and the
# key of a run's accounts that names its source.
KIND, IMPORTED = "run", "imported"
_NONSENSE = (KeyError, TypeError, ValueError)
_DIGITS = 19
_ARCHIVED_AT = "archive/*/*/*/*/task.json"


def is_needed(home: Path, error: LedgerFault) -> bool:
    """Return whether a ledger that cannot be opened is to be rebuilt."""
    from runner.ledger import migrate  # noqa: PLC0415 - few commands migrate

    status = files.status(home / database.NAME)
    if status is None and migrate.is_open(home):
        return False  # a refused migration has lost nothing
    is_there = status is not None and stat.S_ISREG(status.st_mode) and status.st_size
    return database.is_damage(error) or database.is_lost(home) or not is_there


def rebuild(settings: Config) -> str:
    """Rebuild the ledger; return its sources in a sentence.

    Raises:
        RunnerFault: the disk refuses.
    """
    home = settings.state_home
    source = _restore(home)
    ledger = Ledger(home)
    with ledger.transaction():
        for session in ledger.sessions.all():
            # A session that was removed since the backup has no files.
            runs = ledger.runs.of_session(session.key)
            own = [Path(run.spec.directory) for run in runs if not run.spec.is_flat]
            if own and not any(map(files.is_directory, own)):
                with contextlib.suppress(RunnerError):
                    ledger.change("remove_session", session=session.key)
        prompts = _restore_queue(ledger)
    metas = sorted((home / RUNS).glob("*/meta.json"))
    for directory in run_exports.noted_directories(home):
        metas += sorted(directory.glob(f"{PREFIX}*.meta.json"))
    adopted = sum(adopt(meta, ledger) is not None for meta in metas)
    # Last: a session whose runs are all in log directories may have been archived.
    _read_task_files(ledger)
    ledger.close()
    return f"rebuilt from {source}, {adopted} runs and {prompts} waiting prompts"


def adopt(meta: Path, ledger: Ledger) -> Run | None:
    """Insert a run that only its meta file records, and return it.

    Only its history is inserted, unless the file is this user's own, in the state
    directory or of a run with a lock file there. None when the run is not lost, or the
    file is not a record of this suite.

    Raises:
        LedgerFault: the ledger cannot be written.
    """
    run = lost_run(meta, ledger)
    if run is None:
        return None
    is_trusted = IMPORTED not in run.accounts
    try:
        with ledger.transaction():
            run = replace(run, session=_session_of(run, ledger, is_trusted=is_trusted))
            ledger.runs.insert(run)
            if run.is_finished:
                ledger.usage.record_run(run)
            number = run.spec.prompt_id
            # Its prompt may be in the queue.
            if number is not None and run.outcome is None:
                ledger.queue.restore_running(number, run)
            elif number is not None and run.outcome and run.has_begun:
                ledger.queue.close(number, OUTCOMES[run.outcome].prompt)
            if is_trusted and run.launched_at is not None:
                ledger.runs.keep_settings(run)
            if not ledger.runs.unfinished(run.session):
                ledger.change("sort_runs", session=run.session)
    except (ConflictFault, ArithmeticError, AttributeError, *_NONSENSE):
        return None  # another unfinished run has the session, or figures are invalid
    if run.spec.is_flat:
        with contextlib.suppress(RunnerError):
            run_exports.note_directory(ledger.home, run.spec.directory)
    return run


def lost_run(meta: Path, ledger: Ledger | None) -> Run | None:
    """Read a run that only its meta file records.

    A run is not lost when it is in the ledger (None if there is none yet), when it was
    removed, or when its thread was imported from another tool's files. A file that
    other users may have written gives history only: nothing in it decides what is run,
    killed or written here.
    """
    paths = beside(meta)
    if paths is None or _is_counted(paths.run_id, None, ledger):
        return None
    data, is_trusted = loose_json.mapping(files.read_json(meta)), False
    if ledger is not None:
        is_own = meta.parent == own_directory(ledger.home, paths.run_id)
        is_ours = is_own or files.status(owner_of(ledger.home, paths.run_id))
        is_trusted = bool(is_ours) and _is_private(meta)
    try:
        run = record.from_json(data if is_trusted else _plain(data))
    except (RunnerError, *_NONSENSE):
        return None
    if run.run_id != paths.run_id or not (run.is_finished or is_trusted):
        return None
    if not is_trusted:
        run = _as_history(run, meta)
    if _is_counted(run.run_id, run.spec.resume_session or run.thread, ledger):
        return None
    spec = replace(run.spec, directory=str(meta.parent), is_flat=paths.is_flat)
    return replace(run, spec=spec)


def has_foreign_files(run: Run) -> bool:
    """Return whether the files of a run belong to another state directory."""
    return loose_json.mapping(run.accounts.get(IMPORTED)).get("kind") == KIND


def _is_counted(run_id: str, thread: str | None, ledger: Ledger | None) -> bool:
    values = {"run_id": run_id, "thread": thread}
    return ledger is not None and ledger.value("is_counted", **values) is not None


def _as_history(run: Run, meta: Path) -> Run:
    """Remove everything from a finished run but its history."""
    state, repo = run.state, run.spec.repo
    if isinstance(state, Finished):
        told = {"left_running": [], IMPORTED: {"kind": KIND, "source": str(meta)}}
        state = replace(state, accounts={**state.accounts, **told})
    resumed = uuid(run.spec.resume_session)
    spec = replace(
        run.spec,
        resume_session=SessionId(resumed) if resumed else None,
        repo=repo if repo.startswith("/") and "\0" not in repo else "",
        cwd="",
        codex=CodexOptions(bin="codex"),
        limits=Limits(),
        report=Report(),
        codex_home=None,
        prompt_id=None,
    )
    thread = uuid(run.thread)
    return replace(
        run, spec=spec, state=state, thread=SessionId(thread) if thread else None
    )


def _plain(data: object) -> dict[str, object]:
    """Remove values that no column can hold: lone surrogates, huge integers."""
    text = json.dumps(data, ensure_ascii=False).encode("utf-8", "replace")
    found: dict[str, object] = json.loads(
        text, parse_int=lambda digits: int(digits) if len(digits) < _DIGITS else None
    )
    return found


def _restore(home: Path) -> str:
    """Put the best copy in the place of the ledger."""
    path, aside = home / database.NAME, clock.iso(clock.now()).replace(":", "")
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        with contextlib.suppress(FileNotFoundError):
            (home / name).rename(home / f"{name}.damaged-{aside}")
    backup, old = home / database.BACKUP, home / database.OLD_BACKUP
    if backup.is_file():
        with contextlib.suppress(LedgerFault):
            database.connect(backup).close()
            database.copy_database(backup, path)
            database.use_log(path)
            return str(backup)
    if old.is_file():
        from runner.ledger import migrate  # noqa: PLC0415 - once

        migrate.again(home)
        return str(old)
    database.create(path)
    return "the files alone"


def _restore_queue(ledger: Ledger) -> int:
    """Restore the queue from its files: a prompt without a file no longer waits.

    A migrated prompt may have had no file yet, and is held.
    """
    from runner.ledger import migrate  # noqa: PLC0415 - few commands migrate

    found = {int(path.name): path for path in queue_files.all_files(ledger.home)}
    migrated = migrate.waited_before(ledger.home)
    for number in ledger.queue.all_waiting():
        if number in migrated - found.keys():
            ledger.change("hold_prompt", prompt=number, hold=migrate.UNCERTAIN)
        elif number not in found:
            ledger.queue.close(number)
    for number, path in found.items():
        read = queue_files.read(path)
        header, text = read or ({}, files.read_if_there(path))
        hold = None if read else "its file is damaged: codex-tasks stop cancels it"
        ledger.queue.restore(number, header, text, hold)
    return len(found)


def _read_task_files(ledger: Ledger) -> None:
    """Restore titles and archived states of sessions from their exports."""
    home = ledger.home
    for path in (*home.glob("*/task.json"), *home.glob(_ARCHIVED_AT)):
        told = loose_json.mapping(files.read_json(path))
        thread = loose_json.text(told.get("id"))
        key = ledger.sessions.of_thread(thread)
        if key is None or told.get("format") != task_files.FORMAT:
            continue
        exports = str(path.parent.relative_to(home))
        at = loose_json.text(told.get("updated_at"))
        is_archived = exports.startswith(f"{task_files.ARCHIVE}/")
        title = loose_json.text(told.get("title"))
        ledger.sessions.restore(key, title, exports, at if is_archived else None)


def _session_of(run: Run, ledger: Ledger, *, is_trusted: bool) -> int:
    """Find or open the session of a run, inside a transaction."""
    thread = run.spec.resume_session or run.thread
    key = ledger.sessions.of_thread(thread)
    source, at = None, clock.iso(run.spec.prepared_at)
    is_new = key is None
    if key is None:
        if not is_trusted:
            origin = {"kind": KIND, "source": run.spec.directory, "mtime": None}
            ids = {"identity": run.run_id, "run_id": run.run_id}
            source = ledger.insert("insert_import", **origin, **ids)
        key = ledger.sessions.open(at, thread=thread, import_id=source)
    if is_trusted or is_new:
        home = run.spec.codex_home if is_trusted else None
        repo = os.fsencode(run.spec.repo) or None
        told = {"home": os.fsencode(home or ""), "repo": repo, "at": at}
        ledger.change("restore_session", session=key, **told)
    return key


def _is_private(path: Path) -> bool:
    """Return whether only this user can have written a file."""
    found = [files.status(each) for each in (path, path.parent)]
    return all(
        each is not None
        and each.st_uid == os.getuid()
        and not each.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        for each in found
    )
