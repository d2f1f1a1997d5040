"""Clone a repository for a new session."""

from __future__ import annotations

import os
import shutil

from parsers.light import signal
from parsers.paths import Path
from runner import clock
from runner.errors import RunnerError, RunnerFault, UsageError
from runner.model import EXIT_SIGNAL_BASE
from runner.process.signals import name_of, recorded
from runner.process.start import run_visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.config import Config

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TRIES = 20
_PACE_SECONDS = 0.05


class CloneEndedError(RunnerError):
    """Report that a signal ended the clone before it was complete."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"{name_of(number)}: {what} has been ended")
        self.exit_code = EXIT_SIGNAL_BASE + number


def clone(url: str, ref: str | None, directory: str | None, settings: Config) -> None:
    """Clone a repository into a new directory, at a branch, tag or commit.

    The directory appears complete or not at all. Git's output goes to standard error.

    Raises:
        UsageError: no directory is given, it exists already, or the ref is no name.
        RunnerFault: git cannot be run, or fails; nothing is left.
        CloneEndedError: a signal arrived; git has ended, and nothing is left.
    """
    if not directory:
        message = "--repo needs --working-dir: the directory to clone into"
        raise UsageError(message)
    if ref is not None and ref.startswith("-"):
        message = f"--repo-ref {ref}: the name of a branch, tag or commit is required"
        raise UsageError(message)
    place = Path(directory).absolute()
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        message = f"--working-dir {directory}: exists already, name a new directory"
        raise UsageError(message)
    part = place.with_name(f".{place.name}.{os.urandom(4).hex()}.clone")
    with recorded(_ENDS) as told:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            _fetch(url, ref, part, settings, told)
            part.rename(place)
        finally:
            # Repeated while processes that Ctrl-C ends still write into it.
            for _ in range(_TRIES):
                shutil.rmtree(part, ignore_errors=True)
                if not part.exists():
                    break
                clock.sleep(_PACE_SECONDS)


def _fetch(
    url: str, ref: str | None, part: Path, settings: Config, told: Sequence[int]
) -> None:
    """Clone, and check out a branch or tag, else fetch the ref by its remote name."""

    def git(*words: str) -> bool:
        is_done = run_visible(["git", *words], settings.environment, told)
        if told:
            raise CloneEndedError(told[0], what)
        return is_done

    what, there = f"git clone {url}", ("-C", str(part))
    source = str(Path(url).absolute()) if Path(url).exists() else url
    is_done = git("clone", "--", source, str(part))
    if is_done and ref is not None:
        what = f"git checkout {ref}"
        is_done = git(*there, "checkout", ref, "--") or (
            git(*there, "fetch", "origin", ref)
            and git(*there, "checkout", "FETCH_HEAD", "--")
        )
    if not is_done:
        message = f"{what} failed; git's message is above"
        raise RunnerFault(message)
