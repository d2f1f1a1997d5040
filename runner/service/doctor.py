"""Check what a run needs before it is started."""

from __future__ import annotations

import os
import re
import shutil

from parsers import loose_json
from parsers.accounting.price_table import table_state
from parsers.light import closing, suppress
from parsers.paths import Path
from parsers.struct import Struct, replace
from runner import clock, files
from runner.accounting import prices
from runner.codex.binary import version_in
from runner.codex.home import configured
from runner.codex.login import OPENAI, missing_login
from runner.errors import RunnerError
from runner.ledger import database, file_systems
from runner.ledger.ledger import Ledger
from runner.lifecycle import timer
from runner.locks import Lock, look, take
from runner.process.start import capture, which
from runner.run_files import RUNS
from runner.service import autostart, containment
from runner.terms import masked_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from runner.config import Config
    from runner.service.request import RunWords

    # The state, and its fix; None when there is nothing to fix.
    Finding: TypeAlias = tuple[str, str | None]

_ASK_SECONDS = 20.0
_LEAST_FREE_BYTES = 500 * 1024 * 1024
_TESTED_VERSION = (0, 169, 0)
_OLDEST_VERSION = (0, 50, 0)
_DAY_SECONDS = 86_400
_INSTALL = "npm install -g @openai/codex"
_IS_OTHER = "is it Codex?"


class Check(Struct):
    """Hold one check: its name, the state that was found, and the fix."""

    name: str
    is_good: bool
    detail: str
    fix: str | None = None


def examine(request: RunWords, settings: Config) -> list[Check]:
    """Check everything that a run with this request needs."""
    found = _of_any(request, settings)
    log_dir = Path(request.log_dir).absolute()
    found["log directory"] = f"{log_dir} is writable", None
    if not _takes_files(_nearest(log_dir)):
        fix = "name another directory with --log-dir"
        found["log directory"] = f"{log_dir} is not writable", fix
    elif exposed := files.exposure(log_dir):
        found["log directory"] = exposed
    found |= _space(settings, {"logs": log_dir})
    return _checks(found | {"prices": _prices(settings)})


def examine_tasks(request: RunWords, settings: Config) -> list[Check]:
    """Check everything that a session with this request needs."""
    wanted, home = Path(request.repo).absolute(), settings.state_home
    place = _nearest(wanted)
    found = _of_any(replace(request, repo=str(place)), settings)
    found |= _space(settings, {})
    if place.is_dir() and place != wanted:
        state, fix = "can", None
        if not _takes_files(place):
            state, fix = "cannot", f"make {place} writable, or name another directory"
        detail = f"{wanted} does not exist yet and {state} be created"
        found["working directory"] = detail, fix
    if home.is_dir():  # else the check "state" has the reason
        found["file system"] = _locks(home)
    unit = containment.look(settings)
    # No fault: a user who stays logged in need not care.
    end = f": runs will be ended {unit.end}, {unit.fix}" if unit.end else ""
    found["containment"] = f"{unit.what}{end}", None
    git = _ask(["git", "--version"], settings)
    fix = None if git else "install git: start --repo clones with it"
    found["git"] = git or "git is not found, or cannot be run", fix
    with suppress(RunnerError):  # the check "state" has the reason
        found["timer"] = _timer(settings)
    if webhooks := _webhooks(settings):
        found["webhooks"] = webhooks
    return _checks(found | {"prices": _prices(settings)})


def _of_any(request: RunWords, settings: Config) -> dict[str, Finding]:
    """Check what a run of any command needs."""
    codex = which(request.codex.bin, settings.search_path)
    state = _codex(request, codex, settings)
    if _IS_OTHER in (state[1] or ""):
        codex = None  # it may do its work whatever it is asked
    found = {"codex": state}
    if codex:
        found["login"] = _login(request, codex, settings)
    found["CODEX_HOME"] = _codex_home(settings)
    found["repo"] = _repository(request, settings)
    if codex:
        found["sandbox"] = _sandbox(request, codex, settings)
    found["state"] = _state(settings)
    return found


def _checks(found: dict[str, Finding]) -> list[Check]:
    return [
        Check(name=name, is_good=fix is None, detail=detail, fix=fix)
        for name, (detail, fix) in found.items()
    ]


def _ask(argv: list[str], settings: Config) -> str | None:
    return capture(argv, settings.environment, _ASK_SECONDS)


