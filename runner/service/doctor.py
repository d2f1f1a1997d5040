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
        *([_login(found, settings)] if found else ()),
        _codex_home(settings),
        _repository(request, settings),
        *([_sandbox(request, found, settings)] if found else ()),
        _state(settings),
        *_prices(settings),
        *([_log_dir(request)] if has_log_dir else ()),
        *_space(request if has_log_dir else None, settings),
    ]


def examine_tasks(request: RunWords, settings: Config) -> list[Check]:
    """Look at everything that sessions need, the first of them with this request."""
    wanted, home = Path(request.repo).absolute(), settings.state_home
    place = _nearest(wanted)
    checks = examine(replace(request, repo=str(place)), settings, has_log_dir=False)
    if place.is_dir() and place != wanted:
        name, state = "working directory", f"{wanted} is not there yet and can"
        fix = f"make {place} writable, or name another one"
        good = _check(name, f"{state} be made")
        bad = _check(name, f"{state}not be made", fix)
        checks.append(good if _takes_files(place) else bad)
    if home.is_dir():  # else "state" has said why not
        checks.append(_locks(home))
    git = _ask(["git", "--version"], settings)
    fix = "install git: start --repo clones with it"
    detail = git or "git is not found, or cannot be run"
    return [*checks, _check("git", detail, None if git else fix)]


def _check(name: str, detail: str, fix: str | None = None) -> Check:
    """Make a finding, a good one when there is nothing to fix."""
    return Check(name=name, is_good=fix is None, detail=detail, fix=fix)


def _ask(argv: list[str], settings: Config) -> str | None:
    return capture(argv, settings.environment, _ASK_SECONDS)


def _is_there(path: Path) -> bool:
    """Tell whether a file can be seen; `Path.exists` raises without the rights."""
    return os.access(path, os.F_OK)


def _nearest(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if _is_there(place))


def _takes_files(place: Path) -> bool:
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)


def _codex(request: RunWords, found: str | None, settings: Config) -> Check:
    if found is None:
        fix = f"{_INSTALL}, or name it with --codex-bin"
        detail = f"{request.codex.bin} is not found, or cannot be run"
        return _check("codex", detail, fix)
    said = _ask([found, "--version"], settings)
    match = re.search(r"\b(\d+)\.(\d+)\.(\d+)", said or "")
    if match is None:
        fix = f"is it Codex? {_INSTALL}"
        return _check("codex", f"{found} --version says {said!r}", fix)
    version = tuple(map(int, match.groups()))
    if version < _OLDEST_VERSION:
        return _check("codex", f"{said} at {found} is too old", f"{_INSTALL}@latest")
    newer = " (newer than what this suite was tested with)"
    note = newer if version > _TESTED_VERSION else ""
    return _check("codex", f"{said} at {found}{note}")


def _login(found: str, settings: Config) -> Check:
    fix = "codex login, or set CODEX_API_KEY"
    told = _codex_doctor(found, settings).get("auth.credentials")
    if isinstance(told, dict):
        is_good = told.get("status") == "ok"
        return _check("login", str(told.get("summary")), None if is_good else fix)
    # Versions before 0.169 have no doctor.
    if settings.environment.get("CODEX_API_KEY"):
        return _check("login", "CODEX_API_KEY is set")
    provider = _codex_config(settings).get("model_provider", "openai")
    if provider != "openai":
        detail = f"left to the model provider {provider!r} of the configuration"
        return _check("login", detail)
    said = _ask([found, "login", "status"], settings)
    return _check("login", said or "not logged in", None if said else fix)


def _codex_doctor(found: str, settings: Config) -> Mapping[str, object]:
    """Ask Codex's own doctor (0.169); it exits 1 when it finds anything at all."""
    argv = [found, "doctor", "--json"]
    said = capture(argv, settings.environment, _ASK_SECONDS, any_exit_code=True)
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
    home, name = settings.codex_home, "CODEX_HOME"
    if name in settings.environment and not home.is_dir():
        detail = f"{home} is named by the variable, but is no directory"
        return _check(name, detail, f"mkdir -p {home}, or unset CODEX_HOME")
    nearest = _nearest(home)
    state = "" if _is_there(home) else " (not there yet, Codex makes it)"
    if _takes_files(nearest):
        return _check(name, f"{home}{state} is writable")
    fix = f"give yourself the right: chmod u+rwx {nearest}"
    return _check(name, f"{home}{state} is not writable", fix)


