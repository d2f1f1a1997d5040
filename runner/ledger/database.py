"""The SQLite file of the ledger: created, opened, read and written.

All SQL that is not the schema is in `queries.sql`, each query under a name. Every fault
of the database becomes a `LedgerFault` here.
"""

from __future__ import annotations

import os
from functools import cache

from parsers.light import closing, contextmanager, sqlite3, suppress
from parsers.paths import Path
from parsers.text import clean
from runner import clock, files
from runner.errors import ConflictFault, LedgerFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TypeVar

    from parsers.struct import Struct

    S = TypeVar("S", bound=Struct)
    Cell = str | int | float | bytes | None

NAME = "ledger.db"
BACKUP = "ledger.db.backup"
# The database of the previous version, which the migration closes.
OLD = "runs.db"
OLD_BACKUP = "runs.db.schema2"
SCHEMA = 3
# Fifty commands that start at once wait for each other's fsync. A disk that takes
# longer than this is reported as a fault.
_BUSY_SECONDS = 60.0
# To what size the write-ahead log is cut after one large transaction.
_LOG_BYTES = 16 << 20
_KIND = 0xFF  # the low byte of an error's code
_REFUSALS = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM)
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
RESTORES = "codex-tasks verify --repair"
OLD_RESTORES = f"with version 0.2, which wrote it: {RESTORES}"
ELSEWHERE = "use another state directory: export CODEX_RUNNER_HOME=DIR"


class Database:
    """Open the existing ledger of a state directory.

    Raises:
        LedgerFault: it cannot be opened, or is of another version.
    """

    def __init__(self, state_home: Path, name: str = NAME) -> None:
        self.home = state_home
        self.path = state_home / name
        self._file = self._identity()
        self._connection: sqlite3.Connection | None = connect(self.path)

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect(self.path)
        return self._connection

    def close(self) -> None:
        """Close the file; the next query opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def all(self, query: str, **values: Cell) -> list[sqlite3.Row]:
        """Return the rows of a query."""
        return self._run(query, values).fetchall()

    def one(self, query: str, **values: Cell) -> sqlite3.Row | None:
        """Return the first row of a query, or None."""
        row: sqlite3.Row | None = self._run(query, values).fetchone()
        return row

    def values(self, kind: type[S], query: str, **values: Cell) -> list[S]:
        """Return the rows of a query as values of a class."""
        return [value_of(kind, row) for row in self.all(query, **values)]

    def value(self, query: str, **values: Cell) -> Any:  # noqa: ANN401 - a column
        """Return the first column of the first row, or None."""
        row = self.one(query, **values)
        return None if row is None else row[0]

    def change(self, query: str, **values: Cell) -> int:
        """Write, inside a transaction, and return the number of changed rows.

        Raises:
            LedgerFault: the ledger cannot be written.
            ConflictFault: a constraint of the schema refuses the change.
        """
        return self._run(query, values).rowcount

    def write(self, query: str, **values: Cell) -> int:
        """Write as `change` does, in a transaction of its own."""
        with self.transaction():
            return self.change(query, **values)

    def insert(self, query: str, **values: Cell) -> int:
        """Insert a row, inside a transaction, and return its integer key."""
        key = self._run(query, values).lastrowid
        return 0 if key is None else key

    def version(self) -> int:
        """Return a number that changes when another process has written."""
        self._thaw()
        return int(self._db.execute("pragma data_version").fetchone()[0])

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Run all queries of a block in one read transaction, that around it if any."""
        if self._db.in_transaction:
            yield
            return
        self._script("begin")
        try:
            yield
        finally:
            self._script("rollback")

    @contextmanager
    def transaction(self, *, is_durable: bool = False) -> Iterator[None]:
        """Run a block in one write transaction.

        Args:
            is_durable: also survive a power cut. Every commit survives a kill.

        Raises:
            LedgerFault: the ledger cannot be written; or its file was removed or
                replaced (by a repair), so that no other process would read the change.
        """
        if self._identity() != self._file:
            reason = "it was removed or replaced while it was open"
            raise LedgerFault(self.path, reason, RESTORES)
        self._thaw()
        try:
            if is_durable:
                self._script("pragma synchronous = full")
            self._script("begin immediate")
            yield
            self._script("commit")
        except BaseException:
            # SQLite may have rolled back already, such as on a full disk.
            with suppress(sqlite3.Error):
                self._db.execute("rollback")
            raise
        finally:
            if is_durable:
                with suppress(sqlite3.Error):
                    self._db.execute("pragma synchronous = normal")

    @contextmanager
    def impatient(self, seconds: float) -> Iterator[None]:
        """Wait at most this long for other writers, within a block."""
        self._script(f"pragma busy_timeout = {seconds * 1000:.0f}")
        try:
            yield
        finally:
            self._script(f"pragma busy_timeout = {_BUSY_SECONDS * 1000:.0f}")

    def back_up_daily(self) -> None:
        """Copy the ledger to `ledger.db.backup`, at most once a day.

        Raises:
            RunnerFault: it cannot be read or written; the next run retries.
        """
        now = clock.iso(clock.now())
        today, this_hour, done = now[:10], now[:13], "-"
        if self.value("setting", name=BACKUP) == today:
            return
        # When two processes get here at once, only one copies. If that is killed,
        # there is another attempt in the next hour.
        if self.write("save_setting", name=BACKUP, value=this_hour):
            try:
                copy_database(self.path, self.home / BACKUP)
                done = today
            finally:
                self.write("save_setting", name=BACKUP, value=done)

    def faults(self) -> list[str]:
        """Return the faults that SQLite finds in the file."""
        with guarded(self.path):
            checked = self._db.execute("pragma integrity_check(5)").fetchall()
            broken = self._db.execute("pragma foreign_key_check").fetchall()
        found = [str(row[0]) for row in checked if row[0] != "ok"]
        return [*found, *(f"{row[0]} row {row[1]} refers to nothing" for row in broken)]

    def _thaw(self) -> None:
        """Open it again if it was opened as immutable: there may be space by now."""
        if files.status(Path(f"{self.path}-wal")) is None:
            self.close()

    def _identity(self) -> tuple[int, int] | None:
        """Return the device and the inode of the ledger's file, None without one."""
        status = files.status(self.path)
        return None if status is None else (status.st_dev, status.st_ino)

    def _run(self, query: str, values: dict[str, Cell]) -> sqlite3.Cursor:
        """Run the statements of a query, and return the cursor of the last one."""
        with guarded(self.path):
            cleaned = {
                name: clean(value) if isinstance(value, str) else value
                for name, value in values.items()
            }
            *others, last = queries()[query].split(";\n")
            for statement in others:
                self._db.execute(statement, cleaned)
            return self._db.execute(last, cleaned)

    def _script(self, statement: str) -> None:
        with guarded(self.path):
            self._db.execute(statement)


