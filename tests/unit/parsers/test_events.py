import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.accounting.tokens import Usage
from parsers.exec_events import events, items
from parsers.exec_events.events import decode
from parsers.text import uuid

THREAD = "01a1f87a-1edb-7772-a295-bcdec2d6d2fd"


def read(data: bytes) -> list[events.Event]:
    return [decode(line) for line in data.splitlines()]


def found(data: bytes, kind: type[items.Item]) -> list[items.Item]:
    return [
        event.item
        for event in read(data)
        if isinstance(event, events.ItemEvent) and isinstance(event.item, kind)
    ]


def test_a_run_of_the_real_codex_is_understood_whole(
    recorded: Callable[[str], bytes],
) -> None:
    command = "/bin/bash -lc 'echo hello > f.txt; cat f.txt'"
    started, warning, turn, *rest = read(recorded("events-0.169-new.jsonl"))

    assert started == events.ThreadStarted(thread_id=THREAD)
    assert isinstance(warning, events.ItemEvent)
    assert isinstance(warning.item, items.ItemError)
    assert warning.item.message.startswith("Model metadata for `gpt-5.1-codex`")
    assert turn == events.TurnStarted()
    assert rest == [
        events.ItemEvent(
            phase="started",
            item=items.Command(
                id="item_1",
                command=command,
                output="",
                exit_code=None,
                status="in_progress",
            ),
        ),
        events.ItemEvent(
            phase="completed",
            item=items.Command(
                id="item_1",
                command=command,
                output="hello\n",
                exit_code=0,
                status="completed",
            ),
        ),
        events.ItemEvent(
            phase="completed",
            item=items.AgentMessage(
                id="item_2", text="done: run: echo hello > f.txt; cat f.txt"
            ),
        ),
        events.TurnCompleted(
            usage=Usage(
                input_tokens=2400,
                cached_input_tokens=2000,
                output_tokens=690,
                reasoning_output_tokens=90,
                total_tokens=3090,
            )
        ),
    ]


@pytest.mark.parametrize("version", ["0.50", "0.80", "0.98", "0.125", "0.169"])
def test_no_recorded_line_of_any_version_is_unknown(
    version: str, recorded: Callable[[str], bytes]
) -> None:
    names = ["new", "patch", "mcp", "limit"]
    names += ["todo"] if version != "0.169" else ["spawn", "web", "late", "drop"]
    for name in names:
        for event in read(recorded(f"events-{version}-{name}.jsonl")):
            assert not isinstance(event, events.Undecodable | events.UnknownEvent)
            if isinstance(event, events.ItemEvent):
                assert not isinstance(event.item, items.UnknownItem)


@pytest.mark.parametrize("version", ["0.50", "0.80", "0.98", "0.125", "0.169"])
def test_file_changes_name_their_paths_and_kinds(
    version: str, recorded: Callable[[str], bytes]
) -> None:
    *_, change = found(recorded(f"events-{version}-patch.jsonl"), items.FileChange)

    assert isinstance(change, items.FileChange)
    assert change.status == "completed"
    assert set(change.changes) == {
        items.Change(path="/srv/code/repo/f.txt", kind="update"),
        items.Change(path="/srv/code/repo/new.txt", kind="add"),
    }


def test_a_plan_is_a_list_of_steps(recorded: Callable[[str], bytes]) -> None:
    first, second, last = found(recorded("events-0.125-todo.jsonl"), items.TodoList)

    assert isinstance(first, items.TodoList)
    assert first.todos[0] == items.Todo(text="look", is_done=False)
    assert isinstance(second, items.TodoList)
    assert second.todos[0] == items.Todo(text="look", is_done=True)
    assert last == second


@pytest.mark.parametrize("version", ["0.50", "0.80", "0.125", "0.169"])
def test_calls_of_mcp_tools_name_server_and_tool(
    version: str, recorded: Callable[[str], bytes]
) -> None:
    calls = found(recorded(f"events-{version}-mcp.jsonl"), items.McpToolCall)

    if version != "0.125":  # the recorded run of that version called no tool
        *_, call = calls
        assert isinstance(call, items.McpToolCall)
        assert (call.server, call.tool, call.status) == ("echo", "say", "completed")
        assert call.result == {"0.50": "", "0.80": "hi", "0.169": "hello"}[version]