def _repository(request: RunWords, settings: Config) -> Check:
    repo = Path(request.repo).absolute()
    if not repo.is_dir():
        return _check("repo", f"{repo} is not a directory", "name one that is")
    # What 0.169 takes for a repository: `.git` is a file, or has a HEAD.
    gits = [place / ".git" for place in (repo, *repo.parents)]
    if any(git.is_file() or _is_there(git / "HEAD") for git in gits):
        return _check("repo", f"{repo} is in a git repository")
    if request.codex.skip_git_repo_check:
        return _check("repo", f"{repo} need not be in a git repository")
    projects = _codex_config(settings).get("projects")
    project = projects.get(str(repo)) if isinstance(projects, dict) else None
    if isinstance(project, dict) and project.get("trust_level") == "trusted":
        return _check("repo", f"{repo} is trusted")
    detail = f"{repo} is neither in a git repository nor trusted: Codex refuses it"
    return _check("repo", detail, "git init there, or pass --skip-git-repo-check")


def _sandbox(request: RunWords, found: str, settings: Config) -> Check:
    mode = request.codex.sandbox
    if mode == "danger-full-access":
        return _check("sandbox", "none is asked for")
    # With --help Codex reads its arguments, and does nothing else.
    help_of_mode = [found, "exec", f"--sandbox={mode}", "--help"]
    if mode is not None and not _ask(help_of_mode, settings):
        fix = "name one of those that `codex exec --help` lists"
        return _check("sandbox", f"Codex knows no sandbox {mode!r}", fix)
    if _ask([found, "sandbox", "--", "echo", "works"], settings) == "works":
        return _check("sandbox", "a sandboxed command works")
    return _check(
        "sandbox",
        "a sandboxed command cannot be run here",
        "allow unprivileged user namespaces, or pass --sandbox danger-full-access"
        " where the machine itself is the sandbox",
    )


def _state(settings: Config) -> Check:
    home = settings.state_home
    try:
        ledger = Ledger(home)
        ledger.runs.unfinished()
        ledger.close()
        is_open = [p for p in (home, ledger.path) if p.stat().st_mode & 0o077]
    except (RunnerError, OSError) as error:
        fix = f"make {home} readable and writable, or set CODEX_RUNNER_HOME"
        if isinstance(error, LedgerFault) and database.is_damage(error):
            fix = "codex-tasks verify --repair"
        reason = error.strerror if isinstance(error, OSError) else None
        return _check("state", f"{home}: {reason}" if reason else str(error), fix)
    if is_open:
        detail = f"{home}: others can get at {is_open[0]}"
        return _check("state", detail, f"chmod go= {is_open[0]}")
    return _check("state", f"{home}: private, and the ledger can be written")


def _prices(settings: Config) -> Iterator[Check]:
    """Look at the user's own prices, where there are any."""
    path = settings.state_home / prices.OWN
    if not _is_there(path):
        return
    trouble = prices.trouble(settings.state_home)
    fix = f"correct {path}: what runs until then may get no price, for ever"
    yield _check("prices", trouble or f"{path} can be used", fix if trouble else None)


def _log_dir(request: RunWords) -> Check:
    directory = Path(request.log_dir).absolute()
    if _takes_files(_nearest(directory)):
        return _check("log directory", f"{directory} can be written")
    fix = "name another one with --log-dir"
    return _check("log directory", f"{directory} can not be written", fix)


def _space(request: RunWords | None, settings: Config) -> Iterator[Check]:
    places = {"state": settings.state_home}
    if request is not None:
        places["logs"] = Path(request.log_dir).absolute()
    places["CODEX_HOME"] = settings.codex_home
    seen: set[int] = set()
    for name, place in places.items():
        nearest = _nearest(place)
        device = nearest.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        free = files.free_bytes(nearest)
        detail = f"{free / 1e9:.1f} GB free at {nearest}"
        fix = "make room: a run needs some 500 MB at the least"
        is_enough = free >= _LEAST_FREE_BYTES
        yield _check(f"disk ({name})", detail, None if is_enough else fix)


def _locks(home: Path) -> Check:
    """Try what the ledger needs: a local file system, with locks."""
    if reason := _trouble(home):
        fix = "set CODEX_RUNNER_HOME to a directory on a local disk"
        return _check("file system", f"{home}: {reason}", fix)
    return _check(
        "file system", f"{home}: locks work, and it is no network file system"
    )


def _trouble(home: Path) -> str | None:
    place = home / f".doctor-{os.urandom(4).hex()}"
    try:
        database.refuse_remote(home)
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
    if is_held:
        return None
    return f"a lock keeps no other process out ({database.file_system_of(home)})"