def _is_there(path: Path) -> bool:
    """Return whether a file is visible; `Path.exists` raises without permission."""
    return os.access(path, os.F_OK)


def _nearest(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if _is_there(place))


def _takes_files(place: Path) -> bool:
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)


def _codex(request: RunWords, found: str | None, settings: Config) -> Finding:
    if found is None:
        fix = f"{_INSTALL}, or name the binary with --codex-bin"
        return f"{request.codex.bin} is not found, or cannot be run", fix
    said = _ask([found, "--version"], settings)
    if (named := version_in(said)) is None:
        return f"{found} --version says {said!r}", f"{_IS_OTHER} {_INSTALL}"
    version = tuple(map(int, re.findall(r"\d+", named)[:3]))
    if version < _OLDEST_VERSION:
        return f"{said} at {found} is too old", f"{_INSTALL}@latest"
    newer = " (newer than what this suite was tested with)"
    return f"{said} at {found}{newer if version > _TESTED_VERSION else ''}", None


def _login(request: RunWords, found: str, settings: Config) -> Finding:
    fix = "codex login, or set CODEX_API_KEY"
    # Codex's own doctor takes variables for a login that `codex exec` does not use.
    if missing := missing_login(request.codex, settings):
        return missing
    # Codex's own doctor (0.169) exits with 1 for any finding.
    argv = [found, "doctor", "--json"]
    said = capture(argv, settings.environment, _ASK_SECONDS, any_exit_code=True)
    told = loose_json.mapping(loose_json.object_in(said or "").get("checks"))
    if login := loose_json.mapping(told.get("auth.credentials")):
        is_good = login.get("status") == "ok"
        return str(login.get("summary")), None if is_good else fix
    # Versions before 0.169 have no doctor.
    if settings.environment.get("CODEX_API_KEY"):
        return "CODEX_API_KEY is set", None
    provider = configured(
        settings.codex_home, request.codex.overrides, "model_provider"
    )
    if provider not in {None, OPENAI}:
        return f"left to the model provider {provider!r} of the configuration", None
    said = _ask([found, "login", "status"], settings)
    return said or "not logged in", None if said else fix


def _codex_home(settings: Config) -> Finding:
    home = settings.codex_home
    if "CODEX_HOME" in settings.environment and not home.is_dir():
        fix = f"mkdir -p {home}, or unset CODEX_HOME"
        return f"{home} (CODEX_HOME) is not a directory", fix
    nearest = _nearest(home)
    state = "" if _is_there(home) else " (does not exist yet, Codex creates it)"
    if _takes_files(nearest):
        return f"{home}{state} is writable", None
    fix = f"add the permission: chmod u+rwx {nearest}"
    return f"{home}{state} is not writable", fix


def _repository(request: RunWords, settings: Config) -> Finding:
    repo = Path(request.repo).absolute()
    if not files.is_directory(repo):
        return f"{repo} is not a directory", "name a directory"
    if not files.is_utf8(repo):
        return f"{repo} is not UTF-8: Codex refuses it", "rename the directory"
    # Codex (0.169) recognises a repository so: `.git` is a file, or has a HEAD.
    gits = [place / ".git" for place in (repo, *repo.parents)]
    if any(files.is_regular(git) or _is_there(git / "HEAD") for git in gits):
        return f"{repo} is in a git repository", None
    if request.codex.skip_git_repo_check:
        return f"{repo} need not be in a git repository", None
    if (
        configured(settings.codex_home, (), "projects", repo, "trust_level")
        == "trusted"
    ):
        return f"{repo} is trusted", None
    detail = f"{repo} is neither in a git repository nor trusted: Codex refuses it"
    return detail, "git init there, or pass --skip-git-repo-check"


def _sandbox(request: RunWords, found: str, settings: Config) -> Finding:
    if request.codex.sandbox == "danger-full-access":
        return "no sandbox is requested", None
    if _ask([found, "sandbox", "--", "echo", "works"], settings) == "works":
        return "a sandboxed command works", None
    fix = (
        "allow unprivileged user namespaces, or pass --sandbox danger-full-access"
        " where the machine itself is the sandbox"
    )
    return "a sandboxed command cannot be run here", fix


