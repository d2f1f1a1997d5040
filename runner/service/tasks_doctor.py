"""Find out what would go wrong with `codex-tasks` before anything is started."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from parsers.value import replace
from runner import artifacts, process
from runner.errors import RunnerError
from runner.service import doctor
from runner.service.doctor import Check, is_there

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config import Config
    from runner.service.request import Request

_ASK_SECONDS = 20.0


def examine(request: Request, settings: Config) -> list[Check]:
    """Look at everything that sessions need, the first of them with this request."""
    wanted = Path(request.repo).absolute()
    place = next(p for p in (wanted, *wanted.parents) if is_there(p))
    return [
        *doctor.examine(replace(request, repo=str(place)), settings, has_log_dir=False),
        *(_made(wanted, place) if place.is_dir() and place != wanted else ()),
        *_file_system(settings.state_home),
        _git(settings),
    ]


def _made(wanted: Path, place: Path) -> Iterator[Check]:
    """Tell whether a working directory that is not there yet can be made."""
    is_good = os.access(place, os.W_OK | os.X_OK)
    yield Check(
        name="working directory",
        is_good=is_good,
        detail=f"{wanted} is not there yet and can{'' if is_good else 'not'} be made",
        mend=None if is_good else f"make {place} writable, or name another one",
    )


def _file_system(home: Path) -> Iterator[Check]:
    """Try what everything rests upon: a lock that stays while its directory moves."""
    if not home.is_dir():
        return  # the state directory has its own finding
    reason = _trouble(home)
    yield Check(
        name="file system",
        is_good=reason is None,
        detail=f"{home}: {reason or 'locks and renames work'}",
        mend="set CODEX_RUNNER_HOME to a directory on a local disk" if reason else None,
    )


def _trouble(home: Path) -> str | None:
    place = home / f".doctor-{os.urandom(4).hex()}"
    moved = place.with_name(f"{place.name}-moved")
    try:
        artifacts.make_directory(place)
        handle = artifacts.lock(place / "lock")
        if handle is None:
            return "a new file is locked already"
        try:
            place.rename(moved)
            is_held = artifacts.is_locked(moved / "lock")
        finally:
            os.close(handle)
    except (OSError, RunnerError) as error:
        return str(error)
    finally:
        for each in (place, moved):
            shutil.rmtree(each, ignore_errors=True)
    return None if is_held else "a lock keeps nobody out"


def _git(settings: Config) -> Check:
    said = process.capture(["git", "--version"], settings.environment, _ASK_SECONDS)
    return Check(
        name="git",
        is_good=said is not None,
        detail=said or "git is not found, or cannot be run",
        mend=None if said else "install git: start --repo clones with it",
    )
