"""Clone a repository for a session that is to work in it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from runner import process
from runner.errors import RunnerFault, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config


def clone(url: str, ref: str | None, directory: str | None, settings: Config) -> None:
    """Clone a repository into a directory that is not there yet, at a branch or commit.

    It appears whole or not at all. What git says goes to standard error.

    Raises:
        UsageError: no directory is named, or it is there already.
        RunnerFault: git cannot be run, or fails; nothing is left behind.
    """
    if not directory:
        message = "--repo needs --working-dir: the directory to clone into"
        raise UsageError(message)
    place = Path(directory).absolute()
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        message = f"--working-dir {directory}: is there already, name a new one"
        raise UsageError(message)
    part = place.with_name(f".{place.name}.{os.urandom(4).hex()}.clone")
    source = str(Path(url).absolute()) if Path(url).exists() else url
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _git(["clone", "--", source, str(part)], f"git clone {url}", settings)
        if ref is not None:
            _check_out(ref, part, settings)
        part.rename(place)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check_out(ref: str, place: Path, settings: Config) -> None:
    """Check out a branch or tag, else whatever the other side has under that name."""
    if ref.startswith("-"):
        message = f"--repo-ref {ref}: a name of a branch, tag or commit is needed"
        raise UsageError(message)
    at = ["-C", str(place)]
    if process.run_loud(["git", *at, "checkout", ref, "--"], settings.environment):
        return
    what = f"git checkout {ref}"
    _git([*at, "fetch", "origin", ref], what, settings)
    _git([*at, "checkout", "FETCH_HEAD", "--"], what, settings)


def _git(words: list[str], what: str, settings: Config) -> None:
    if not process.run_loud(["git", *words], settings.environment):
        message = f"{what} has failed; git has said why"
        raise RunnerFault(message)
