"""The payloads of a rollout's records, as Codex 0.50 to 0.169 writes them."""

from __future__ import annotations

from parsers import loose_json
from parsers.exec_events.items import error_text
from parsers.rollouts.thread import Header, RateLimit, RateLimits
from parsers.struct import replace
from parsers.text import uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from parsers.rollouts.records import Record
    from parsers.rollouts.thread import Turn


def read_header(payload: Mapping[str, object]) -> Header | None:
    """Read a `session_meta`; None when it names no thread."""
    thread_id = uuid(payload.get("id"))
    if thread_id is None:
        return None
    parent = uuid(payload.get("parent_thread_id")) or _spawner(payload)
    root = uuid(payload.get("session_id"))
    return Header(
        thread_id=thread_id,
        session_id=root or (thread_id if parent is None else None),
        parent_thread_id=parent,
        forked_from_id=uuid(payload.get("forked_from_id")),
        cwd=text(payload, "cwd"),
        originator=text(payload, "originator"),
        cli_version=text(payload, "cli_version"),
        started_at=text(payload, "timestamp"),
    )


def _spawner(payload: Mapping[str, object]) -> str | None:
    found = payload.get("source")
    for name in ("subagent", "thread_spawn"):
        found = loose_json.mapping(found).get(name)
    return uuid(loose_json.mapping(found).get("parent_thread_id"))


def ended(turn: Turn, record: Record) -> Turn:
    """Read how a turn ended from its `task_complete` or `turn_aborted`."""
    if record.kind == "turn_aborted":
        reason = text(record.payload, "reason")
        return replace(turn, state="aborted", reason=reason)
    error = record.payload.get("error")
    if error is None:
        return replace(turn, state="completed")
    return replace(
        turn,
        state="failed",
        error_class=_error_class(loose_json.mapping(error).get("codex_error_info")),
        error_message=error_text(error),
    )


def _error_class(info: object) -> str | None:
    if isinstance(info, dict):
        info = next(iter(info), None)
    return loose_json.text(info)


def rate_limits(record: Record) -> RateLimits | None:
    """Read the limits of a `token_count`; None for most, which name no limit."""
    limits = loose_json.mapping(record.payload.get("rate_limits"))
    primary, secondary = (_limit(limits.get(name)) for name in ("primary", "secondary"))
    if primary is None and secondary is None:
        return None
    return RateLimits(at=record.at, primary=primary, secondary=secondary)


def _limit(value: object) -> RateLimit | None:
    if not isinstance(value, dict):
        return None
    return RateLimit(
        used_percent=loose_json.number(value.get("used_percent")),
        window_minutes=loose_json.integer(value.get("window_minutes")),
        resets_at=loose_json.integer(value.get("resets_at")),
    )


def content(item: Mapping[str, object]) -> str:
    """Read the text of an `AgentMessage`."""
    blocks = map(loose_json.mapping, loose_json.sequence(item.get("content")))
    return "".join(text(block, "text") or "" for block in blocks)


def spawned_agent(payload: Mapping[str, object]) -> str | None:
    """Read the thread's id from the output of a `spawn_agent` call."""
    answer = loose_json.load_or_empty((text(payload, "output") or "").encode())
    return uuid(answer.get("agent_id"))


def info(record: Record) -> Mapping[str, object]:
    """Read the figures of a `token_count`; the first one of a process has none."""
    return loose_json.mapping(record.payload.get("info"))


def text(payload: Mapping[str, object], name: str) -> str | None:
    """Read a text; None when it is empty."""
    return loose_json.text(payload.get(name)) or None
