"""The SQLite file of the index: opened, brought up to the schema, written to.

Every fault of the database becomes a `LedgerFault` here.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from runner import clock, files
from runner.errors import LedgerFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Cell = str | int | float | None

_SCHEMAS = ("schema_1.sql", "schema_2.sql")
# Fifty commands that start at once wait for each other's fsync, not for a lock
# that is lost; a disk that takes longer than this is reported as a fault.
_BUSY_SECONDS = 60.0
_PACE_SECONDS = 0.01
_TABLES = {"runs", "sessions", "mail", "usage"}
_FAULTS_TOLD = 5
# The low byte of an error's code is its kind.
_KIND = 0xFF
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Database:
    """Open the index of a state directory, making both when they are missing.

    Args:
        state_home: the state directory.
        complete: called when an older index has been brought up to the schema, in the
            same transaction, for what SQL alone cannot tell.

    Raises:
        FileFault: the state directory cannot be made.
        LedgerFault: the database cannot be opened or is of a newer suite.
    """

    def __init__(
        self, state_home: Path, complete: Callable[[sqlite3.Connection], None]
    ) -> None:
        files.make_directory(
            state_home, "CODEX_RUNNER_HOME names another state directory"
        )
        self.path = state_home / "runs.db"
        self._db = self._open(complete)

    def close(self) -> None:
        self._db.close()

    def rows(self, sql: str, *values: Cell) -> list[tuple[Cell, ...]]:
        """Return what a query finds.

        Raises:
            LedgerFault: the index cannot be read.
        """
        try:
            return self._db.execute(sql, values).fetchall()
        except UnicodeEncodeError:
            return []  # stray bytes of a command line: no id of ours
        except sqlite3.Error as error:
            raise _fault(self.path, error) from error

    def legible(
        self, table: str, columns: str, order: str
    ) -> tuple[list[tuple[Cell, ...]], bool]:
        """Read what can be read of a table of a damaged file, from both its ends.

        Args:
            table: the table; its indexes are not looked at.
            columns: what is read of it.
            order: the columns of its key.

        Returns:
            The rows, and whether these are all.
        """
        found: dict[tuple[Cell, ...], None] = {}
        for way in ("asc", "desc"):
            keys = ", ".join(f"{name} {way}" for name in order.split(", "))
            try:
                sql = f"select {columns} from {table} not indexed order by {keys}"  # noqa: S608 - names of ours
                for row in self._db.execute(sql):
                    found[row] = None
            except (sqlite3.Error, UnicodeDecodeError):
                continue
            return list(found), True
        return list(found), False

    def version(self) -> int:
        """Return a number that changes when another process has written."""
        return int(str(self.rows("pragma data_version")[0][0]))

    def faults(self) -> list[str]:
        """Return what is wrong with the file itself, as far as SQLite can tell.

        Raises:
            LedgerFault: it cannot be read.
        """
        checked = self.rows(f"pragma integrity_check({_FAULTS_TOLD})")
        there = self.rows("select name from sqlite_master where type = 'table'")
        missing = sorted(_TABLES - {str(name) for (name,) in there})
        found = [str(text) for (text,) in checked if text != "ok"]
        return [*found, *(f"table {name} is missing" for name in missing)]

    @contextlib.contextmanager
    def hurried(self, seconds: float) -> Iterator[None]:
        """Wait no longer than this for others who have the index, within a block."""
        self._wait_for_others(seconds)
        try:
            yield
        finally:
            self._wait_for_others(_BUSY_SECONDS)

    def _wait_for_others(self, seconds: float) -> None:
        self._db.execute(f"pragma busy_timeout = {seconds * 1000:.0f}")

    @contextlib.contextmanager
    def moment(self) -> Iterator[None]:
        """Let all queries of a block be answered as of the same moment.

        Raises:
            LedgerFault: the index cannot be read.
        """
        self.rows("begin")
        try:
            yield
        finally:
            self.rows("rollback")

    @contextlib.contextmanager
    def transaction(self, *, is_durable: bool = False) -> Iterator[sqlite3.Connection]:
        """Write all of a block or nothing.

        Args:
            is_durable: on the disk before this returns. Otherwise a power cut may cost
                the last transactions, which can be made anew from the files.

        Raises:
            LedgerFault: the index cannot be written.
        """
        try:
            if is_durable:
                self._db.execute("pragma synchronous = full")
            self._db.execute("begin immediate")
            yield self._db
            # A block may have done so, which has something to undo when it fails.
            if self._db.in_transaction:
                self._db.execute("commit")
        except BaseException as error:
            # SQLite may have rolled back already, on a full disk for one.
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("rollback")
            if isinstance(error, sqlite3.Error | UnicodeEncodeError | OverflowError):
                raise _fault(self.path, error) from error
            raise
        finally:
            if is_durable:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("pragma synchronous = normal")

    def _open(
        self, complete: Callable[[sqlite3.Connection], None]
    ) -> sqlite3.Connection:
        try:
            # Closing a descriptor of the file would give back the locks that another
            # connection of this process has on it.
            if not self.path.exists():
                files.touch(self.path)
            db = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            # The meta files are synced one by one, and the index can be made anew
            # from them: a power cut may cost it its last rows, not its consistency.
            db.execute("pragma synchronous = normal")
            _migrate(db, self.path, complete)
        except sqlite3.Error as error:
            raise _fault(self.path, error) from error
        return db


def _statements(script: str) -> Iterator[str]:
    """Split a script: `executescript` would end the transaction that it runs in."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def clean(text: object) -> str:
    """Make a text that a column can hold of one with stray bytes of a command line."""
    return os.fsencode(str(text)).decode(errors="replace")


def is_damage(fault: LedgerFault) -> bool:
    """Tell whether a fault is of the file: damaged, or no database at all."""
    return _is_damaged(fault.__cause__)


def _is_damaged(error: BaseException | None) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & _KIND in _DAMAGE


def _fault(path: Path, error: Exception) -> LedgerFault:
    if _is_damaged(error):
        mend = "codex-tasks verify --repair makes it anew from the files"
        return LedgerFault(path, str(error), mend)
    return LedgerFault(path, str(error))


def _keep_a_log(db: sqlite3.Connection) -> None:
    """Switch to write-ahead logging, which is kept in the file.

    Of two first commands that switch at once SQLite refuses one without waiting, since
    each might wait for the other.
    """
    deadline = clock.monotonic() + _BUSY_SECONDS
    while True:
        try:
            db.execute("pragma journal_mode = wal")
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or clock.monotonic() >= deadline:
                raise
            clock.sleep(_PACE_SECONDS)
        else:
            return


def _is_busy(error: sqlite3.Error) -> bool:
    return error.sqlite_errorcode & _KIND == sqlite3.SQLITE_BUSY


def _migrate(
    db: sqlite3.Connection, path: Path, complete: Callable[[sqlite3.Connection], None]
) -> None:
    latest = len(_SCHEMAS)
    (version,) = db.execute("pragma user_version").fetchone()
    if version == latest:
        return
    if version > latest:
        raise LedgerFault(path, f"it was made by a newer version (schema {version})")
    _keep_a_log(db)
    db.execute("begin immediate")
    (version,) = db.execute("pragma user_version").fetchone()
    for name in _SCHEMAS[version:]:
        schema = Path(__file__).with_name(name).read_text(encoding="utf-8")
        for statement in _statements(schema):
            db.execute(statement)
    complete(db)
    db.execute(f"pragma user_version = {latest}")
    db.execute("commit")
