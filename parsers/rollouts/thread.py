"""The values that `parsers.rollouts.read` makes of a Codex thread's rollout file."""

from __future__ import annotations

from parsers.accounting.tokens import sum_usage
from parsers.facts import Facts
from parsers.struct import EMPTY, Struct, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final, Literal

    from parsers.accounting.tokens import Usage
    from parsers.facts import Ended

    TurnState = Literal["open", "completed", "failed", "aborted"]

UNKNOWN_RECORD: Final = "unknown_record:"
_ENDED: Final[dict[str, Ended]] = {"completed": "completed", "failed": "failed"}


class _Origin(Struct):
    session_id: str | None = None
    parent_thread_id: str | None = None
    forked_from_id: str | None = None
    cwd: str | None = None
    originator: str | None = None
    cli_version: str | None = None
    started_at: str | None = None


class Header(_Origin):
    """A file's first record.

    `session_id` is the root thread's id; up to 0.125 a sub-agent's file does not name
    it. `parent_thread_id` is the thread that spawned this one.
    """

    thread_id: str


class Call(Struct):
    """One model call of this thread, at an ISO 8601 time (UTC).

    `root_turn_id` is the turn of the root thread that the call was made for. `model` is
    the one that was asked for, `tier` the service tier, empty for the standard and None
    if the file does not name it (up to 0.145).
    """

    at: str
    turn_id: str | None
    root_turn_id: str | None
    model: str | None
    usage: Usage
    tier: str | None = None


class Turn(Struct):
    """One turn of this thread, in the directory `cwd`.

    `error_class` is Codex's name of the error (`usage_limit_exceeded`, …). Codex up to
    0.142 writes a failed turn as completed, without a last message; up to 0.98 it
    writes no turns. `is_unanswered` is True when its last model call has no usage.
    """

    turn_id: str
    root_turn_id: str | None = None
    model: str | None = None
    cwd: str | None = None
    state: TurnState = "open"
    error_class: str | None = None
    error_message: str | None = None
    reason: str | None = None
    is_unanswered: bool = False
    context_window: int | None = None


class RateLimit(Struct):
    """How many percent of a limit are used, and when it resets (epoch)."""

    used_percent: float | None
    window_minutes: int | None
    resets_at: int | None


class RateLimits(Struct):
    """The limits that the last model answer with limits reported."""

    at: str
    primary: RateLimit | None
    secondary: RateLimit | None


class Rollout(_Origin):
    """The facts of a file about its own thread, within the requested window.

    The header's fields and `total` are those of the whole file; a fork's total includes
    its parent's. `commands_refused` counts commands that failed because the sandbox
    cannot start; the events lack most of them. `compactions` counts remote ones that
    have no usage (up to 0.145). `warnings` counts lines that are not records, and
    unknown records.
    """

    thread_id: str | None = None
    calls: tuple[Call, ...] = ()
    turns: tuple[Turn, ...] = ()
    rate_limits: RateLimits | None = None
    last_agent_message: str | None = None
    spawned_thread_ids: tuple[str, ...] = ()
    commands_refused: int = 0
    compactions: int = 0
    total: Usage | None = None
    warnings: Mapping[str, int] = EMPTY

    @property
    def usage(self) -> Usage:
        """The sum of the window's calls."""
        return sum_usage(call.usage for call in self.calls)

    @property
    def has_unknown_records(self) -> bool:
        return any(name.startswith(UNKNOWN_RECORD) for name in self.warnings)

    def so_far(self) -> Rollout:
        """Return the facts while the last turn may go on: its call may be answered."""
        if self.last_turn.state != "open":
            return self
        last = [replace(turn, is_unanswered=False) for turn in self.turns[-1:]]
        return replace(self, turns=(*self.turns[:-1], *last))

    @property
    def last_turn(self) -> Turn:
        """The window's last turn; one without any facts when there is none."""
        return self.turns[-1] if self.turns else Turn(turn_id="")

    def facts(self) -> Facts:
        """Return the facts; the usage is the thread's own; commands are not counted."""
        last = self.last_turn
        return Facts(
            kind="rollout",
            session_id=self.thread_id,
            # Versions up to 0.98 write no turns, only the calls in them.
            has_begun=bool(self.turns or self.calls),
            model=self.calls[-1].model if self.calls else last.model,
            final_message=self.last_agent_message,
            errors=tuple(
                turn.error_message for turn in self.turns if turn.error_message
            ),
            warnings=self.warnings,
            ended=_ENDED.get(last.state),
            failure=last.error_message,
            usage=self.usage if self.calls else None,
            agent_threads=self.spawned_thread_ids,
        )
