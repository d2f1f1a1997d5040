"""Clone a repository for a session that is to work in it."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

from runner import clock
from runner.errors import RunnerError, RunnerFault, UsageError
from runner.model import EXIT_INTERRUPTED, EXIT_SIGNAL_BASE
from runner.process.signals import recorded
from runner.process.start import run_visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.config import Config


_TRIES = 20
_PACE_SECONDS = 0.05


class CloneEndedError(RunnerError):
    """Report that somebody has told the command to end before the clone was there."""

    exit_code = EXIT_SIGNAL_BASE + signal.SIGTERM


class CloneInterruptedError(CloneEndedError):
    """Report a Ctrl-C."""

    exit_code = EXIT_INTERRUPTED


class CloneHungUpError(CloneEndedError):
    """Report that the terminal has gone."""

    exit_code = EXIT_SIGNAL_BASE + signal.SIGHUP


_ENDS = {
    signal.SIGINT: CloneInterruptedError,
    signal.SIGTERM: CloneEndedError,
    signal.SIGHUP: CloneHungUpError,
}


def clone(url: str, ref: str | None, directory: str | None, settings: Config) -> None:
    """Clone a repository into a directory that is not there yet, at a branch or commit.

    It appears whole or not at all. What git says goes to standard error.

    Raises:
        UsageError: no directory is named, or it is there already; no name of a ref.
        RunnerFault: git cannot be run, or fails; nothing is left behind.
        CloneEndedError: a signal came; git is ended, and nothing is left behind.
    """
    if not directory:
        message = "--repo needs --working-dir: the directory to clone into"
        raise UsageError(message)
    if ref is not None and ref.startswith("-"):
        message = f"--repo-ref {ref}: a name of a branch, tag or commit is needed"
        raise UsageError(message)
    place = Path(directory).absolute()
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        message = f"--working-dir {directory}: is there already, name a new one"
        raise UsageError(message)
    part = place.with_name(f".{place.name}.{os.urandom(4).hex()}.clone")
    source = str(Path(url).absolute()) if Path(url).exists() else url
    with recorded(_ENDS) as told:
        git = _Git(settings, told)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            git.run(["clone", "--", source, str(part)], f"git clone {url}")
            if ref is not None:
                _check_out(ref, part, git)
            part.rename(place)
        finally:
            _remove(part)


def _remove(part: Path) -> None:
    """Remove what is there, again while programs that a Ctrl-C ends still add to it."""
    for _ in range(_TRIES):
        shutil.rmtree(part, ignore_errors=True)
        if not part.exists():
            return
        clock.sleep(_PACE_SECONDS)


class _Git:
    def __init__(self, settings: Config, told: Sequence[int]) -> None:
        self._settings = settings
        self._told = told

    def run(self, words: list[str], what: str) -> None:
        if not self.does_well(words, what):
            message = f"{what} has failed; git has said why"
            raise RunnerFault(message)

    def does_well(self, words: list[str], what: str) -> bool:
        argv = ["git", *words]
        is_done = run_visible(argv, self._settings.environment, self._told)
        if self._told:
            number = signal.Signals(self._told[0])
            message = f"{number.name}: {what} has been ended"
            raise _ENDS[number](message)
        return is_done


def _check_out(ref: str, place: Path, git: _Git) -> None:
    """Check out a branch or tag, else whatever the other side has under that name."""
    at = ["-C", str(place)]
    what = f"git checkout {ref}"
    if git.does_well([*at, "checkout", ref, "--"], what):
        return
    git.run([*at, "fetch", "origin", ref], what)
    git.run([*at, "checkout", "FETCH_HEAD", "--"], what)