def value_of(kind: type[S], row: sqlite3.Row, **known: object) -> S:
    """Build a value from the columns with the names of its fields."""
    names = [name for name in kind.field_names() if name not in known]
    return kind(**{name: row[name] for name in names}, **known)


@cache
def queries(file: str = "queries.sql") -> dict[str, str]:
    """Read a file of queries: a dictionary of name to text."""
    text = Path(__file__).with_name(file).read_text(encoding="utf-8")
    parts = (part.partition("\n") for part in text.split("-- name: ")[1:])
    return {name.strip(): body for name, _, body in parts}


def connect(path: Path) -> sqlite3.Connection:
    """Open an existing ledger.

    Raises:
        LedgerFault: it cannot be opened, or is of another version.
    """
    with guarded(path):
        try:
            # Not created when it is missing: it may have been removed meanwhile.
            db, version = _opened(path, "mode=rw")
        except sqlite3.OperationalError:
            # SQLite needs two more files. Without them there are no newer changes.
            log = files.status(Path(f"{path}-wal"))
            if files.unwritable(path.parent) is None or (log and log.st_size):
                raise
            db, version = _opened(path, "immutable=1")
        db.execute("pragma synchronous = normal")
        db.execute(f"pragma journal_size_limit = {_LOG_BYTES}")
        db.execute("pragma foreign_keys = on")
    if version == SCHEMA:
        return db
    db.close()
    if version > SCHEMA:
        reason = f"it was created by a newer version (schema {version})"
        raise LedgerFault(path, reason, f"update this version, or {ELSEWHERE}")
    raise LedgerFault(path, "it is no ledger", RESTORES)


def _opened(path: Path, how: str) -> tuple[sqlite3.Connection, int]:
    """Open a database file; return the connection and the version of its schema."""
    place = f"{path.as_uri()}?{how}"
    db = sqlite3.connect(place, timeout=_BUSY_SECONDS, isolation_level=None, uri=True)
    db.row_factory = sqlite3.Row
    return db, db.execute("pragma user_version").fetchone()[0]


