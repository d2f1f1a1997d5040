"""The tmux sessions in which the logs of jobs are shown, for those who want to look."""

from __future__ import annotations

import os
import sys

from parsers.light import suppress
from runner.errors import RunnerError
from runner.exports.jobs import VARIABLE
from runner.process.start import run_captured, which

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config import Config

PREFIX = "codex-agent-"
MISSING = "tmux is not installed (apt install tmux, or brew install tmux)"
_SECONDS = 10.0
_FIELDS = "#{session_name}\t#{session_attached}\t#{session_created}"


def is_there(settings: Config) -> bool:
    """Return whether tmux is installed."""
    return which("tmux", settings.search_path) is not None


def _tmux(settings: Config, *words: str) -> bytes | None:
    """Run tmux; None when it says that there is no such thing."""
    line = ["tmux", *words]
    done = run_captured(line, settings.environment, os.sep, _SECONDS)
    return None if done.exit_code else done.output


def show(job_id: str, settings: Config) -> Iterator[str]:
    """Show the log of a job in a session of its own; yield why that cannot be.

    The session only shows: the job does not depend on it.
    """
    if not is_there(settings):
        yield f"job {job_id} runs without a pane: {MISSING}"
        return
    words = [sys.executable, "-P", "-m", "runner", "codex-agent", "watch", job_id]
    kept = {"CODEX_RUNNER_HOME": str(settings.state_home)}
    if kind := settings.environment.get(VARIABLE):
        kept[VARIABLE] = kind
    # The server has the environment of whoever started it. No path is given with `-c`:
    # tmux would run what stands in it as `#(...)`.
    own = [word for name, value in kept.items() for word in ("-e", f"{name}={value}")]
    line = ("-s", PREFIX + job_id, *own, "--", *words)
    try:
        if of(job_id, settings):
            return  # it follows the job still
        if _tmux(settings, "new-session", "-d", *line) is None:
            yield f"job {job_id} runs without a pane: tmux has refused it"
    except RunnerError as error:
        yield f"job {job_id} runs without a pane: {error}"


def close(job_id: str, settings: Config) -> None:
    """Close the session of a job, if there is one."""
    if is_there(settings):
        with suppress(RunnerError):  # it closes with the end of the job
            _tmux(settings, "kill-session", "-t", f"={PREFIX}{job_id}")


def of(job_id: str, settings: Config) -> str | None:
    """Name the session of a job, if there is one."""
    names = [each["name"] for each in sessions(settings)]
    return next((name for name in names if name == PREFIX + job_id), None)


def sessions(settings: Config) -> list[dict[str, str]]:
    """List the sessions of jobs."""
    said = (
        _tmux(settings, "list-sessions", "-F", _FIELDS) if is_there(settings) else b""
    )
    lines = (line.split("\t") for line in (said or b"").decode().splitlines())
    keys = ("name", "attached", "created")
    return [
        dict(zip(keys, each, strict=False))
        for each in lines
        if each[0].startswith(PREFIX)
    ]