def test_a_failed_call_of_an_mcp_tool_says_so(
    recorded: Callable[[str], bytes],
) -> None:
    *_, call = found(recorded("events-0.169-mcpbad.jsonl"), items.McpToolCall)

    assert isinstance(call, items.McpToolCall)
    assert (call.status, call.result, call.error) == ("failed", "bad", None)


def test_a_structured_result_is_shown_where_there_is_no_text() -> None:
    result = {"content": [], "structured_content": {"n": 1}}
    item = {"type": "mcp_tool_call", "result": result}
    event = decode(json.dumps({"type": "item.completed", "item": item}).encode())

    assert isinstance(event, events.ItemEvent)
    assert isinstance(event.item, items.McpToolCall)
    assert event.item.result == '{"n": 1}'


def test_a_kind_of_change_may_be_an_object() -> None:
    change = {"path": "a", "kind": {"type": "update", "move_path": None}}
    item = {"type": "file_change", "changes": [change, {"kind": "add"}, 7]}
    event = decode(json.dumps({"type": "item.completed", "item": item}).encode())

    assert isinstance(event, events.ItemEvent)
    assert isinstance(event.item, items.FileChange)
    assert event.item.changes == (items.Change(path="a", kind="update"),)


def test_a_search_is_read_although_its_line_names_two_ids(
    recorded: Callable[[str], bytes],
) -> None:
    *_, search = found(recorded("events-0.169-web.jsonl"), items.WebSearch)

    assert search == items.WebSearch(id="ws_1", query="codex exec json")


def test_calls_about_agents_name_their_threads(
    recorded: Callable[[str], bytes],
) -> None:
    calls = found(recorded("events-0.169-spawn.jsonl"), items.CollabToolCall)

    assert [
        (call.tool, call.status, call.receiver_thread_ids)
        for call in calls
        if isinstance(call, items.CollabToolCall)
    ] == [
        ("spawn_agent", "in_progress", ()),
        ("spawn_agent", "completed", ("01a1f87a-d08e-7aa2-a29d-c4bfb1d8d5da",)),
        ("wait", "in_progress", ("01a1f87a-d08e-7aa2-a29d-c4bfb1d8d5da",)),
        ("wait", "completed", ("01a1f87a-d08e-7aa2-a29d-c4bfb1d8d5da",)),
    ]


def test_a_failed_turn_has_codexs_words(recorded: Callable[[str], bytes]) -> None:
    words = "You’ve hit your usage limit. Try again at Jan 15th, 2027 8:00 AM."
    *_, error, failed = read(recorded("events-0.169-limit.jsonl"))

    assert error == events.ErrorReported(message=words, is_reconnect=False)
    assert failed == events.TurnFailed(message=words)


@pytest.mark.parametrize(
    ("message", "is_reconnect"),
    [
        ("Reconnecting... 2/5", True),
        ("Reconnecting... waiting for network (stream disconnected)", True),
        ("stream error: closed; retrying 1/5 in 200ms…", True),
        ("stream disconnected before completion: stream closed", False),
        ("I am reconnecting the cables", False),
    ],
)
def test_reconnect_errors_are_recognised(message: str, *, is_reconnect: bool) -> None:
    line = json.dumps({"type": "error", "message": message}).encode()

    assert decode(line) == events.ErrorReported(
        message=message, is_reconnect=is_reconnect
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"", events.Undecodable(reason="not a JSON object")),
        (b"[]", events.Undecodable(reason="not a JSON object")),
        (b"{}", events.UnknownEvent(type="")),
        (b'{"type":7}', events.UnknownEvent(type="")),
        (b'{"type":"turn.paused"}', events.UnknownEvent(type="turn.paused")),
        (b'{"type":"thread.started"}', events.UnknownEvent(type="thread.started")),
        (
            b'{"type":"thread.started","thread_id":"../x"}',
            events.UnknownEvent(type="thread.started"),
        ),
        (b'{"type":"turn.failed"}', events.TurnFailed(message="turn failed")),
        (
            b'{"type":"turn.failed","error":"words"}',
            events.TurnFailed(message="words"),
        ),
        (
            b'{"type":"turn.failed","error":{"code":7}}',
            events.TurnFailed(message='{"code": 7}'),
        ),
        (b'{"type":"turn.completed"}', events.TurnCompleted(usage=None)),
        (
            b'{"type":"item.completed"}',
            events.ItemEvent(phase="completed", item=items.UnknownItem(id="", type="")),
        ),
        (
            b'{"type":"item.started","item":{"id":"i","type":"dream"}}',
            events.ItemEvent(
                phase="started", item=items.UnknownItem(id="i", type="dream")
            ),
        ),
    ],
)
def test_odd_lines_are_values_too(line: bytes, expected: events.Event) -> None:
    assert decode(line) == expected


