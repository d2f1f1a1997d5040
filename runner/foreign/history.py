"""What another tool has left of its runs of Codex, as values.

A value says only what its source says.
"""

from __future__ import annotations

from parsers.facts import Facts
from parsers.struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path
    from typing import Literal

    from runner.model import Outcome

    Kind = Literal["codex-tasks", "codex-tasks-fifo", "run_codex_task.sh", "rollout"]


class ForeignRun(Struct):
    """One invocation of Codex, as far as the source tells.

    `number` counts from 0 in the order of time, `place` is the byte of a rollout at
    which its turn begins. `events` bounds the lines of `codex exec --json` in a file by
    the first byte and the end (None: the file's); `lines` are made of another format
    and come after them. `is_dated` is False where the times are only the nearest known
    ones.

    `facts` are what its events or its log say. `error_class`, `last_words`,
    `was_aborted` and `asked_for` are more evidence of how it ended, as
    `lifecycle.judge` takes it; `stated` is what the tool says of a run without an end.
    """

    number: int = 0
    place: int | None = None
    prompt: str | None = None
    facts: Facts = Facts(kind="empty")
    events: tuple[Path, int, int | None] | None = None
    lines: tuple[bytes, ...] = ()
    stderr: tuple[str, ...] = ()
    started_at: datetime
    ended_at: datetime
    is_dated: bool = True
    error_class: str | None = None
    last_words: str | None = None
    was_aborted: bool = False
    asked_for: str | None = None
    stated: Outcome | None = None
    exit_code: int | None = None
    model: str | None = None
    codex_version: str | None = None
    source_run_id: str | None = None

    @property
    def answer(self) -> str | None:
        return self.facts.final_message or None


class History(Struct):
    """The runs of one session; `session_id` is None when Codex named no thread.

    `likely_dir` is a guess of where it worked; `codex_home` is the home that its thread
    is resumed in, filled in by the importer where it is certain. `written_at` is when
    the newest of its files was written, in nanoseconds of the epoch. `is_open` tells
    that the last turn has no end on record.
    """

    session_id: str | None
    title: str | None = None
    created_at: datetime
    updated_at: datetime
    working_dir: str | None = None
    likely_dir: str | None = None
    codex_home: str | None = None
    archived_at: datetime | None = None
    kind: Kind
    source: Path
    written_at: int = 0
    is_open: bool = False
    runs: tuple[ForeignRun, ...]


class Unreadable(Struct, kw_only=False):
    """A source that cannot be imported, and why."""

    source: Path
    reason: str
