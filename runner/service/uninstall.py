"""Remove the state directory, and name the command that removes the package."""

from __future__ import annotations

import sys

from parsers.paths import Path
from parsers.struct import Struct
from runner import files
from runner.errors import RunnerError, SessionBusyError
from runner.ledger import database
from runner.ledger.ledger import Ledger
from runner.process.start import which
from runner.run_files import RUNS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config

_PACKAGE = "codex-runner"
_ROOT = Path(__file__).parents[2]
_FILES = (
    *(database.NAME, database.OLD, "log-dirs", "prices.toml", "prices-cache.json"),
    "codex-versions.json",
)
_DIRECTORIES = (RUNS, "queue")


class UnfinishedError(SessionBusyError):
    """Refuse to uninstall the suite while tasks are running."""

    def __init__(self, count: int) -> None:
        RunnerError.__init__(
            self,
            f"tasks that run or have waiting prompts: {count} (codex-tasks stop -a ends"
            " them, codex-tasks status -A shows them)",
        )


class Purged(Struct):
    """Hold what is left of the state directory; `elsewhere` are log directories."""

    left: tuple[str, ...]
    elsewhere: tuple[str, ...]


def refuse_unfinished(settings: Config) -> None:
    """Refuse while a task runs or has waiting prompts.

    Raises:
        UnfinishedError: one does.
    """
    ledger = _ledger(settings)
    if ledger is not None and (keys := ledger.queue.to_stop()):
        raise UnfinishedError(len(keys))


def purge(settings: Config) -> Purged:
    """Remove what the suite has written into its state directory, the ledger last.

    Other files stay, such as tasks of an older tool.
    """
    home, ledger = settings.state_home, _ledger(settings)
    elsewhere = files.read_text(home / "log-dirs").splitlines()
    sessions = [] if ledger is None else ledger.sessions.all()
    exports = [place for each in sessions if (place := each.exports_in(home))]
    for place in (*exports, *(home / name for name in _DIRECTORIES)):
        if files.is_directory(place):
            files.remove_tree(place)
        files.remove_empty(place.parent, home)
    if ledger is not None:
        ledger.close()
    found = [each for each in files.names(home) if each.lstrip(".").startswith(_FILES)]
    # Without its ledger, a backup would make every command ask for a repair.
    files.remove([home / name for name in sorted(found, reverse=True)])
    files.remove_empty(home, home.parent)
    left = tuple(str(home / name) for name in files.names(home))
    return Purged(left=left, elsewhere=tuple(elsewhere))


def _ledger(settings: Config) -> Ledger | None:
    home = settings.state_home
    has_one = any(map(files.status, (home / database.NAME, home / database.OLD)))
    return Ledger(home) if has_one else None


def removal(settings: Config) -> list[str] | None:
    """Return the command that removes the installed package; None for a clone."""
    prefix = Path(sys.prefix)
    if (_ROOT / "pyproject.toml").exists():
        return None
    argv = [sys.executable, "-m", "pip", "uninstall", "--yes", _PACKAGE]
    installers = [
        files.read_text(each) for each in _ROOT.glob("codex_runner-*/INSTALLER")
    ]
    if (prefix / "pipx_metadata.json").exists():
        argv = ["pipx", "uninstall", _PACKAGE]
    elif (prefix / "uv-receipt.toml").exists():
        argv = ["uv", "tool", "uninstall", _PACKAGE]
    elif "uv" in "".join(installers):
        argv = ["uv", "pip", "uninstall", "--python", sys.executable, _PACKAGE]
    program = which(argv[0], settings.search_path)
    return [program or argv[0], *argv[1:]]