def create(path: Path) -> None:
    """Create an empty ledger, complete or not at all.

    Raises:
        LedgerFault: it cannot be created, or not on this file system.
        FileFault: a file cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
    files.create(part)
    try:
        with guarded(path):
            with closing(sqlite3.connect(part, isolation_level=None)) as db:
                build_schema(db)
            use_log(part)
            # When two commands create it at once, the first link wins.
            with suppress(FileExistsError):
                os.link(part, path)
    finally:
        files.remove([part])


def build_schema(db: sqlite3.Connection) -> None:
    """Create all tables and views in an empty database, in one transaction."""
    text = Path(__file__).with_name(f"schema_{SCHEMA}.sql").read_text(encoding="utf-8")
    db.executescript(f"begin;\n{text}\npragma user_version = {SCHEMA};\ncommit;")


def copy_database(path: Path, to: Path) -> None:
    """Copy a database by SQLite's backup, even while other processes write to it.

    Raises:
        RunnerFault: the copy failed; an earlier copy stays.
    """
    part = to.with_name(f"{to.name}.part")
    with guarded(to):
        files.remove([part])
        files.create(part)
        source = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        with (
            closing(source),
            closing(sqlite3.connect(part)) as db,
        ):
            source.backup(db)
            db.execute("pragma journal_mode = delete")
        files.sync(part)
        part.replace(to)


def use_log(path: Path) -> None:
    """Switch a database to write-ahead logging, which is stored in the file.

    Raises:
        LedgerFault: its file system does not support it.
    """
    with (
        guarded(path),
        closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as db,
    ):
        mode = db.execute("pragma journal_mode = wal").fetchone()[0]
    if mode != "wal":
        reason = f"its file system has no write-ahead log ({mode})"
        raise LedgerFault(path, reason, ELSEWHERE)


def is_lost(state_home: Path) -> bool:
    """Return whether a state directory has lost its ledger."""
    aside = f"{NAME}.damaged-*"  # a rebuild was killed
    signs = (BACKUP, OLD_BACKUP, "queue/[0-9]*", "runs/*/owner", aside)
    is_used = any(next(state_home.glob(sign), None) is not None for sign in signs)
    # Looked at last: another command may make the ledger and its first run meanwhile.
    return is_used and not os.path.lexists(state_home / NAME)


def refuse_closed(home: Path, rights: int = os.R_OK | os.X_OK) -> None:
    """Refuse an existing state directory that this user may not use.

    Raises:
        LedgerFault: a right is missing, or it is no directory.
    """
    refuse_foreign(home)
    if not os.path.lexists(home) or (home.is_dir() and os.access(home, rights)):
        return
    reason, fix = "its directory is not readable or not writable", _opens(home)
    if not home.is_dir():
        reason, fix = f"{home} is not a directory", ELSEWHERE
    raise LedgerFault(home / NAME, reason, fix)


def refuse_foreign(home: Path) -> None:
    """Refuse a state directory of another user: our files in it would shut them out.

    Raises:
        LedgerFault: it belongs to another user, as under `sudo` with the same HOME.
    """
    if owner := files.other_owner(home):
        reason = f"its directory belongs to the user {owner}"
        raise LedgerFault(home / NAME, reason, f"run this as {owner}, or {ELSEWHERE}")


def _opens(home: Path) -> str:
    return f"make {home} and its files readable and writable, or {ELSEWHERE}"


def is_damage(error: Exception) -> bool:
    """Return whether the file is damaged, or not a database."""
    code = getattr(error.__cause__ or error, "sqlite_errorcode", None)
    return code is not None and code & _KIND in _DAMAGE


def fault(path: Path, error: Exception) -> LedgerFault:
    """Build a `LedgerFault` from an error of SQLite, with a hint."""
    if path.is_dir():
        return LedgerFault(path, "it is a directory", RESTORES)
    if getattr(error, "sqlite_errorcode", 0) & _KIND in _REFUSALS:
        return LedgerFault(path, str(error), _opens(path.parent))
    restores = OLD_RESTORES if path.name == OLD else RESTORES
    return LedgerFault(path, str(error), restores if is_damage(error) else ELSEWHERE)


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turn errors of SQLite or the disk in a block into a `LedgerFault`."""
    try:
        yield
    except (sqlite3.IntegrityError, OverflowError, UnicodeEncodeError) as error:
        raise ConflictFault(path, str(error)) from error
    except sqlite3.Error as error:
        raise fault(path, error) from error
    except OSError as error:
        raise LedgerFault(path, error.strerror or str(error)) from error
