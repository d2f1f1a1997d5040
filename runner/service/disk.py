"""What the state directory holds, and how it and the package are removed."""

from __future__ import annotations

import os
import sys

from parsers.light import suppress
from parsers.paths import Path
from runner import files
from runner.config_files import NAME as CONFIG
from runner.errors import RunnerError, SessionBusyError
from runner.exports.queue_files import QUEUE
from runner.exports.run_exports import LOG_DIRS, noted_directories
from runner.exports.task_files import ARCHIVE
from runner.ledger.database import NAME, OLD, refuse_closed
from runner.ledger.environments import KEY_FILE
from runner.ledger.ledger import Ledger
from runner.lifecycle.recover import sweep
from runner.lifecycle.timer import FIFO, LOCK
from runner.notify import sender
from runner.process.start import which
from runner.run_files import RUNS, WORKTREES, RunFiles
from runner.service.archive import BLOCK_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config import Config
    from runner.ledger.sessions import Session

    Sizes = dict[str, int]  # size in bytes, and number of files

_OUTSIDE = "log directories"
_LEDGER = {NAME: "ledger", f"{NAME}-wal": "ledger", f"{NAME}-shm": "ledger"}
_KINDS = ("ledger", "backups", RUNS, WORKTREES, "exports", QUEUE, "other", _OUTSIDE)
_FILES = (
    *(NAME, OLD, LOG_DIRS, "prices", "codex-versions.json", CONFIG),
    *(KEY_FILE, LOCK, FIFO, sender.LOCK),
)
_PACKAGE, _ROOT = "codex-runner", Path(__file__).parents[2]


def held(ledger: Ledger) -> tuple[dict[str, Sizes], list[tuple[Session, Sizes]]]:
    """Measure what the state directory and the log directories hold.

    Returns:
        Bytes and number of files, by kind and by session, the largest first.
    """
    found, nothing = ledger.sessions.all(), {"size": 0, "files": 0}
    kinds = {kind: {**nothing} for kind in _KINDS}
    sizes = {each.key: {**nothing} for each in found}
    owners = {each.exports: each.key for each in found if each.exports is not None}
    owners |= {f"{WORKTREES}/{each.short_id}": each.key for each in found}
    for path, kind, key in _files(ledger, owners):
        with suppress(OSError):
            size = os.lstat(path).st_blocks * BLOCK_BYTES
            for sums in (kinds[kind], sizes.get(key, nothing)):
                sums["size"] += size
                sums["files"] += 1
    rows = [(each, sizes[each.key]) for each in found]
    return kinds, sorted(rows, key=lambda row: -row[1]["size"])


def _files(
    ledger: Ledger, owners: dict[str, int]
) -> Iterator[tuple[str | Path, str, int]]:
    """Yield all files, each with its kind and the key of its session, else 0."""
    for row in ledger.all("run_directories"):
        key, directory = row["session"], ledger.home / os.fsdecode(row["directory"])
        owners[f"{RUNS}/{row['run_id']}"] = key
        if not directory.is_relative_to(ledger.home):
            for path in RunFiles(directory, row["run_id"], is_flat=True).all:
                yield path, _OUTSIDE, key
    for top, _, names in os.walk(ledger.home):
        place = Path(os.path.relpath(top, ledger.home))
        levels = map(str, (place, *place.parents))
        key = next((owners[each] for each in levels if each in owners), 0)
        first = place.parts[0] if place.parts else ""
        for name in names:
            is_backup = not first and name.lstrip(".").startswith((f"{NAME}.", OLD))
            kind = "backups" if is_backup else "exports" if key else "other"
            if first in {RUNS, QUEUE, WORKTREES} or not first:
                kind = first or _LEDGER.get(name, kind)
            yield f"{top}/{name}", kind, key


class UnfinishedError(SessionBusyError):
    """Refuse to uninstall the suite while tasks run or have waiting prompts."""

    def __init__(self, count: int) -> None:
        why = f"tasks that run or have waiting prompts: {count}"
        RunnerError.__init__(self, why, "codex-tasks stop -a")


def purge(settings: Config, *, is_wanted: bool) -> list[str]:
    """Remove what the suite has written into its state directory, the ledger last.

    Return the paths that stay: files of other tools, and log directories.

    Raises:
        UnfinishedError: a task runs or has waiting prompts; also if it is not wanted.
        LedgerFault: the directory is another user's, or cannot be written.
    """
    home = settings.state_home
    places = [home / RUNS, home / QUEUE]
    if any(map(files.status, (home / NAME, home / OLD))):
        ledger = Ledger(home)
        sweep(ledger, settings, delivers=False)
        if keys := ledger.queue.to_stop():
            raise UnfinishedError(len(keys))
        places += filter(None, (s.exports_in(home) for s in ledger.sessions.all()))
        ledger.close()
    if not is_wanted:
        return []
    refuse_closed(home, os.R_OK | os.W_OK | os.X_OK)
    stays = [str(each) for each in noted_directories(home)]
    for place in filter(files.is_directory, places):
        files.remove_tree(place)
    for top, _, _ in os.walk(home / ARCHIVE, topdown=False):
        with suppress(OSError):
            Path(top).rmdir()  # also what removed tasks have left empty
    # Backups before their ledger: without one they make a command ask for a repair.
    found = [each for each in files.names(home) if each.lstrip(".").startswith(_FILES)]
    files.remove([home / name for name in reversed(found)])
    files.remove_empty(home, home.parent)
    return [*(str(home / name) for name in files.names(home)), *stays]


def removal(settings: Config) -> list[str] | None:
    """Return the command that removes the installed package; None for a clone."""
    if (_ROOT / "pyproject.toml").exists():
        return None
    python = sys.executable
    prefix = Path(python).parent.parent  # sys.prefix is wrong without `site`
    by = "".join(map(files.read_text, _ROOT.glob("codex_runner-*/INSTALLER"))).strip()
    argv = [python, "-m", "pip", "uninstall", "--yes", _PACKAGE]
    if (prefix / "pipx_metadata.json").exists():
        argv = ["pipx", "uninstall", _PACKAGE]
    elif (prefix / "uv-receipt.toml").exists():
        argv = ["uv", "tool", "uninstall", _PACKAGE]
    elif by == "uv":
        argv = ["uv", "pip", "uninstall", "--python", python, _PACKAGE]
    return [which(argv[0], settings.search_path) or argv[0], *argv[1:]]
