"""Find out what would go wrong with a run before it is started."""

from __future__ import annotations

import json
import os
import re
import shutil
import tomllib
from pathlib import Path

from parsers.struct import Struct, replace
from runner import files
from runner.accounting import prices
from runner.errors import LedgerFault, RunnerError
from runner.ledger import database
from runner.ledger.database import is_damage
from runner.ledger.ledger import Ledger
from runner.locks import Lock, look, take
from runner.process.start import capture, which

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runner.config import Config
    from runner.service.request import RunWords

_ASK_SECONDS = 20.0

_LEAST_FREE_BYTES = 500 * 1024 * 1024

_TESTED_VERSION = (0, 169, 0)

_OLDEST_VERSION = (0, 50, 0)

_INSTALL = "npm install -g @openai/codex"

_ASK_SECONDS = 20.0


class Check(Struct):
    """Hold one finding: what was looked at, what is so, and how to fix it."""

    name: str
    is_good: bool
    detail: str
    fix: str | None = None


def examine(
    request: RunWords, settings: Config, *, has_log_dir: bool = True
) -> list[Check]:
    """Look at everything that a run with this request would need.

    Args:
        request: the run that is thought of.
        settings: the environment.
        has_log_dir: its files go to the log directory, not to the state directory.
    """
    found = which(request.codex.bin, settings.search_path)
    return [
        _codex(request, found, settings),
        *(_login(found, settings) if found else ()),
        _codex_home(settings),
        _repository(request, settings),
        *(_sandbox(request, found, settings) if found else ()),
        *_state(settings),
        *_prices(settings),
        *([_log_dir(request)] if has_log_dir else ()),
        *_space(request if has_log_dir else None, settings),
    ]


def is_there(path: Path) -> bool:
    """Tell whether a file can be seen; `Path.exists` raises without the rights."""
    return os.access(path, os.F_OK)


def _codex(request: RunWords, found: str | None, settings: Config) -> Check:
    if found is None:
        return Check(
            name="codex",
            is_good=False,
            detail=f"{request.codex.bin} is not found, or cannot be run",
            fix=f"{_INSTALL}, or name it with --codex-bin",
        )
    said = capture([found, "--version"], settings.environment, _ASK_SECONDS)
    version = _version(said)
    if version is None:
        return Check(
            name="codex",
            is_good=False,
            detail=f"{found} --version says {said!r}",
            fix=f"is it Codex? {_INSTALL}",
        )
    if version < _OLDEST_VERSION:
        return Check(
            name="codex",
            is_good=False,
            detail=f"{said} at {found} is too old",
            fix=f"{_INSTALL}@latest",
        )
    newer = " (newer than what this suite was tested with)"
    note = newer if version > _TESTED_VERSION else ""
    return Check(name="codex", is_good=True, detail=f"{said} at {found}{note}")


def _version(said: str | None) -> tuple[int, ...] | None:
    match = re.search(r"\b(\d+)\.(\d+)\.(\d+)", said or "")
    return tuple(int(part) for part in match.groups()) if match else None


def _login(found: str, settings: Config) -> Iterator[Check]:
    fix = "codex login, or set CODEX_API_KEY"
    told = _codex_doctor(found, settings).get("auth.credentials")
    if isinstance(told, dict):
        is_good = told.get("status") == "ok"
        yield Check(
            name="login",
            is_good=is_good,
            detail=str(told.get("summary")),
            fix=None if is_good else fix,
        )
        return
    detail = _older_login(found, settings)
    yield Check(
        name="login",
        is_good=detail is not None,
        detail=detail or "not logged in",
        fix=fix if detail is None else None,
    )


def _older_login(found: str, settings: Config) -> str | None:
    """Tell of the login as versions without `codex doctor` do; None without one."""
    if settings.environment.get("CODEX_API_KEY"):
        return "CODEX_API_KEY is set"
    provider = _codex_config(settings).get("model_provider", "openai")
    if provider != "openai":
        return f"left to the model provider {provider!r} of the configuration"
    return capture([found, "login", "status"], settings.environment, _ASK_SECONDS)


