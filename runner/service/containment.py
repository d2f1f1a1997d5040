"""What ends the processes of this one's control group, whatever session they are in.

systemd ends a unit by its control group, so `setsid` does not help. The unit is read in
/proc/self/cgroup, and what ends it in files: systemd is not asked.
"""

from __future__ import annotations

import os

from parsers.paths import Path
from parsers.struct import Struct
from runner import files
from runner.config import RUN_MARKER
from runner.errors import UsageError
from runner.process.fork import become
from runner.process.start import which

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from runner.config import Config

_ROOT = Path("/")
_TOPS = ("etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd")
_LINGER = "loginctl enable-linger"
SCOPE = "--scope"


class Containment(Struct, kw_only=False):
    """Hold what contains a process, when that ends it, and what prevents it."""

    what: str
    end: str | None = None
    fix: str | None = None


def contained(
    units: Sequence[str],
    *,
    kill_mode: str,
    kills_at_logout: bool,
    lingers: bool,
    is_root: bool = False,
) -> Containment:
    """Return what contains a process that is in these units.

    `kill_mode` is that of the innermost one, `lingers` that of the user whose units
    they are. The scopes of root are units of the system.
    """
    outer, inner = units[0], units[-1]
    keeps = "" if lingers or is_root else f", {_LINGER} keeps that after logout"
    leaves = f"{SCOPE} starts it in a unit of its own{keeps}"
    is_service = inner.endswith(".service") and not inner.startswith("user@")
    if is_service and kill_mode not in {"process", "none"}:
        end = f"when the service {inner} ends (KillMode={kill_mode})"
        return Containment(f"the service {inner}", end, leaves)
    if outer.startswith("session-") and kills_at_logout:
        end = "at logout (KillUserProcesses=yes)"
        return Containment(f"the login session {outer}", end, leaves)
    if outer.startswith("user@") and not lingers:
        end = f"with your last login session, as everything of {outer}"
        return Containment(inner, end, f"{_LINGER} keeps it")
    return Containment(f"{inner}, whose end does not end runs")


def units_of(text: str) -> list[str]:
    """Read the units of a process in /proc/self/cgroup, the outermost first.

    They are in systemd's own hierarchy of version 1, else in that of version 2.
    """
    lines = [line.split(":", 2) for line in text.splitlines() if line.count(":") > 1]
    paths = {kind: path for _, kind, path in lines}
    names = paths.get("name=systemd", paths.get("", "")).split("/")
    return [name for name in names if name.endswith((".service", ".scope"))]


def look(settings: Config) -> Containment:
    """Return what contains this process."""
    cgroup = files.read_text(_ROOT / "proc/self/cgroup")
    if not (units := units_of(cgroup)):
        return Containment("no unit of systemd contains this process")
    number, tops = os.geteuid(), [_ROOT / top for top in _TOPS]
    # With sudo the units are another user's. A service of the system is in no slice
    # of a user.
    named = cgroup.partition("/user.slice/user-")[2].partition(".slice")[0]
    owner = int(named) if named.isdecimal() else number
    kind, runtime, own = "system", _ROOT / "run", list[Path]()
    if units[0].startswith("user@"):
        kind, runtime = "user", _ROOT / "run/user" / str(owner)
        own = [Path(settings.environment.get("HOME", "/")) / ".config/systemd/user"]
    places = [*own, runtime / "systemd/transient", *(top / kind for top in tops)]
    return contained(
        units,
        kill_mode=_kill_mode(units[-1], places),
        kills_at_logout=_kills_at_logout(tops, files.user_name(owner)),
        lingers=lingers(owner),
        is_root=not number,
    )


def lingers(number: int) -> bool:
    """Return whether the systemd of a user runs from boot on, without a login."""
    return (_ROOT / "var/lib/systemd/linger" / files.user_name(number)).exists()


def warning(settings: Config, *, is_queued: bool = False) -> str | None:
    """Say what will end a run that is started in the background here, or the timer.

    A run inside of another one ends with that one.
    """
    if settings.is_contained or RUN_MARKER in settings.environment:
        return None
    found = look(settings)
    what = "runs and the timer that start here" if is_queued else "the run"
    return found.end and f"{what} will be ended {found.end}: {found.fix}"


def enter_scope(words: Sequence[str], settings: Config) -> NoReturn:
    """Become this command line, without `--scope`, in a scope of its own.

    Raises:
        UsageError: there is no systemd that could start it.
    """
    end = words.index("--") if "--" in words else len(words)
    kept = [word for at, word in enumerate(words) if at > end or word != SCOPE]
    program, number = which("systemd-run", settings.search_path), os.geteuid()
    runtime = f"/run/user/{number}"
    manager = _ROOT / (runtime if number else "run").lstrip("/") / "systemd/private"
    if program is None or not manager.exists():
        why = f"there is no {manager}" if program else "no systemd-run"
        fix = _LINGER if program else f"leave out {SCOPE}"
        message = f"{SCOPE} needs systemd: {why}"
        raise UsageError(message, fix)
    # A service has not got the variable by which the manager of a user is found.
    whose, more = (["--user"], {"XDG_RUNTIME_DIR": runtime}) if number else ([], {})
    argv = [program, *whose, "--scope", "--quiet", "--collect", "--", *kept]
    os.umask(settings.umask)
    become(argv, {**more, **settings.environment}, ())


def _kill_mode(unit: str, places: Sequence[Path]) -> str:
    """Return how a service ends its processes."""
    name, at, _ = unit.partition("@")
    names = [unit, f"{name}@.service"] if at else [unit]
    paths = [place / each for each in names for place in places]
    return _last("KillMode", _in_force(paths), "control-group")


def _kills_at_logout(tops: Sequence[Path], user: str) -> bool:
    """Return whether logind ends the processes of a user with their session.

    The default of the system's systemd is a comment in the file that comes with it.
    """
    found = _in_force([top / "logind.conf" for top in tops])
    if user in _last("KillExcludeUsers", found, "root").split():
        return False
    if only := _last("KillOnlyUsers", found, "").split():
        return user in only
    default = _last("#KillUserProcesses", found, "no")
    return _last("KillUserProcesses", found, default) in {"yes", "true", "on", "1"}


def _in_force(paths: Sequence[Path]) -> list[Path]:
    """List the files that count: the first of these that exists, then all drop-ins."""
    found = [path for path in paths if path.exists()][:1]
    for path in reversed(paths):
        more = path.with_name(f"{path.name}.d")
        found += [more / each for each in files.names(more)]
    return found


def _last(key: str, paths: Sequence[Path], default: str) -> str:
    """Return the last value of a setting in some files."""
    lines = [line for path in paths for line in files.read_text(path).splitlines()]
    pairs = [line.partition("=") for line in lines]
    found = [value.strip() for name, _, value in pairs if name.strip() == key]
    return found[-1] if found else default
