"""What a file that a run left behind says, whichever kind of file it is."""

from __future__ import annotations

from parsers.exec_events.events import TurnCompleted, TurnFailed
from parsers.struct import EMPTY, Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from parsers.accounting.tokens import Usage
    from parsers.exec_events.summary import EventSummary
    from parsers.rollouts.thread import Rollout

    Kind = Literal["events", "log", "rollout", "empty"]
    Ended = Literal["completed", "failed"]


class Facts(Struct):
    """The facts of one file; None is what it does not tell.

    `usage` is the thread's figure as the file says it, `total_tokens` the figure of a
    log that names no parts (Codex's `tokens used` leaves cached input out of it).
    `files_changed` maps paths to add, delete or update, in order. `fields` are the
    key=value lines of a log's last block.
    """

    kind: Kind
    session_id: str | None = None
    model: str | None = None
    final_message: str | None = None
    commands_run: int | None = None
    commands_failed: int | None = None
    files_changed: Mapping[str, str] = EMPTY
    errors: tuple[str, ...] = ()
    warnings: Mapping[str, int] = EMPTY
    ended: Ended | None = None
    failure: str | None = None
    usage: Usage | None = None
    total_tokens: int | None = None
    cost_usd: float | None = None
    agent_threads: tuple[str, ...] = ()
    fields: Mapping[str, str] = EMPTY


_ENDED: dict[type, Ended | None] = {
    TurnCompleted: "completed",
    TurnFailed: "failed",
    type(None): None,
}
_STATES: dict[str, Ended] = {"completed": "completed", "failed": "failed"}


def facts_of_summary(digest: EventSummary) -> Facts:
    """Take the facts over that a digest of event lines has gathered."""
    return Facts(
        kind="events",
        session_id=digest.thread_id,
        final_message=digest.final_message,
        commands_run=digest.commands_run,
        commands_failed=digest.commands_failed,
        files_changed=digest.files_changed,
        errors=tuple(digest.errors),
        warnings=digest.warnings,
        ended=_ENDED[type(digest.ended)],
        failure=digest.failure,
        usage=digest.usage,
        agent_threads=tuple(digest.agent_threads),
    )


def facts_of_rollout(rollout: Rollout) -> Facts:
    """Take the facts over that stand in a rollout file; it does not count commands."""
    last = rollout.turns[-1] if rollout.turns else None
    model = last.model if last else None
    return Facts(
        kind="rollout",
        session_id=rollout.thread_id,
        model=rollout.calls[-1].model if rollout.calls else model,
        final_message=rollout.last_agent_message,
        errors=tuple(
            turn.error_message for turn in rollout.turns if turn.error_message
        ),
        warnings=rollout.warnings,
        ended=None if last is None else _STATES.get(last.state),
        failure=last.error_message if last else None,
        usage=rollout.total,
        agent_threads=rollout.spawned_thread_ids,
    )
