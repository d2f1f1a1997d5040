"""Rebuild a lost ledger: restore its backup, then read the exports since.

The order: the backup, `queue/`, `runs/*/meta.json`, `task.json`, and `log-dirs`.
"""

from __future__ import annotations

import json
import os
import stat

from parsers import json_text, loose_json
from parsers.light import closing, contextmanager, suppress
from parsers.paths import Path
from parsers.struct import replace
from parsers.text import uuid
from runner import clock, files
from runner.errors import ConflictFault, LedgerFault, RunnerError
from runner.exports import queue_files, run_exports, task_files
from runner.ledger import database, file_systems
from runner.ledger.ledger import Ledger
from runner.ledger.record import CHANGES
from runner.ledger.sessions import Worktree
from runner.ledger.short_ids import short_ids
from runner.locks import take
from runner.model import (
    CodexOptions,
    Finished,
    Limits,
    Report,
    SessionId,
)
from runner.run_files import PREFIX, RUNS, beside, own_directory, owner_of
from runner.service import rebuild_queue
from runner.terms import Terms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runner.config import Config
    from runner.ledger.database import Cell
    from runner.model import Run

# The kind, in the table of imports, of a run from a meta file of this suite; and the
# key of a run's accounts that names its source.
KIND, IMPORTED = "run", "imported"
_NONSENSE = (KeyError, TypeError, ValueError)
_DIGITS = 19
# The ledger until it is complete; a database has up to three files.
_NEW, _ENDS = "ledger.db.rebuilt", ("", "-wal", "-shm")
_ARCHIVED_AT = "archive/*/*/*/*/task.json"


