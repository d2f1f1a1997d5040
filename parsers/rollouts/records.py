"""The records of a Codex rollout file that matter for turns, calls and limits.

Codex 0.50 to 0.169 writes `$CODEX_HOME/sessions/…/rollout-*.jsonl`, one record a line:
`{timestamp, [ordinal,] type, payload}`. Most of its bytes are messages and outputs,
which no reader here needs: these lines are recognised by their first bytes and skipped.
"""

from __future__ import annotations

from parsers import loose_json
from parsers.exec_events.items import REFUSED, error_text
from parsers.light import UTC, datetime, pattern, suppress
from parsers.rollouts.thread import Header, RateLimit, RateLimits
from parsers.struct import Struct, replace
from parsers.text import uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final, Literal

    from parsers.rollouts.thread import Turn

    Step = Literal["call", "answer", "compaction", "remote compaction"]
    Worth = Step | Literal["nothing", "figures", "anything"]

# How Codex begins a line: its time, its type, and the type of its payload.
HEAD: Final = pattern(
    rb'\{"timestamp":"([^"\\]{1,40})",(?:"ordinal":[0-9]+,)?'
    rb'"type":"([a-z_]+)","payload":\{(?:"type":"([a-z_]+)")?'
)
_WANTED: Final = frozenset({b"session_meta", b"turn_context", b"token_usage_record"})
_WANTED_EVENTS: Final = frozenset(
    {
        b"agent_message",
        b"task_complete",
        b"task_started",
        b"thread_settings_applied",
        b"turn_aborted",
    }
)
# The other records of 0.50 to 0.169. What is in none of these sets is reported.
_OTHERS: Final = frozenset(
    b"""message reasoning local_shell_call function_call function_call_output
    custom_tool_call custom_tool_call_output tool_search_call tool_search_output
    web_search_call image_generation_call ghost_snapshot compaction compaction_summary
    compaction_trigger context_compaction additional_tools other
    compacted world_state inter_agent_communication inter_agent_communication_metadata
    agent_reasoning agent_reasoning_raw_content agent_reasoning_section_break
    background_event context_compacted deprecation_notice entered_review_mode error
    exec_command_end exited_review_mode guardian_assessment guardian_warning
    hook_completed hook_started image_generation_end item_completed item_started
    mcp_tool_call_end model_reroute model_verification patch_apply_end plan_update
    stream_error sub_agent_activity thread_goal_updated thread_name_updated
    thread_rolled_back turn_diff turn_moderation_metadata undo_completed user_message
    view_image_tool_call warning web_search_end dynamic_tool_call_request
    dynamic_tool_call_response collab_agent_interaction_end collab_agent_spawn_end
    collab_close_end collab_resume_end collab_waiting_end session_state""".split()
)
_RECORDS: Final = _WANTED | _WANTED_EVENTS | _OTHERS | {b"token_count"}
_WANTED_ITEM: Final = pattern(
    rb'"item":\{"type":"(?:AgentMessage|CollabAgentToolCall)"'
)
# What the model or a tool has done: it tells whether a model call is under way.
CALLS: Final = frozenset({b"function_call", b"custom_tool_call", b"local_shell_call"})
ANSWERS: Final = frozenset({b"function_call_output", b"custom_tool_call_output"})
STEPS: Final[Mapping[str, Step]] = {
    name: name for name in ("call", "answer", "compaction", "remote compaction")
}
# Codex writes this in place of the output of a tool that it has stopped.
_ABORTED: Final = b"aborted by user"
# A remote compaction leaves no message; Codex has written a local one itself.
_REMOTE: Final = b'"payload":{"message":""'
_PRIMARY: Final = b'"primary":{'
_SECONDARY: Final = b'"secondary":{'
_TOTAL: Final = b'"total_token_usage":{'
_SPAWNED: Final = b'"output":"{\\"agent_id\\":'
# The output of a tool in any of its forms: after a note, inside of JSON, or as it is.
_REFUSED: Final = pattern(
    rb'"output":"(?:[^"]{0,200}Output:\\n|\{\\"output\\":\\")?' + REFUSED.encode()
)
_TIME_ENDS: Final = 60  # bytes
PLACE: Final = 400  # bytes of a line within which an item's type is looked for
_META: Final = b'"type":"session_meta"'
_ENVELOPES: Final = ("event_msg", "response_item")
# These long texts come after all fields of a first line that are needed. Inside of a
# string their quotes would be escaped, so a match is a field.
_LONG_TEXTS: Final = (b',"base_instructions":', b',"instructions":')


class Record(Struct):
    """A record; `kind` is the type of its payload, else the record's own type."""

    at: str
    kind: str
    payload: Mapping[str, object]


def worth_of(line: bytes) -> Worth:
    """Find out from a line's first bytes what it is, or that it must be decoded.

    Figures are those of a `token_count`: the last one may be enough. A step of the
    model or a tool has nothing else that matters.
    """
    head = HEAD.match(line)
    if head is None:
        return "anything"
    _, kind, inner = head.groups()
    is_wanted = kind in _WANTED
    if inner == b"token_count":
        return "figures"
    if kind == b"response_item":
        if inner in CALLS:
            return "call"
        if inner in ANSWERS:
            return _worth_of_answer(line)
        is_wanted = inner not in _RECORDS
    elif kind == b"event_msg" and inner == b"item_completed":
        is_wanted = _WANTED_ITEM.search(line, 0, PLACE) is not None
    elif kind == b"event_msg":
        is_wanted = inner in _WANTED_EVENTS or inner not in _OTHERS
    elif kind == b"compacted":
        return "remote compaction" if _REMOTE in line[:PLACE] else "compaction"
    elif kind not in _OTHERS:
        is_wanted = True
    return "anything" if is_wanted else "nothing"


