"""Read a table of another tool's database, and change none of its files.

Opened in its place, a database with a write-ahead log would get files beside it. So its
files are copied, and the copy is read.
"""

from __future__ import annotations

import tempfile

from parsers.light import closing, sqlite3, suppress
from parsers.paths import Path
from runner import files
from runner.errors import LedgerFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_ENDS: Final = ("", "-wal")
_ATTEMPTS: Final = 5


def rows_of(path: Path, table: str) -> list[dict[str, object]]:
    """Return the rows of a table; none when there is no such file.

    Raises:
        LedgerFault: it cannot be read.
    """
    if files.status(path) is None:
        return []
    with tempfile.TemporaryDirectory(prefix="codex-agent-") as name:
        try:
            copy = _copied(path, Path(name))
            with closing(sqlite3.connect(copy)) as db:
                db.row_factory = sqlite3.Row
                return [dict(row) for row in db.execute(f'select * from "{table}"')]  # noqa: S608 - a name of ours
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise LedgerFault(path, reason) from error


def _copied(path: Path, to: Path) -> Path:
    """Copy a database with its log; again when it was written meanwhile."""
    copy = to / "copy.db"
    for _ in range(_ATTEMPTS):
        before = _written(path)
        for end in _ENDS:
            with suppress(FileNotFoundError):
                Path(f"{copy}{end}").write_bytes(files.read_bytes(Path(f"{path}{end}")))
        if _written(path) == before:
            break
    return copy


def _written(path: Path) -> list[tuple[int, int] | None]:
    found = (files.status(Path(f"{path}{end}")) for end in _ENDS)
    return [each and (each.st_size, each.st_mtime_ns) for each in found]