def _codex_doctor(found: str, settings: Config) -> Mapping[str, object]:
    """Ask Codex's own doctor (0.169); it exits 1 when it finds anything at all."""
    said = capture(
        [found, "doctor", "--json"],
        settings.environment,
        _ASK_SECONDS,
        any_exit_code=True,
    )
    try:
        checks = json.loads(said or "{}").get("checks", {})
    except (ValueError, AttributeError):
        return {}
    return checks if isinstance(checks, dict) else {}


def _codex_config(settings: Config) -> Mapping[str, object]:
    try:
        text = files.read_bytes(settings.codex_home / "config.toml").decode()
        return tomllib.loads(text)
    except (OSError, ValueError, RecursionError):
        return {}


def _codex_home(settings: Config) -> Check:
    home = settings.codex_home
    if "CODEX_HOME" in settings.environment and not home.is_dir():
        return Check(
            name="CODEX_HOME",
            is_good=False,
            detail=f"{home} is named by the variable, but is no directory",
            fix=f"mkdir -p {home}, or unset CODEX_HOME",
        )
    nearest = next(p for p in (home, *home.parents) if is_there(p))
    is_good = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    state = "" if is_there(home) else " (not there yet, Codex makes it)"
    return Check(
        name="CODEX_HOME",
        is_good=is_good,
        detail=f"{home}{state} is {'' if is_good else 'not '}writable",
        fix=None if is_good else f"give yourself the right: chmod u+rwx {nearest}",
    )


def _repository(request: RunWords, settings: Config) -> Check:
    repo = Path(request.repo).absolute()
    if not repo.is_dir():
        return Check(
            name="repo",
            is_good=False,
            detail=f"{repo} is not a directory",
            fix="name one that is",
        )
    if any(_is_repository(place) for place in (repo, *repo.parents)):
        return Check(name="repo", is_good=True, detail=f"{repo} is in a git repository")
    if request.codex.skip_git_repo_check:
        return Check(
            name="repo", is_good=True, detail=f"{repo} need not be in a git repository"
        )
    if _is_trusted(repo, settings):
        return Check(name="repo", is_good=True, detail=f"{repo} is trusted")
    return Check(
        name="repo",
        is_good=False,
        detail=f"{repo} is neither in a git repository nor trusted: Codex refuses it",
        fix="git init there, or pass --skip-git-repo-check",
    )


def _is_repository(place: Path) -> bool:
    """Tell what 0.169 takes for a repository: `.git` is a file, or has a HEAD."""
    git = place / ".git"
    return git.is_file() or is_there(git / "HEAD")


def _is_trusted(repo: Path, settings: Config) -> bool:
    projects = _codex_config(settings).get("projects")
    project = projects.get(str(repo)) if isinstance(projects, dict) else None
    return isinstance(project, dict) and project.get("trust_level") == "trusted"


def _sandbox(request: RunWords, found: str, settings: Config) -> Iterator[Check]:
    mode = request.codex.sandbox
    if mode == "danger-full-access":
        yield Check(name="sandbox", is_good=True, detail="none is asked for")
        return
    if mode is not None and not _knows(found, mode, settings):
        yield Check(
            name="sandbox",
            is_good=False,
            detail=f"Codex knows no sandbox {mode!r}",
            fix="name one of those that `codex exec --help` lists",
        )
        return
    ran = capture(
        [found, "sandbox", "--", "echo", "works"], settings.environment, _ASK_SECONDS
    )
    yield Check(
        name="sandbox",
        is_good=ran == "works",
        detail="a sandboxed command "
        + ("works" if ran == "works" else "cannot be run here"),
        fix=None
        if ran == "works"
        else "allow unprivileged user namespaces, or pass --sandbox danger-full-access"
        " where the machine itself is the sandbox",
    )


def _knows(found: str, mode: str, settings: Config) -> bool:
    """Tell whether Codex takes a sandbox mode: with --help it does nothing else."""
    asked = [found, "exec", f"--sandbox={mode}", "--help"]
    return capture(asked, settings.environment, _ASK_SECONDS) is not None


