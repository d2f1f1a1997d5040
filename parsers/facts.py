"""The facts that a file of a run holds, whichever kind of file it is."""

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
    """The facts of one file; None is what the file does not say.

    `has_begun` is True when the file proves that a turn had begun, so that Codex had
    taken the prompt; of a log for people only a completed turn proves it. `usage` is
    the thread's figure as the file says it, `total_tokens` the figure of a log that
    names no parts (Codex's `tokens used` leaves cached input out of it).
    `files_changed` maps paths to add, delete or update, in order. `codex_version` and
    `cwd` are of the banner of a log for people, `fields` the key=value lines of its
    last block.
    """

    kind: Kind
    session_id: str | None = None
    has_begun: bool = False
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
    codex_version: str | None = None
    cwd: str | None = None
    fields: Mapping[str, str] = EMPTY


_ENDED: dict[type, Ended] = {TurnCompleted: "completed", TurnFailed: "failed"}
_STATES: dict[str, Ended] = {"completed": "completed", "failed": "failed"}


def facts_of_summary(summary: EventSummary) -> Facts:
    """Take over the facts that were gathered from event lines."""
    return Facts(
        kind="events",
        session_id=summary.thread_id,
        has_begun=summary.has_begun,
        final_message=summary.final_message,
        commands_run=summary.commands_run,
        commands_failed=summary.commands_failed,
        files_changed=summary.files_changed,
        errors=tuple(summary.errors),
        warnings=summary.warnings,
        ended=_ENDED.get(type(summary.ended)),
        failure=summary.failure,
        usage=summary.usage,
        agent_threads=tuple(summary.agent_threads),
    )


def facts_of_rollout(rollout: Rollout) -> Facts:
    """Take over the facts of a rollout file, which does not count commands."""
    last = rollout.turns[-1] if rollout.turns else None
    model = last.model if last else None
    return Facts(
        kind="rollout",
        session_id=rollout.thread_id,
        # Versions up to 0.98 write no turns, only the calls in them.
        has_begun=bool(rollout.turns or rollout.calls),
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
