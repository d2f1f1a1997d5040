"""Migrate a state directory of a previous version (`runs.db`) to the ledger.

`ledger.db` is a new file, and `runs.db` stays, closed: without it an old command would
create a new, empty one. The one commit point is the transaction in `runs.db` that
closes it. A migration that is killed before it has changed nothing; after it only a
rename is left, which the next command does.
"""

from __future__ import annotations

import filecmp
import os

from parsers import json_text
from parsers.light import closing, sqlite3, suppress
from runner import clock, files
from runner.clock import iso
from runner.errors import FileFault, LedgerFault, MigrationError
from runner.ledger import conversion, database, old_runs
from runner.ledger.file_systems import refuse_remote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parsers.paths import Path
    from runner.ledger.old_runs import Owned

# The copy that `restore` writes back into `runs.db`.
BEGUN = "runs.db.restore"
CLOSED = 3
# For commands that find an old database; `codex-tasks migrate` waits for ever.
PATIENCE_SECONDS = 10.0
_NEW = "ledger.db.new"
_PACE_SECONDS = 0.05
_BUSY_SECONDS = 60.0
_MEGABYTE = 1_000_000
_MARGIN = 10 * _MEGABYTE
_OLD_LOG_DIRS, _LOG_DIRS = "log-dirs.jsonl", "log-dirs"
_CLOSED = (
    "this state directory was brought to a newer version:"
    " run the command again with that"
)
# Of a prompt that waited then.
UNCERTAIN = (
    "the ledger was lost and made again: this may have been delivered before (send"
    " delivers it, stop cancels it)"
)
# Statements of old commands that have opened `runs.db` already; commands that start
# later are refused by its version.
_REFUSED = (
    ("runs", "insert on runs"),
    ("runs", "delete on runs"),
    ("mail", "insert on mail"),
    ("mail", "delete on mail"),
    (
        "sessions",
        "update of archived_in on sessions when old.archived_in is not new.archived_in",
    ),
)


def migrate(
    state_home: Path,
    patience: float = PATIENCE_SECONDS,
    on_wait: Callable[[Sequence[Owned]], None] = lambda _: None,
) -> None:
    """Create the ledger from the database of a previous version, once.

    Args:
        state_home: the state directory.
        patience: how many seconds to wait for runs that processes of the previous
            version own.
        on_wait: is called repeatedly with these runs during the wait.

    Raises:
        MigrationError: runs are still unfinished then; nothing has changed.
        LedgerFault: the old database cannot be read or the ledger cannot be created,
            and nothing has changed; or it was closed before, and the ledger is lost.
        FileFault: a file cannot be written; nothing has changed.
    """
    path = state_home / database.OLD
    refuse_remote(state_home)
    is_media = os.statvfs(state_home).f_flag & os.ST_RDONLY
    if is_media or not os.access(state_home, os.W_OK):
        # SQLite's own error would be that the database cannot be opened.
        what = "file system is read-only" if is_media else "directory cannot be written"
        raise LedgerFault(path, f"it has to be migrated, and its {what}")
    uri = f"{path.as_uri()}?mode=rw"
    with (
        database.guarded(path),
        closing(
            sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
        ) as old,
    ):
        old.execute("pragma synchronous = full")
        if _begin(old, path, patience, on_wait):
            _save(path)
            _build(path, state_home / _NEW)
            _note_log_dirs(state_home)
            _close(old)
    _put_in_place(state_home)


def again(state_home: Path, path: Path) -> None:
    """Create a lost ledger again under another name, as it was after the migration.

    Prompts that waited then may have been delivered since, so they are held.

    Raises:
        LedgerFault, FileFault: as `migrate`.
    """
    saved = state_home / database.OLD_BACKUP
    with database.guarded(saved):
        _build(saved, path, hold=UNCERTAIN)


def is_open(state_home: Path) -> bool:
    """Return whether there is a `runs.db`, perhaps damaged, that is not closed."""
    if found := _peek(state_home / database.OLD, "pragma user_version"):
        return found != [(CLOSED,)]
    has_ledger = (state_home / database.BACKUP).exists()
    return (state_home / database.OLD).exists() and not has_ledger


def waited_before(state_home: Path) -> set[int]:
    """Return the numbers of the prompts that waited at the migration."""
    waiting = "select mail_id from mail where state = 'waiting'"
    return {number for (number,) in _peek(state_home / database.OLD_BACKUP, waiting)}


def _peek(path: Path, query: str) -> list[tuple[int]]:
    """Query an old database; return nothing when it cannot be read."""
    with suppress(sqlite3.Error):
        db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        with closing(db):
            return db.execute(query).fetchall()
    return []


