"""What the state directory holds, by kind and by session: one walk over its files."""

from __future__ import annotations

import os

from parsers.light import suppress
from parsers.paths import Path
from parsers.struct import Struct
from runner.ledger import database
from runner.run_files import RUNS, RunFiles
from runner.service.archive import BLOCK_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.ledger.ledger import Ledger
    from runner.ledger.sessions import Session

LEDGER, BACKUPS, EXPORTS, QUEUE, OTHER = (
    "ledger",
    "backups",
    "exports",
    "queue",
    "other",
)
LOG_DIRS = "log directories"
_KINDS = (LEDGER, BACKUPS, RUNS, EXPORTS, QUEUE, OTHER, LOG_DIRS)
_LEDGER = {database.NAME, f"{database.NAME}-wal", f"{database.NAME}-shm"}
_BACKUPS = (f"{database.NAME}.", f".{database.NAME}.", database.OLD)


class Share(Struct):
    """Hold the disk space of files, and their number."""

    size: int = 0
    files: int = 0


class Held(Struct):
    """Hold the disk space by kind, and by session with the largest first.

    Files of `run_codex_task` in a --log-dir count too, although they are elsewhere.
    """

    kinds: dict[str, Share]
    sessions: list[tuple[Session, Share]]


def held(ledger: Ledger) -> Held:
    """Measure what the state directory and the log directories hold."""
    sessions = {each.key: each for each in ledger.sessions.all()}
    owners = {s.exports: key for key, s in sessions.items() if s.exports is not None}
    shares = dict.fromkeys(_KINDS, Share())
    of_session = {key: Share() for key in sessions}

    def add(path: str, kind: str, key: int | None) -> None:
        with suppress(OSError):
            share = Share(size=os.lstat(path).st_blocks * BLOCK_BYTES, files=1)
            shares[kind] = total_of((shares[kind], share))
            if key is not None:
                of_session[key] = total_of((of_session[key], share))

    for row in ledger.all("run_directories"):
        owners[f"{RUNS}/{row['run_id']}"] = row["session"]
        directory = ledger.home / os.fsdecode(row["directory"])
        if not directory.is_relative_to(ledger.home):
            for path in RunFiles(directory, row["run_id"], is_flat=True).all:
                add(str(path), LOG_DIRS, row["session"])
    for top, _, names in os.walk(ledger.home):
        place = os.path.relpath(top, ledger.home)
        levels = [place, *map(str, Path(place).parents)]
        key = next((owners[each] for each in levels if each in owners), None)
        for name in names:
            add(f"{top}/{name}", _kind(place, name, key), key)
    found = [(sessions[key], share) for key, share in of_session.items()]
    return Held(kinds=shares, sessions=sorted(found, key=lambda each: -each[1].size))


def _kind(place: str, name: str, key: int | None) -> str:
    top = place.partition("/")[0]
    if top == ".":
        is_backup = name.startswith(_BACKUPS)
        return LEDGER if name in _LEDGER else BACKUPS if is_backup else OTHER
    if top in {RUNS, QUEUE}:
        return top
    return OTHER if key is None else EXPORTS


def total_of(shares: Iterable[Share]) -> Share:
    """Add up shares."""
    sizes, counts = zip(*((each.size, each.files) for each in shares), strict=True)
    return Share(size=sum(sizes), files=sum(counts))