def is_needed(home: Path, error: LedgerFault) -> bool:
    """Return whether a ledger that cannot be opened is to be rebuilt."""
    from runner.ledger import migrate  # noqa: PLC0415 - few commands migrate

    status = files.status(home / database.NAME)
    if status is None and migrate.is_open(home):
        return False  # a refused migration has lost nothing
    is_there = status is not None and stat.S_ISREG(status.st_mode) and status.st_size
    return database.is_damage(error) or database.is_lost(home) or not is_there


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Exclude other repairs of a state directory within a block.

    Raises:
        LedgerFault: another process repairs it.
    """
    if (lock := take(home, flags=os.O_RDONLY, must_exist=True)) is None:
        reason = "another verify --repair is running"
        fix = f"when it has ended: {database.RESTORES}"
        raise LedgerFault(home / database.NAME, reason, fix)
    try:
        yield
    finally:
        os.close(lock)


def rebuild(settings: Config) -> str:
    """Rebuild the ledger; return its sources in a sentence.

    It has another name until it is complete: after a kill the next repair begins again,
    and other commands report until then that the ledger is missing.

    Raises:
        RunnerFault: the disk refuses.
    """
    home = settings.state_home
    made, aside = home / _NEW, clock.iso(clock.now()).replace(":", "")
    files.remove([made.with_name(made.name + end) for end in _ENDS])
    for name in (database.NAME + end for end in _ENDS):
        with suppress(FileNotFoundError):
            (home / name).rename(home / f"{name}.damaged-{aside}")
    source = _restore(home, made)
    with closing(Ledger(home, made.name)) as ledger:
        told = _read_files(ledger)
    made.rename(home / database.NAME)
    files.sync(home)
    return "; ".join([f"rebuilt from {source}", *told])


def _read_files(ledger: Ledger) -> list[str]:
    """Read the files of the state directory; return what is to be said of them."""
    home = ledger.home
    with ledger.transaction():
        for session in ledger.sessions.all():
            # A session that was removed since the backup has no files.
            runs = ledger.runs.of_session(session.key)
            own = [Path(run.spec.directory) for run in runs if not run.spec.is_flat]
            if own and not any(map(files.is_directory, own)):
                with suppress(RunnerError):
                    ledger.change("remove_session", session=session.key)
        prompts = rebuild_queue.restore(ledger)
    metas, others = [*(home / RUNS).glob("*/meta.json")], 0
    for directory in run_exports.noted_directories(home):
        for meta in directory.glob(f"{PREFIX}*.meta.json"):
            run_id = _run_of(meta)
            # It may have runs of other state directories; each has its lock file there.
            if files.status(owner_of(home, run_id)):
                metas.append(meta)
            else:
                others += not _is_counted(run_id, None, ledger)
    # The first run of a session determines its short id.
    metas.sort(key=_run_of)
    found = (adopt(meta, ledger, is_rebuilt=True) for meta in metas)
    runs = [run for run in found if run is not None]
    unfiled = [
        run.spec.prompt_id for run in runs if rebuild_queue.lacks_file(run, home)
    ]
    canceled = rebuild_queue.close(ledger)
    ledger.write("keep_numbers")
    # Last: a session whose runs are all in log directories may have been archived.
    _read_task_files(ledger)
    known = ledger.usage.known_ids() | {r["run_id"] for r in ledger.all("run_names")}
    lost = [name for name in files.names(home / RUNS) if name not in known]
    return [
        f"runs from their directories: {len(runs)}",
        f"waiting prompts from {queue_files.QUEUE}/: {prompts}",
        *_told(unfiled, "text from the directory of its waiting run: prompt"),
        *_told(canceled, "canceled, as it has no file any more: prompt"),
        *_told(lost, "its record cannot be read: run"),
        *_told([others] * (others > 0), "of other state directories: runs"),
    ]


def _told(found: Sequence[object], what: str) -> list[str]:
    return [f"{what} {', '.join(map(str, found))}"] if found else []


def _run_of(meta: Path) -> str:
    return paths.run_id if (paths := beside(meta)) else ""


def adopt(meta: Path, ledger: Ledger, *, is_rebuilt: bool = False) -> Run | None:
    """Insert a run that only its meta file records, and return it.

    Only its history is inserted, unless the file is this user's own, in the state
    directory or of a run with a lock file there. None when the run is not lost, or the
    file is not a record of this suite. With `is_rebuilt` a run that the backup has as
    unfinished is lost too: the file knows how it went on.

    Raises:
        LedgerFault: the ledger cannot be written.
    """
    run = lost_run(meta, ledger, is_rebuilt=is_rebuilt)
    if run is None:
        return None
    is_trusted = IMPORTED not in run.accounts
    try:
        with ledger.transaction():
            run = replace(run, session=_session_of(run, ledger, is_trusted=is_trusted))
            if is_rebuilt:
                ledger.change("drop_unfinished", run_id=run.run_id)
            ledger.runs.insert(run)
            if run.is_finished:
                ledger.usage.record_run(run)
            if run.spec.prompt_id is not None:
                rebuild_queue.settle(run.spec.prompt_id, run, ledger)
            if is_trusted and run.launched_at is not None:
                ledger.runs.keep_settings(run)
                _keep_worktree(run, ledger)
            if not ledger.runs.unfinished(run.session):
                ledger.change("sort_runs", session=run.session)
    except (ConflictFault, ArithmeticError, AttributeError, *_NONSENSE):
        return None  # another unfinished run has the session, or figures are invalid
    if run.spec.is_flat:
        with suppress(RunnerError):
            run_exports.note_directory(ledger.home, run.spec.directory)
    return run


def _keep_worktree(run: Run, ledger: Ledger) -> None:
    """Record the worktree that a run of a session has worked in."""
    told = loose_json.mapping(run.accounts.get(CHANGES))
    if run.worktree is not None and told:
        names = ("worktree", "repo", "branch", "base")
        path, repo, branch, base = (str(told[name]) for name in names)
        found = Worktree(path=path, repo=repo, branch=branch, base=base)
        ledger.change("keep_worktree", session=run.session, **found.columns())


def lost_run(
    meta: Path, ledger: Ledger | None, *, is_rebuilt: bool = False
) -> Run | None:
    """Read a run that only its meta file records.

    A run is not lost when it is in the ledger (None if there is none yet), when it was
    removed, or when its thread was imported from another tool's files. A file that
    other users may have written gives history only: nothing in it decides what is run,
    killed or written here.
    """
    paths = beside(meta)
    if paths is None or _is_counted(paths.run_id, None, ledger, is_rebuilt=is_rebuilt):
        return None
    data, is_trusted = loose_json.mapping(files.read_json(meta)), False
    if ledger is not None:
        is_own = meta.parent == own_directory(ledger.home, paths.run_id)
        is_ours = is_own or files.status(owner_of(ledger.home, paths.run_id))
        is_trusted = bool(is_ours) and rebuild_queue.is_private(meta, data)
    try:
        run = run_exports.run_in(data if is_trusted else _plain(data))
    except (RunnerError, *_NONSENSE):
        return None
    if run.run_id != paths.run_id or not (run.is_finished or is_trusted):
        return None
    if not is_trusted:
        run = _as_history(run, meta)
    thread = run.spec.resume_session or run.thread
    if _is_counted(run.run_id, thread, ledger, is_rebuilt=is_rebuilt):
        return None
    spec = replace(run.spec, directory=str(meta.parent), is_flat=paths.is_flat)
    return replace(run, spec=spec)


def has_foreign_files(accounts: Mapping[str, object]) -> bool:
    """Return whether the files of a run belong to another state directory."""
    return loose_json.mapping(accounts.get(IMPORTED)).get("kind") == KIND


def _is_counted(
    run_id: str, thread: str | None, ledger: Ledger | None, *, is_rebuilt: bool = False
) -> bool:
    if ledger is None:
        return False
    values = {"run_id": run_id, "thread": thread}
    return ledger.value("is_counted", is_rebuilt=is_rebuilt, **values) is not None


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
        terms=Terms(),
        codex_home=None,
        prompt_id=None,
    )
    thread = uuid(run.thread)
    return replace(
        run, spec=spec, state=state, thread=SessionId(thread) if thread else None
    )


def _plain(data: object) -> dict[str, object]:
    """Remove values that no column can hold: lone surrogates, huge integers."""
    text = json_text.dumps(data, ensure_ascii=False).encode("utf-8", "replace")
    found: dict[str, object] = json.loads(
        text, parse_int=lambda digits: int(digits) if len(digits) < _DIGITS else None
    )
    return found


def _restore(home: Path, path: Path) -> str:
    """Create the ledger from the best copy; say which that is."""
    backup, old = home / database.BACKUP, home / database.OLD_BACKUP
    if found := files.status(backup):
        with suppress(LedgerFault):
            database.connect(backup).close()
            database.copy_database(backup, path)
            database.use_log(path)
            at = clock.iso(clock.at(found.st_mtime))
            return f"{backup} of {at}, and what happened since from the files"
    if old.is_file():
        from runner.ledger import migrate  # noqa: PLC0415 - once

        try:
            migrate.again(home, path)
        except LedgerFault as error:
            if not database.is_damage(error):
                raise
        else:
            return str(old)
    file_systems.refuse_remote(home)
    database.create(path)
    return "the files alone"


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
        at = loose_json.text(told.get("updated_at")) or clock.iso(clock.now())
        is_archived = exports.startswith(f"{task_files.ARCHIVE}/")
        title = loose_json.text(told.get("title"))
        ledger.sessions.restore(key, title, exports, at, is_archived=is_archived)


def _session_of(run: Run, ledger: Ledger, *, is_trusted: bool) -> int:
    """Find or open the session of a run, inside a transaction."""
    thread = run.spec.resume_session or run.thread
    ids: dict[str, Cell] = {"run_id": run.run_id, "thread": thread}
    ids |= {"prompt": run.spec.prompt_id, "short_id": next(short_ids(run.run_id))}
    key: int | None = ledger.value("session_of_lost", **ids)
    source, at = None, clock.iso(run.spec.prepared_at)
    is_new = key is None
    if key is None:
        if not is_trusted:
            origin = {"kind": KIND, "source": run.spec.directory, "mtime": None}
            names = {"identity": run.run_id, "run_id": run.run_id, "cursor": None}
            source = ledger.insert("insert_import", **origin, **names)
        seed = run.run_id
        key = ledger.sessions.open(at, thread=thread, import_id=source, seed=seed)
    elif thread is not None and is_trusted:
        ledger.sessions.set_thread(key, thread)
    if is_trusted or is_new:
        home = run.spec.codex_home if is_trusted else None
        repo = os.fsencode(run.spec.repo) or None
        told = {"home": os.fsencode(home or ""), "repo": repo, "at": at}
        ledger.change("restore_session", session=key, **told)
    return key
