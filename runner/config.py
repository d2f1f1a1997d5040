"""The only reader of the environment, and of the state directory's path.

A `Config` is built once by the command and passed down; nothing below reads the
environment.
"""

from __future__ import annotations

import os

from parsers.light import suppress
from parsers.paths import Path
from parsers.struct import Struct, replace
from runner import clock
from runner.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_CONTINUE_PROMPT = "Continue where you left off."
DEFAULT_STALL_SECONDS = 3600.0
SANDBOXES = ("read-only", "workspace-write", "danger-full-access")
# Marks the processes of a hook command, so that none of them is taken for one
# of Codex's tools when both are children of the same supervisor.
HOOK_MARKER = "CODEX_RUNNER_HOOK"
# The id of the run, for Codex and its tools; it identifies their processes when
# their parents and the supervisor are gone.
RUN_MARKER = "CODEX_RUNNER_RUN"
# That of the run, for its check (`--verify`) and what that starts.
CHECK_MARKER = "CODEX_RUNNER_VERIFY"
# In seconds; above it a poll's timeout overflows.
TEN_YEARS = 315_360_000


class Config(Struct):
    """Hold every setting that comes from the environment.

    Those that files have too (`config_files.KEYS`) are resolved by
    `config_files.in_force`, for what is started in a directory.

    `environment` is the caller's whole environment, for child programs; it has no repr,
    so it is never logged. `own` is that of this process, when it acts for the sender of
    a prompt, `handed` the secrets that other processes have handed to it, by their
    digests. `grace_seconds` is the time from INT to KILL when a run is ended,
    `hook_seconds` the limit of a notify command, `umask` the caller's, under which
    Codex works. With `is_strict` a command fails on a success that did nothing, with
    `is_contained` none warns of what will end the runs that it starts. Without
    `has_timer` only commands and supervisors deliver prompts.
    """

    state_home: Path
    codex_home: Path
    continue_prompt: str
    timeout_seconds: float | None
    verbosity: str
    search_path: str
    environment: Mapping[str, str]
    grace_seconds: float = 10.0
    hook_seconds: float = 30.0
    umask: int = 0o022
    is_strict: bool = False
    has_timer: bool = True
    is_contained: bool = False
    sandbox: str | None = None
    model: str | None = None
    stall_seconds: float | None = DEFAULT_STALL_SECONDS
    retries: int = 0
    recoveries: int = 0
    max_usd: float | None = None
    max_tokens: int | None = None
    notify: str | None = None
    webhook: str | None = None
    webhook_secret: str | None = None
    webhook_private: bool = False
    desktop: bool = False
    snapshot: bool = True
    env_deny: tuple[str, ...] = ()
    env_allow: tuple[str, ...] = ()
    own: Mapping[str, str] | None = None
    handed: Mapping[str, str] | None = None

    def __repr__(self) -> str:
        return f"Config(state_home={self.state_home}, codex_home={self.codex_home}, …)"


def load(environ: Mapping[str, str] | None = None) -> Config:
    """Build the configuration from an environment, by default the process's own.

    Raises:
        UsageError: a variable has an invalid value.
    """
    env = _own() if environ is None else dict(environ)
    home = _home(env)
    # What runs inside, in another directory, has to find the same places.
    for name in ("CODEX_RUNNER_HOME", "CODEX_HOME"):
        if env.get(name):
            env[name] = str(_directory(env, name, home))
    return Config(
        state_home=_directory(env, "CODEX_RUNNER_HOME", home / ".codex" / "tasks"),
        codex_home=_directory(env, "CODEX_HOME", home / ".codex"),
        continue_prompt=env.get("CODEX_CONTINUE_PROMPT") or DEFAULT_CONTINUE_PROMPT,
        timeout_seconds=_number(env, "CODEX_TIMEOUT_SECONDS"),
        verbosity=env.get("CODEX_LOG_VERBOSITY") or "low",
        search_path=env.get("PATH") or os.defpath,
        environment=env,
        grace_seconds=_number(env, "CODEX_RUNNER_GRACE_SECONDS") or 10.0,
        hook_seconds=_number(env, "CODEX_RUNNER_HOOK_SECONDS") or 30.0,
        is_strict=_is_on(env, "CODEX_RUNNER_STRICT"),
        is_contained=_is_on(env, "CODEX_RUNNER_CONTAINED"),
        has_timer=env.get("CODEX_RUNNER_TIMER") != "0",
    )