@pytest.mark.parametrize(
    "wrap", [b"%s", b"\0%s\0", b"\x1b[0m%s\x1b[0m", b"\xef\xbb\xbf%s"]
)
def test_a_session_is_read_in_any_case_and_wrapping(wrap: bytes) -> None:
    line = json.dumps({"type": "thread.started", "thread_id": THREAD.upper()})

    assert decode(wrap % line.encode()) == events.ThreadStarted(thread_id=THREAD)


def test_only_the_top_level_announces_a_session() -> None:
    inner = {"type": "thread.started", "thread_id": THREAD}
    line = {"type": "item.completed", "item": {"type": "agent_message", "text": inner}}

    assert decode(json.dumps(line).encode()) == events.ItemEvent(
        phase="completed", item=items.AgentMessage(id="", text="")
    )


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = ["id", "text", "status", "changes", "items", "error", "result", "exit_code"]
NAMES += ["message", "receiver_thread_ids", "action", "aggregated_output", "query"]
ITEM_TYPES = ["command_execution", "file_change", "agent_message", "reasoning"]
ITEM_TYPES += ["mcp_tool_call", "web_search", "todo_list", "collab_tool_call", "error"]
EVENT_TYPES = ["thread.started", "turn.completed", "turn.failed", "error"]
EVENT_TYPES += ["item.started", "item.updated", "item.completed"]


@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(EVENT_TYPES)},
        optional={
            "usage": JSON_VALUES,
            "error": JSON_VALUES,
            "message": JSON_VALUES,
            "thread_id": JSON_VALUES,
            "item": JSON_VALUES
            | st.builds(
                lambda kind, fields: {**fields, "type": kind},
                st.sampled_from(ITEM_TYPES),
                st.dictionaries(st.sampled_from(NAMES), JSON_VALUES, max_size=6),
            ),
        },
    )
)
def test_any_json_in_any_field_gives_an_event_of_its_type(
    event: dict[str, object],
) -> None:
    kind = event["type"]
    found = decode(json.dumps(event).encode())

    match found:
        case events.ThreadStarted(thread_id=thread_id):
            assert kind == "thread.started"
            assert uuid(thread_id)
        case events.TurnCompleted(usage=usage):
            assert kind == "turn.completed"
            assert usage is None or not usage.is_negative
        case events.TurnFailed(message=message):
            assert kind == "turn.failed"
            assert message
        case events.ErrorReported(message=message):
            assert kind == "error"
            assert message.encode() is not None
        case events.ItemEvent(phase=phase):
            assert kind == f"item.{phase}"
        case _:
            assert kind == "thread.started"
            assert found == events.UnknownEvent(type=kind)


# Hypothesis also tries constants of the source code, and some of them are events.
@given(st.binary().filter(lambda line: b'"' not in line))
def test_arbitrary_bytes_are_undecodable_or_an_event_without_a_type(
    line: bytes,
) -> None:
    for each in (line, b'{"type":' + line + b"}"):
        match decode(each):
            case events.Undecodable(reason=reason):
                assert reason
            case event:
                assert event == events.UnknownEvent(type="")