def _worth_of_answer(line: bytes) -> Worth:
    begin = line[:PLACE]
    if _SPAWNED in begin or is_refused(line):
        return "anything"
    return "nothing" if _ABORTED in begin else "answer"


def time_of(line: bytes) -> str:
    """Read the time of a line that is not decoded."""
    return line[:_TIME_ENDS].decode("ascii", "replace").split('"')[3]


class Figures:
    """The last lines of a turn that name a total or limits, decoded when asked."""

    def __init__(self) -> None:
        self._total = self._limits = b""

    def keep(self, line: bytes, *, is_inside: bool = True) -> None:
        """Keep the line of a `token_count`; outside of a window only its total."""
        if _TOTAL in line:
            self._total = line
        if is_inside and (_PRIMARY in line or _SECONDARY in line):
            self._limits = line

    def info(self) -> Mapping[str, object]:
        """Return the figures of the last total; empty when there is none."""
        record = _read_or_none(self._total)
        return info(record) if record else {}

    def limits(self) -> RateLimits | None:
        """Return the last limits."""
        record = _read_or_none(self._limits)
        return rate_limits(record) if record else None


def is_known(kind: str) -> bool:
    """Return whether Codex 0.50 to 0.169 writes records of a kind."""
    return kind.encode("utf-8", "replace") in _RECORDS


def is_refused(line: bytes) -> bool:
    """Return whether a command failed because the sandbox cannot start."""
    return _REFUSED.search(line, 0, PLACE) is not None


def read_record(line: bytes) -> Record:
    """Decode a line.

    Raises:
        NotAnObjectError: the line is not a record.
    """
    fields = loose_json.load_object(_without_long_texts(line))
    payload = loose_json.mapping(fields.get("payload"))
    inner = payload.get("type") if fields.get("type") in _ENVELOPES else None
    return Record(
        at=loose_json.text(fields.get("timestamp")) or "",
        kind=loose_json.text(inner) or loose_json.text(fields.get("type")) or "",
        payload=payload,
    )


def _read_or_none(line: bytes) -> Record | None:
    with suppress(loose_json.NotAnObjectError):
        return read_record(line) if line else None
    return None


def moment(at: str | None) -> str:
    """Make ISO 8601 times comparable as text: UTC, without the zone's name."""
    if not at:
        return ""
    if at.endswith("Z"):
        return at[:-1]
    return _parse(at).isoformat().removesuffix("+00:00")


def seconds_between(begin: str, end: str) -> float:
    """Subtract two ISO 8601 times; a text that is not one counts as the earliest."""
    return (_parse(end) - _parse(begin)).total_seconds()


def read_header(payload: Mapping[str, object]) -> Header | None:
    """Read a `session_meta`; None when it names no thread."""
    thread_id = uuid(payload.get("id"))
    if thread_id is None:
        return None
    spawner = payload.get("source")
    for name in ("subagent", "thread_spawn"):
        spawner = loose_json.mapping(spawner).get(name)
    parent = uuid(payload.get("parent_thread_id")) or uuid(
        loose_json.mapping(spawner).get("parent_thread_id")
    )
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


def ended(turn: Turn, record: Record) -> Turn:
    """Read how a turn ended from its `task_complete` or `turn_aborted`."""
    if record.kind == "turn_aborted":
        reason = text(record.payload, "reason")
        return replace(turn, state="aborted", reason=reason)
    error = record.payload.get("error")
    if error is None:
        return replace(turn, state="completed")
    name = loose_json.mapping(error).get("codex_error_info")
    if isinstance(name, dict):
        name = next(iter(name), None)
    return replace(
        turn,
        state="failed",
        error_class=loose_json.text(name),
        error_message=error_text(error),
    )


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


def info(record: Record) -> Mapping[str, object]:
    """Read the figures of a `token_count`; the first one of a process has none."""
    return loose_json.mapping(record.payload.get("info"))


def text(payload: Mapping[str, object], name: str) -> str | None:
    """Read a text; None when it is empty."""
    return loose_json.text(payload.get(name)) or None


def _without_long_texts(line: bytes) -> bytes:
    """Cut a first line before its long texts, which can exceed the rest of the file."""
    if _META not in line[:PLACE]:
        return line
    for field in _LONG_TEXTS:
        head, found, _ = line.partition(field)
        if found:
            return head + b"}}"
    return line


def parse_time(at: str) -> datetime | None:
    """Read an ISO 8601 time, in UTC; None when the text is not one."""
    try:
        found = datetime.fromisoformat(at)
        if found.tzinfo is None:
            return found.replace(tzinfo=UTC)
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _parse(at: str) -> datetime:
    return parse_time(at) or datetime.min.replace(tzinfo=UTC)