def _begin(
    old: sqlite3.Connection,
    path: Path,
    patience: float,
    on_wait: Callable[[Sequence[Owned]], None],
) -> bool:
    """Begin a transaction once no process owns a run of the previous version.

    Returns:
        False when the database is already closed.
    """
    deadline = clock.monotonic() + patience
    while True:
        old.execute("begin immediate")
        version = old.execute("pragma user_version").fetchone()[0]
        is_empty = old.execute("select 1 from sqlite_master").fetchone() is None
        if version == CLOSED:
            return False
        if version > CLOSED:
            reason = f"it was created by a newer version (schema {version})"
            raise LedgerFault(
                path, reason, f"update this version, or {database.ELSEWHERE}"
            )
        if is_empty and next(path.parent.glob("*/runs"), None) is not None:
            reason = "it is empty, and there are runs"
            raise LedgerFault(path, reason, database.OLD_RESTORES)
        if version == 0 and not is_empty:
            raise LedgerFault(path, "it is no index of this suite", database.ELSEWHERE)
        owned = [] if is_empty else old_runs.owned(old, path.parent)
        if not owned:
            return True
        old.execute("rollback")
        if clock.monotonic() >= deadline:
            raise MigrationError([each.run_id for each in owned])
        on_wait(owned)
        clock.sleep(_PACE_SECONDS)


def _save(path: Path) -> None:
    """Copy the old database; keep an earlier copy of other content too."""
    names = (path, path.with_name(f"{path.name}-wal"))
    size = sum(found.st_size for name in names if (found := files.status(name)))
    # Space for the copy and the ledger.
    needed, free = 2 * size + _MARGIN, files.free_bytes(path.parent)
    if free < needed:
        reason = (
            f"to migrate it {needed // _MEGABYTE} MB are needed on its disk, and"
            f" {free // _MEGABYTE} MB are free"
        )
        raise LedgerFault(path, reason, "make room there, then: codex-tasks migrate")
    saved = path.with_name(database.OLD_BACKUP)
    copy = path.with_name(f"{saved.name}.new")
    database.copy_database(path, copy)
    if saved.exists() and not filecmp.cmp(copy, saved, shallow=False):
        stamp = iso(clock.at(saved.stat().st_mtime)).replace(":", "")
        saved.rename(saved.with_name(f"{saved.name}.{stamp}"))
    copy.replace(saved)


def _build(index: Path, path: Path, hold: str | None = None) -> None:
    """Create the ledger under a temporary name, complete and flushed to the disk.

    Args:
        index: the old database; no process writes to it meanwhile.
        path: the ledger.
        hold: why waiting prompts are held, None when they are not.
    """
    files.remove([*path.parent.glob(f"{path.name}*")])
    files.create(path)
    db = sqlite3.connect(path.as_uri(), uri=True, isolation_level=None)
    with closing(db):
        db.execute("pragma journal_mode = delete")
        db.execute("pragma synchronous = full")
        database.build_schema(db)
        path.chmod(0o600)
        db.execute("attach ? as old", (f"{index.as_uri()}?mode=ro",))
        db.execute("begin")
        conversion.fill(db, path.parent)
        waiting = "update prompts set hold = coalesce(hold, ?) where state = 'queued'"
        db.execute(waiting, (hold,))
        if broken := db.execute("pragma main.foreign_key_check").fetchall():
            reason = f"its rows would refer to nothing: {[*map(tuple, broken[:3])]}"
            raise LedgerFault(path, f"{reason}: runs.db stays as it is")
        db.execute("commit")
    database.use_log(path)
    files.sync(path)
    files.sync(path.parent)


def _note_log_dirs(state_home: Path) -> None:
    """Write the list of log directories in the present format."""
    noted = files.read_if_there(state_home / _LOG_DIRS).splitlines()
    for line in files.read_text(state_home / _OLD_LOG_DIRS).splitlines():
        with suppress(ValueError, RecursionError):
            place = json_text.loads(line)
            if isinstance(place, str) and "\n" not in place:
                noted.append(os.fsencode(place))
    if noted:
        lines = b"".join(each + b"\n" for each in dict.fromkeys(noted))
        files.replace(state_home / _LOG_DIRS, lines)


def _close(old: sqlite3.Connection) -> None:
    """Close the old database in one transaction: the commit point."""
    tables = {name for (name,) in old.execute("select name from sqlite_master")}
    if "mail" in tables:
        # They wait in the ledger now.
        old.execute("update mail set state = 'skipped' where state = 'waiting'")
    refused = [what for table, what in _REFUSED if table in tables]
    for number, what in enumerate(refused):
        old.execute(
            f"create trigger closed_{number} before {what} begin"
            f" select raise(abort, '{_CLOSED}'); end"
        )
    old.execute(f"pragma user_version = {CLOSED}")
    old.execute("commit")


def _put_in_place(state_home: Path) -> None:
    """Rename the ledger; another command may have done it already."""
    final = state_home / database.NAME
    try:
        if not os.path.lexists(final):
            (state_home / _NEW).rename(final)
            files.sync(state_home)
    except FileNotFoundError as error:
        if os.path.lexists(final):
            return
        is_begun = (state_home / BEGUN).exists()
        fix = "codex-tasks restore" if is_begun else database.RESTORES
        reason = f"{database.OLD} was migrated to it, and it is missing"
        raise LedgerFault(final, reason, fix) from error
    except OSError as error:
        raise FileFault("rename", state_home / _NEW, error) from error