def _state(settings: Config) -> Finding:
    home = settings.state_home
    try:
        ledger = Ledger(home)
        ledger.write("check_write", at=clock.iso(clock.now()))
        ledger.close()
        is_open = [p for p in (home, ledger.path) if p.stat().st_mode & 0o077]
    except (RunnerError, OSError) as error:
        if isinstance(error, OSError):
            return f"{home}: {error.strerror or error}", database.ELSEWHERE
        return error.message, error.hint or database.ELSEWHERE
    runs = home / RUNS
    if _is_there(runs) and not _takes_files(runs):
        return f"{runs} is not writable", f"chmod u+rwx {runs}"
    if exposed := files.exposure(home):
        return exposed
    if is_open:
        return f"{home}: other users can access {is_open[0]}", f"chmod go= {is_open[0]}"
    return f"{home}: private, and the ledger is writable", None


def _timer(settings: Config) -> Finding:
    """Check that what waits for a time is looked after, now and after a reboot."""
    home = settings.state_home
    with closing(Ledger(home)) as ledger:
        is_needed = bool(ledger.value("needs_timer"))
    fix = None
    if look(home / timer.LOCK) is Lock.HELD:
        state = "it runs"
    elif not is_needed:
        state = "nothing waits for it"
    elif not settings.has_timer:
        state = "prompts wait for it, and CODEX_RUNNER_TIMER=0"
    else:
        state, fix = "prompts wait for it, and it does not run", "codex-tasks queue"
    when = autostart.starts(autostart.autostart("codex-tasks", settings), settings)
    next_command = "not installed: after a reboot the next command starts it"
    return f"{state}; {f'it starts {when}' if when else next_command}", fix


def _prices(settings: Config) -> Finding:
    """Check the user's table; name the age of the other, and what neither has."""
    own = settings.state_home / prices.OWN
    if trouble := prices.trouble(settings.state_home):
        return trouble, f"correct {own}, then run codex-tasks reprice"
    version, newest = table_state()
    age = (clock.now() - clock.parse_iso(f"{newest}T00:00:00.000Z")).days
    told = [f"genai-prices {version}, whose newest price is {age} days old ({newest})"]
    told += [f"{own} can be used"] if _is_there(own) else []
    with suppress(RunnerError):
        if _is_there(settings.state_home / database.NAME):
            with closing(Ledger(settings.state_home)) as ledger:
                rows = ledger.all("models_without_price")
            named = [f"{row['model']} ({row['calls']})" for row in rows]
            told += [f"calls without a price: {', '.join(named)}"] if named else []
    return "; ".join(told), None


def _webhooks(settings: Config) -> Finding | None:
    """Name the webhooks that have failed in the last day; None without any."""
    since = clock.iso(clock.after(clock.now(), -_DAY_SECONDS))
    rows: list[str] = []
    with suppress(RunnerError):
        if _is_there(settings.state_home / database.NAME):
            with closing(Ledger(settings.state_home)) as ledger:
                rows = [
                    f"{masked_address(row['place'])}: {row['notices']} not taken"
                    f" ({row['error']})"
                    for row in ledger.all("failing_webhooks", since=since)
                ]
    fix = "codex-tasks notify --webhook URL sends a test event"
    return ("; ".join(rows), fix) if rows else None


def _space(settings: Config, more: dict[str, Path]) -> dict[str, Finding]:
    """Check the free space, once for each disk."""
    places = {"state": settings.state_home, **more, "CODEX_HOME": settings.codex_home}
    found: dict[str, Finding] = {}
    seen: set[int] = set()
    for name, place in places.items():
        nearest = _nearest(place)
        device = nearest.stat().st_dev
        if device not in seen:
            seen.add(device)
            free = files.free_bytes(nearest)
            fix = "free some space: a run needs at least 500 MB"
            found[f"disk ({name})"] = (
                f"{free / 1e9:.1f} GB free at {nearest}",
                None if free >= _LEAST_FREE_BYTES else fix,
            )
    return found


def _locks(home: Path) -> Finding:
    """Check that the file system is local and that its locks work."""
    place, trouble = home / f".doctor-{os.urandom(4).hex()}", None
    try:
        file_systems.refuse_remote(home)
        files.make_directory(place)
        if (handle := take(place / "lock")) is None:
            trouble = "a new file is already locked"
        else:
            if look(place / "lock") is not Lock.HELD:
                system = file_systems.kind_of(home)
                trouble = f"a lock does not exclude other processes ({system})"
            os.close(handle)
    except (OSError, RunnerError) as error:
        trouble = str(error)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if trouble:
        fix = "set CODEX_RUNNER_HOME to a directory on a local disk"
        return f"{home}: {trouble}", fix
    return f"{home}: locks work, and it is not a network file system", None
