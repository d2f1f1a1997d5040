"""Builds values of the core for unit tests: a spec, a run, settings."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runner import config
from runner.config import Config
from runner.model import (
    CodexOptions,
    Limits,
    Mode,
    Prepared,
    ProcessId,
    Report,
    Run,
    RunId,
    Spec,
    State,
    Verbosity,
)

AT = datetime(2026, 11, 20, 10, 12, 1, 512000, tzinfo=UTC)
SESSION = "01a1f000-0000-7000-8000-000000000001"
PROCESS = ProcessId(pid=4242, start_time=1000, boot_id="boot")


def spec(**changes: Any) -> Spec:  # noqa: ANN401  # any field of a spec
    """Build a spec with some fields changed."""
    fields: dict[str, Any] = {
        "run_id": RunId("20261120-101201-512345-9f3a1c07"),
        "mode": Mode.NEW,
        "repo": "/repo",
        "task": "Do it.",
        "task_file": None,
        "resume_session": None,
        "directory": "/logs",
        "is_flat": True,
        "cwd": "/work",
        "umask": 0o022,
        "codex": CodexOptions(bin="codex"),
        "limits": Limits(),
        "report": Report(),
        "wait_for_session": False,
        "verbosity": Verbosity.LOW,
        "prepared_at": AT,
    }
    return Spec(**{**fields, **changes})


def run(state: State | None = None, **changes: Any) -> Run:  # noqa: ANN401  # as above
    """Build a run in a state, with some fields of its spec changed."""
    return Run(spec=spec(**changes), state=state or Prepared())


def settings(home: Path, **environment: str) -> Config:
    """Build settings whose directories lie below this home."""
    return config.load({"HOME": str(home), "PATH": "/usr/bin:/bin", **environment})
