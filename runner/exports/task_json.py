"""The metadata of a session, `task.json`: pure.

The keys of the older `codex-tasks` (0.3) and ours behind them. It is made of the index
and the files of the runs; what only it holds is the title.
"""

from __future__ import annotations

from pathlib import Path

from parsers.struct import Struct
from runner.errors import RunnerFault
from runner.model import GOOD_ENDS, TaskState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.ledger.sessions import Row
    from runner.model import Run

Json = dict[str, object]
FORMAT = 1


class DamagedTaskError(RunnerFault):
    """Report a task.json that is not what this suite writes."""

    def __init__(self, path: Path, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"{path} is damaged: {reason} (codex-tasks verify --repair writes it anew)"
        )


class Story(Struct):
    """Hold what the metadata of a session is made of.

    `ids` are those of its runs, sorted; `answer` is the last that any of them
    gave.
    """

    row: Row
    first: Run
    last: Run
    ids: Sequence[str]
    is_running: bool
    answer: str | None


def build(story: Story) -> Json:
    """Build the metadata of a session."""
    row, first, last = story.row, story.first, story.last
    home = last.spec.codex_home
    return {
        "id": row.session_id,
        "title": row.title,
        "state": _stored_state(story),
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "last_result": story.answer,
        "initial_prompt": first.spec.task,
        "last_prompt": last.spec.task,
        "config_path": str(Path(home) / "config.toml") if home else None,
        "working_dir": last.spec.repo,
        "outcome": last.outcome,
        "error": last.verdict.error if last.verdict else None,
        "runs": list(story.ids),
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


def _stored_state(story: Story) -> TaskState:
    if story.is_running:
        return TaskState.RUNNING
    if story.row.archived_in is not None:
        return TaskState.ARCHIVED
    return TaskState.STOPPED if story.last.outcome in GOOD_ENDS else TaskState.DIED
