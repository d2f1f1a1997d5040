"""The metadata of a session, `task.json`: pure.

The keys of the older `codex-tasks` (0.3) and ours behind them. It is made of the index
and the files of the runs; what only it holds is the title.
"""

from __future__ import annotations

from pathlib import Path

from runner.errors import RunnerFault
from runner.model import GOOD_ENDS, TaskState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.model import Run
    from runner.store.sessions import Row

Json = dict[str, object]
FORMAT = 1


class DamagedTaskError(RunnerFault):
    """Report a task.json that is not what this suite writes."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} is damaged: {reason} (codex-tasks verify --repair writes it anew)"
        )


def build(row: Row, runs: Sequence[Run], answer: str | None) -> Json:
    """Build the metadata of a session.

    Args:
        row: the session.
        runs: its runs, the oldest first; at least one.
        answer: the last answer that any of them gave.
    """
    first, last = runs[0], runs[-1]
    home = last.spec.codex_home
    return {
        "id": row.session_id,
        "title": row.title,
        "state": _stored_state(row, runs),
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "last_result": answer,
        "initial_prompt": first.spec.task,
        "last_prompt": last.spec.task,
        "config_path": str(Path(home) / "config.toml") if home else None,
        "working_dir": last.spec.repo,
        "outcome": last.outcome,
        "error": last.verdict.error if last.verdict else None,
        "runs": [run.run_id for run in runs],
        "format": FORMAT,
    }


def check(path: Path, data: object, session_id: str) -> Json:
    """Return what was read from a task.json, if it is one of this session.

    Raises:
        DamagedTaskError: it is none.
    """
    if not isinstance(data, dict):
        raise DamagedTaskError(path, "it holds no JSON object")
    if data.get("id") != session_id:
        raise DamagedTaskError(path, f"it is of {data.get('id')!r}")
    if not isinstance(data.get("runs"), list):
        raise DamagedTaskError(path, "it names no runs")
    return data


def _stored_state(row: Row, runs: Sequence[Run]) -> TaskState:
    if row.archived_in is not None:
        return TaskState.ARCHIVED
    if any(not run.is_finished for run in runs):
        return TaskState.RUNNING
    return state_after(runs[-1])


def state_after(last: Run) -> TaskState:
    """Tell what the end of its last run has made of a session."""
    return TaskState.STOPPED if last.outcome in GOOD_ENDS else TaskState.DIED
