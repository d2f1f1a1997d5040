"""The paths of the files of a run.

A run of `codex-tasks` has a directory of its own, `runs/<run id>/` in the state
directory. `run_codex_task` writes flat files, `codex-run-<run id>.*`, into its
`--log-dir`. For both the lock file `owner` is in `runs/<run id>/`.
"""

from __future__ import annotations

import os

from parsers.light import pattern
from parsers.paths import Path
from runner.model import RunId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parsers.light import datetime
    from runner.model import Spec

PREFIX = "codex-run-"
RUNS = "runs"
WORKTREES = "worktrees"
_RUN_ID = pattern(r"\d{8}-\d{6}-\d{6}-[0-9a-f]{8}")


class RunFiles:
    """Name the files of one run in its directory.

    `log` is the readable transcript; in a directory of its own, the output of hooks.
    `verify` is the output of its check; it exists once that has begun.
    """

    def __init__(self, directory: Path, run_id: RunId, *, is_flat: bool) -> None:
        self.directory, self.run_id, self.is_flat = directory, run_id, is_flat
        prefix = f"{PREFIX}{run_id}." if is_flat else ""
        self.prompt = directory / f"{prefix}prompt"
        self.events = directory / f"{prefix}events.jsonl"
        self.stderr = directory / f"{prefix}stderr"
        self.verify = directory / f"{prefix}verify"
        self.log = directory / f"{prefix}log"
        self.meta = directory / f"{prefix}meta.json"
        self.summary = directory / f"{prefix}summary.json"

    @property
    def all(self) -> list[Path]:
        return [each for each in vars(self).values() if isinstance(each, Path)][1:]


def files_of(spec: Spec) -> RunFiles:
    """Name the files of the run that a spec describes."""
    return RunFiles(Path(spec.directory), spec.run_id, is_flat=spec.is_flat)


def own_directory(state_home: Path, run_id: str) -> Path:
    """Name the directory of a run in the state directory."""
    return state_home / RUNS / run_id


def owner_of(state_home: Path, run_id: str) -> Path:
    """Name the file whose lock the supervisor of a run holds."""
    return own_directory(state_home, run_id) / "owner"


def beside(path: Path) -> RunFiles | None:
    """Name the files of a run by the path of one of them."""
    name, dot, kind = path.name.removeprefix(PREFIX).partition(".")
    if path.name.startswith(PREFIX) and dot:
        return RunFiles(path.parent, RunId(name), is_flat=True)
    if path.name in {"events.jsonl", "stderr", "log", "meta.json"} and kind:
        return RunFiles(path.parent, RunId(path.parent.name), is_flat=False)
    return None


def new_run_id(at: datetime) -> RunId:
    """Make a run id: UTC time to the microsecond and 32 random bits.

    It sorts by time and is never a valid session id, which is a UUID.
    """
    return RunId(f"{at:%Y%m%d-%H%M%S-%f}-{os.urandom(4).hex()}")


def is_run_id(text: str) -> bool:
    """Tell whether a text has the form of a run id."""
    return _RUN_ID.fullmatch(text) is not None
