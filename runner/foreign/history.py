"""What another tool has left behind of its runs of Codex, as values.

A value says only what its source says. Where a source does not tell a time, the best
one known stands there, and `meta["unknown"]` names the field.
"""

from __future__ import annotations

from parsers.struct import EMPTY, Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path
    from typing import Final, Literal

    from runner.model import Outcome

    Kind = Literal["codex-tasks", "codex-tasks-fifo", "run_codex_task.sh", "rollout"]

# The key of `ForeignRun.meta` under which the fields stand that are only guessed.
UNKNOWN: Final = "unknown"


class ForeignRun(Struct):
    """One invocation of Codex, as far as the source tells.

    `number` counts from 0 in the order of time. `events` is a file, the first byte and
    the end byte of the lines of `codex exec --json`; lines of other make may stand
    between them, which `eventlines.event_lines` leaves out. `lines` are used instead
    where the source has another format: event lines made from it. `log_file` is the
    readable log it left, `meta` what else the source's record said (JSON values only),
    `source_run_id` the source's own id of it.
    """

    number: int
    prompt: str | None
    events: tuple[Path, int, int] | None
    lines: tuple[bytes, ...] = ()
    stderr: tuple[str, ...] = ()
    outcome: Outcome
    exit_code: int | None
    error: str | None
    answer: str | None
    model: str | None
    codex_version: str | None
    sandbox: str | None
    started_at: datetime
    ended_at: datetime
    log_file: Path | None
    meta: Mapping[str, object] = EMPTY
    source_run_id: str | None


class History(Struct):
    """The runs of one session; `session_id` is None when Codex named no thread.

    `config_path` is the configuration that the old tool's `--config-file` named.
    `is_at_work` tells that the last run has no end yet and seems to be under way.
    """

    session_id: str | None
    title: str | None
    created_at: datetime
    updated_at: datetime
    working_dir: str | None
    config_path: str | None
    archived_at: datetime | None
    kind: Kind
    source: Path
    runs: tuple[ForeignRun, ...]
    is_at_work: bool = False


class Unreadable(Struct, kw_only=False):
    """A source that cannot be taken over, and why."""

    source: Path
    reason: str