def _state(settings: Config) -> Iterator[Check]:
    home = settings.state_home
    try:
        ledger = Ledger(home)
        ledger.runs.unfinished()
        ledger.close()
        is_open = [p for p in (home, ledger.path) if p.stat().st_mode & 0o077]
    except (RunnerError, OSError) as error:
        yield _unusable(home, error)
        return
    yield Check(
        name="state",
        is_good=not is_open,
        detail=f"{home}: "
        + (
            f"others can get at {is_open[0]}"
            if is_open
            else "private, and the ledger can be written"
        ),
        fix=f"chmod go= {is_open[0]}" if is_open else None,
    )


def _unusable(home: Path, error: RunnerError | OSError) -> Check:
    if isinstance(error, LedgerFault) and is_damage(error):
        fix = "codex-tasks verify --repair"
    else:
        fix = f"make {home} readable and writable, or set CODEX_RUNNER_HOME"
    reason = error.strerror if isinstance(error, OSError) else None
    return Check(
        name="state",
        is_good=False,
        detail=f"{home}: {reason}" if reason else str(error),
        fix=fix,
    )


def _prices(settings: Config) -> Iterator[Check]:
    """Look at the user's own prices, where there are any."""
    path = settings.state_home / prices.OWN
    if not is_there(path):
        return
    trouble = prices.trouble(settings.state_home)
    yield Check(
        name="prices",
        is_good=trouble is None,
        detail=trouble or f"{path} can be used",
        fix=f"correct {path}: what runs until then may get no price, for ever"
        if trouble
        else None,
    )


def _log_dir(request: RunWords) -> Check:
    directory = Path(request.log_dir).absolute()
    nearest = next(p for p in (directory, *directory.parents) if is_there(p))
    is_good = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    return Check(
        name="log directory",
        is_good=is_good,
        detail=f"{directory} can {'' if is_good else 'not '}be written",
        fix=None if is_good else "name another one with --log-dir",
    )


def _space(request: RunWords | None, settings: Config) -> Iterator[Check]:
    places = {"state": settings.state_home}
    if request is not None:
        places["logs"] = Path(request.log_dir).absolute()
    places["CODEX_HOME"] = settings.codex_home
    seen: set[int] = set()
    for name, place in places.items():
        nearest = next(p for p in (place, *place.parents) if is_there(p))
        device = nearest.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        free = files.free_bytes(nearest)
        is_good = free >= _LEAST_FREE_BYTES
        yield Check(
            name=f"disk ({name})",
            is_good=is_good,
            detail=f"{free / 1e9:.1f} GB free at {nearest}",
            fix=None if is_good else "make room: a run needs some 500 MB at the least",
        )


def examine_tasks(request: RunWords, settings: Config) -> list[Check]:
    """Look at everything that sessions need, the first of them with this request."""
    wanted = Path(request.repo).absolute()
    place = next(p for p in (wanted, *wanted.parents) if is_there(p))
    return [
        *examine(replace(request, repo=str(place)), settings, has_log_dir=False),
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
        fix=None if is_good else f"make {place} writable, or name another one",
    )


def _file_system(home: Path) -> Iterator[Check]:
    """Try what the ledger needs: a local file system, with locks."""
    if not home.is_dir():
        return  # the state directory has its own finding
    reason = _trouble(home)
    yield Check(
        name="file system",
        is_good=reason is None,
        detail=f"{home}: {reason or 'locks work, and it is no network file system'}",
        fix="set CODEX_RUNNER_HOME to a directory on a local disk" if reason else None,
    )


def _trouble(home: Path) -> str | None:
    kind = database.file_system_of(home)
    try:
        database.refuse_remote(home)
    except RunnerError as error:
        return str(error)
    place = home / f".doctor-{os.urandom(4).hex()}"
    try:
        files.make_directory(place)
        handle = take(place / "lock")
        if handle is None:
            return "a new file is locked already"
        try:
            is_held = look(place / "lock") is Lock.HELD
        finally:
            os.close(handle)
    except (OSError, RunnerError) as error:
        return str(error)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return None if is_held else f"a lock keeps no other process out ({kind})"


def _git(settings: Config) -> Check:
    said = capture(["git", "--version"], settings.environment, _ASK_SECONDS)
    return Check(
        name="git",
        is_good=said is not None,
        detail=said or "git is not found, or cannot be run",
        fix=None if said else "install git: start --repo clones with it",
    )