def sudo_caller() -> str | None:
    """Return the number of the user who has called sudo."""
    return os.environ.get("SUDO_UID")


def _own() -> dict[str, str]:
    """Return the environment of this process without what Python has added.

    That is LC_CTYPE, in the locale C.
    """
    env = dict(os.environ)
    with suppress(OSError), open("/proc/self/environ", "rb") as file:  # noqa: PTH123 - see launch
        if b"LC_CTYPE=" not in file.read():
            env.pop("LC_CTYPE", None)
    return env


def at_codex_home(config: Config, place: str | None) -> Config:
    """Return the configuration for a session in this home of Codex."""
    if place is None or Path(place) == config.codex_home:
        return config
    environment = {**config.environment, "CODEX_HOME": place}
    return replace(config, codex_home=Path(place), environment=environment)


def as_sender(config: Config, variables: Mapping[str, str]) -> Config:
    """Return the configuration of the sender of a prompt, in this state directory.

    Of this process remain the marks of the run and the hook that it is inside of.

    Raises:
        UsageError: a variable has an invalid value.
    """
    own, place = config.environment, str(config.state_home)
    marks = {name: own[name] for name in (HOOK_MARKER, RUN_MARKER) if name in own}
    found = load({**variables, **marks, "CODEX_RUNNER_HOME": place})
    kept = {"umask": config.umask, "has_timer": config.has_timer}
    return replace(found, own=config.own or own, handed=config.handed, **kept)


def ignored_home(config: Config, place: str | None) -> str | None:
    """Say that a session stays in its home of Codex, if another one is asked for."""
    asked = config.environment.get("CODEX_HOME")
    if not asked or place is None or Path(place) == Path(asked):
        return None
    return f"CODEX_HOME={asked} is ignored: the task stays in {place}"


def codex_environment(config: Config, run_id: str) -> dict[str, str]:
    """Build the environment of Codex: the caller's, and the run's id."""
    return {**config.environment, RUN_MARKER: run_id}


def hook_environment(config: Config, run_id: str) -> dict[str, str]:
    """Build the environment of a hook command: the caller's, and its marker."""
    return {**config.environment, HOOK_MARKER: run_id}


def seconds(text: str, name: str) -> float | None:
    """Read a duration (90, 90s, 5m, 2h, 30d) in seconds; 0 means without limit.

    Raises:
        UsageError: the text is none.
    """
    value = clock.read_duration(text)
    if value is not None and value <= TEN_YEARS:
        return value or None
    wrong = "more than ten years" if value else f"not a time ({clock.DURATIONS})"
    message = f"{name}: {text!r} is {wrong}; 0 means no limit"
    raise UsageError(message)


def _home(env: Mapping[str, str]) -> Path:
    if env.get("HOME"):
        return Path(env["HOME"])
    try:
        return Path.home()
    except RuntimeError:
        # No HOME and no passwd entry (a container's unknown uid): a directory that
        # exists, so that the error is about writing to it.
        return Path("/")


def _directory(env: Mapping[str, str], name: str, default: Path) -> Path:
    value = env.get(name) or str(default)
    if value.startswith("~"):
        message = f"{name}: {value!r} begins with ~: write the whole path"
        raise UsageError(message)
    return Path(value).absolute()


def _number(env: Mapping[str, str], name: str) -> float | None:
    return seconds(env[name], name) if env.get(name) else None


def _is_on(env: Mapping[str, str], name: str) -> bool:
    return env.get(name, "") not in {"", "0"}
