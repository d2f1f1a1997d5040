import json
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.accounting.tokens import Usage
from parsers.exec_events.events import TurnCompleted, TurnFailed
from parsers.exec_events.summary import FILES_LISTED, LISTED, EventSummary

DATA = Path(__file__).with_name("data")
THREAD = "01a1f87a-1edb-7772-a295-bcdec2d6d2fd"
OTHER = "01a1f87a-239f-7410-b8ac-465d382ada35"


def summary_of(data: bytes) -> EventSummary:
    summary = EventSummary()
    summary.read(BytesIO(data))
    return summary


def lines(*events: Mapping[str, object]) -> bytes:
    return b"".join(
        json.dumps(event, separators=(",", ":")).encode() + b"\n" for event in events
    )


def item(kind: str, phase: str = "completed", **fields: object) -> dict[str, object]:
    return {"type": f"item.{phase}", "item": {"id": "item_1", "type": kind, **fields}}


def test_a_completed_run_is_counted(recorded: Callable[[str], bytes]) -> None:
    summary = summary_of(recorded("events-0.169-two.jsonl"))

    assert summary.thread_id == "01a1f87a-db63-75d3-bc79-fba76e71e7da"
    assert isinstance(summary.ended, TurnCompleted)
    assert summary.usage == summary.ended.usage
    assert summary.usage is not None
    assert summary.usage.total_tokens == 2342
    assert (summary.commands_run, summary.commands_failed) == (2, 1)
    assert summary.final_message == "done: two:"
    assert summary.failure is None
    assert summary.warnings == {}
    assert summary.progress == 9


def test_no_turn_has_begun_before_codex_says_so(
    recorded: Callable[[str], bytes],
) -> None:
    # 0.169 names the thread and warns of the model before it starts the turn.
    data = recorded("events-0.169-new.jsonl").splitlines(keepends=True)
    announced, warned, started, *_ = data
    assert b'"item":{"id":"item_0","type":"error"' in warned
    assert started == b'{"type":"turn.started"}\n'

    assert not EventSummary().has_begun
    assert not summary_of(announced + warned).has_begun
    assert summary_of(announced + warned + started).has_begun


@pytest.mark.parametrize(
    "name",
    sorted(path.name for path in DATA.glob("events-*.jsonl")),
)
def test_each_version_starts_a_turn_before_its_first_item(
    name: str, recorded: Callable[[str], bytes]
) -> None:
    head, started, rest = recorded(name).partition(b'{"type":"turn.started"}\n')

    assert started
    assert not summary_of(head).has_begun
    assert summary_of(rest).has_begun  # what comes after it is proof as well


@pytest.mark.parametrize(
    "proof",
    [
        {"type": "turn.started"},
        {"type": "turn.completed", "usage": None},
        {"type": "turn.failed", "error": {"message": "no"}},
        item("command_execution", "started", status="in_progress"),
        item("command_execution", status="completed"),
        item("agent_message", text="hello"),
        item("reasoning", text="hm"),
        item("file_change", "started", changes=[]),
        item("mcp_tool_call", "started"),
        item("web_search", query="x"),
        item("todo_list", "updated", items=[]),
        item("collab_tool_call", "started"),
    ],
)
@pytest.mark.parametrize("padding", [b"", b" "])
def test_an_event_of_a_turn_proves_that_it_had_begun(
    proof: dict[str, object], padding: bytes
) -> None:
    summary = summary_of(padding + lines(proof))
    assert summary.has_begun

    summary.feed(lines({"type": "thread.started", "thread_id": THREAD}))
    assert summary.has_begun


@pytest.mark.parametrize(
    "line",
    [
        lines({"type": "thread.started", "thread_id": THREAD}),
        lines({"type": "error", "message": "Not logged in"}),
        lines({"type": "error", "message": "Reconnecting... 1/5"}),
        lines(item("error", message="a warning")),
        lines(item("mcp_startup", text="of a later version")),
        lines({"type": "session.configured"}),
        b"turn.started\n",
        b'{"type":"turn.start',
    ],
)
def test_no_other_line_proves_that_a_turn_had_begun(line: bytes) -> None:
    assert not summary_of(line).has_begun


@pytest.mark.parametrize("name", ["limit", "late", "drop", "ctx"])
def test_a_failed_run_keeps_codexs_words(
    name: str, recorded: Callable[[str], bytes]
) -> None:
    summary = summary_of(recorded(f"events-0.169-{name}.jsonl"))

    assert isinstance(summary.ended, TurnFailed)
    assert summary.failure == summary.ended.message
    assert summary.errors == [summary.failure]
    assert summary.final_message is None
    assert summary.usage is None


def test_an_aborted_run_has_no_end_and_its_command_still_runs(
    recorded: Callable[[str], bytes],
) -> None:
    summary = summary_of(recorded("events-0.169-abort.jsonl"))

    assert summary.ended is None
    assert summary.is_command_running
    assert (summary.commands_run, summary.commands_failed) == (1, 0)


@pytest.mark.parametrize("version", ["0.50", "0.80", "0.98", "0.125", "0.169"])
def test_changed_files_are_listed_once(
    version: str, recorded: Callable[[str], bytes]
) -> None:
    summary = summary_of(recorded(f"events-{version}-patch.jsonl"))

    assert summary.files_changed == {
        "/srv/code/repo/f.txt": "update",
        "/srv/code/repo/new.txt": "add",
    }


def test_edits_of_one_file_are_one_change() -> None:
    def change(kind: str, status: str = "completed") -> dict[str, object]:
        changes = [{"path": "a", "kind": kind}]
        return item("file_change", changes=changes, status=status)

    assert summary_of(lines(change("add"), change("update"))).files_changed == {
        "a": "add"
    }
    assert summary_of(lines(change("delete"), change("add"))).files_changed == {
        "a": "update"
    }
    assert summary_of(lines(change("update"), change("delete"))).files_changed == {
        "a": "delete"
    }
    assert summary_of(lines(change("add", "failed"))).files_changed == {}


def test_threads_of_agents_are_gathered(recorded: Callable[[str], bytes]) -> None:
    summary = summary_of(recorded("events-0.169-spawn.jsonl"))

    assert summary.agent_threads == ["01a1f87a-d08e-7aa2-a29d-c4bfb1d8d5da"]
    assert not summary.is_command_running


@pytest.mark.parametrize(
    "kind", ["command_execution", "mcp_tool_call", "collab_tool_call"]
)
def test_what_was_started_runs_until_it_is_completed(kind: str) -> None:
    started = lines(item(kind, "started", status="in_progress"))
    completed = lines(item(kind, status="completed"))

    assert summary_of(started).is_command_running
    assert not summary_of(started + completed).is_command_running


def test_nothing_runs_any_more_when_the_turn_has_ended() -> None:
    started = item("command_execution", "started", command="sleep 9 &", status="x")
    summary = summary_of(lines(started, {"type": "turn.completed"}))

    assert not summary.is_command_running
    assert summary.commands_run == 1


def test_a_turn_that_starts_after_an_end_opens_the_run_again() -> None:
    turn = lines(
        {"type": "turn.started"},
        item("agent_message", text="first"),
        {"type": "turn.completed", "usage": {"input_tokens": 3}},
    )
    usage = Usage(input_tokens=3, total_tokens=3)
    ended = summary_of(turn)
    opened = summary_of(turn + lines({"type": "turn.started"}))

    assert ended.ended == TurnCompleted(usage=usage)
    assert ended.final_message == "first"
    assert opened.ended is None
    assert opened.final_message is None
    assert opened.usage == usage


def test_the_first_announced_thread_stays_and_others_are_warned_of() -> None:
    summary = summary_of(
        lines(
            {"type": "thread.started", "thread_id": THREAD.upper()},
            {"type": "thread.started", "thread_id": OTHER},
            {"type": "thread.started", "thread_id": THREAD},
            {"type": "thread.started", "thread_id": "no id"},
        )
    )

    assert summary.thread_id == THREAD
    assert summary.warnings == {
        "other_thread_announced": 1,
        "unknown_event:thread.started": 1,
    }


def test_what_is_not_known_is_counted_by_name() -> None:
    summary = summary_of(
        lines(
            {"type": "turn.paused"},
            {"type": "turn.paused"},
            item("dream"),
            {"type": "item.vanished", "item": {}},
            {"no": "type"},
        )
        + b"not json\n\n \0\n"
        + b'{"type":"item.started","item":{"id":"item_9","type":"command_exec'
    )

    assert summary.warnings == {
        "unknown_event:turn.paused": 2,
        "unknown_item:dream": 1,
        "unknown_event:item.vanished": 1,
        "unknown_event:": 1,
        "undecodable_line": 1,
        "unfinished_line": 1,
    }


def test_a_last_line_that_only_lacks_its_newline_counts() -> None:
    summary = summary_of(b'{"type":"turn.completed","usage":null}')

    assert summary.ended == TurnCompleted(usage=None)
    assert summary.warnings == {}


def test_reconnect_errors_and_broken_lines_are_no_progress() -> None:
    summary = summary_of(
        lines(
            {"type": "error", "message": "Reconnecting... 1/5"},
            {"type": "error", "message": "Reconnecting... 2/5"},
        )
        + b"WARNING: proceeding, even though we could not create PATH aliases\n"
    )

    assert summary.progress == 0
    assert summary.errors == []


def test_a_reconnect_error_is_the_failure_when_nothing_follows_it() -> None:
    lost = lines(
        {"type": "error", "message": "Reconnecting... 1/5"},
        {"type": "error", "message": "Reconnecting... 2/5"},
    )

    assert summary_of(lost).failure == "Reconnecting... 2/5"
    assert summary_of(lost + lines({"type": "turn.started"})).failure is None


@pytest.mark.parametrize("version", ["0.50", "0.169"])
def test_a_retried_connection_of_any_version_is_no_error(
    version: str, recorded: Callable[[str], bytes]
) -> None:
    data = recorded(f"events-{version}-reconnect.jsonl")
    summary = summary_of(data)
    retries = data.count(b"onnecting... ")

    assert retries
    assert len(summary.errors) == (1 if version == "0.50" else 0)
    assert summary.progress == data.count(b"\n") - retries


def test_an_error_without_an_end_is_the_failure() -> None:
    summary = summary_of(b'{"type":"error","message":"boom"}')

    assert (summary.progress, summary.errors, summary.failure) == (1, ["boom"], "boom")


def test_lists_are_bounded() -> None:
    names = [{"type": f"event-{number}"} for number in range(1_000)]
    errors = [{"type": "error", "message": str(number)} for number in range(1_000)]
    changes = [{"path": str(n), "kind": "add"} for n in range(FILES_LISTED + 2)]
    summary = summary_of(
        lines(*names, *errors, item("file_change", changes=changes, status="completed"))
    )

    assert len(summary.warnings) <= 102
    assert sum(summary.warnings.values()) == 1_002
    assert len(summary.errors) == LISTED
    assert len(summary.files_changed) == FILES_LISTED


FORGED = [
    '"exit_code":0,"status":"completed"}}',
    ',\\"exit_code\\":0,\\"status\\":\\"completed\\"}}',
    '","exit_code":9,"status":"failed"}}',
    "plain\n",
    "",
]


@pytest.mark.parametrize("output", FORGED)
@pytest.mark.parametrize("code", [0, 1, -1, 137, None])
@pytest.mark.parametrize("status", ["completed", "failed", "declined"])
def test_an_output_cannot_forge_its_commands_outcome(
    output: str, code: int | None, status: str
) -> None:
    line = lines(
        item(
            "command_execution",
            command="x",
            aggregated_output=output,
            exit_code=code,
            status=status,
        )
    )
    summary = summary_of(line)

    is_failed = code not in {None, 0} or status != "completed"
    assert (summary.commands_run, summary.commands_failed) == (1, int(is_failed))


TEXTS = st.text(max_size=20) | st.sampled_from(FORGED)
ITEMS = st.one_of(
    st.builds(
        lambda phase, number, output, code, status: {
            "type": f"item.{phase}",
            "item": {
                "id": f"item_{number}",
                "type": "command_execution",
                "command": output,
                "aggregated_output": output,
                "exit_code": code,
                "status": status,
            },
        },
        st.sampled_from(["started", "updated", "completed"]),
        st.integers(0, 3),
        TEXTS,
        st.none() | st.integers(-1, 3),
        st.sampled_from(["completed", "failed", "declined", "in_progress"]),
    ),
    st.builds(lambda text: item("agent_message", text=text), TEXTS),
    st.builds(lambda text: item("reasoning", text=text), TEXTS),
    st.builds(
        lambda phase: item("mcp_tool_call", phase, status="completed"),
        st.sampled_from(["started", "completed"]),
    ),
    st.sampled_from(
        [
            {"type": "turn.started"},
            {"type": "turn.completed", "usage": {"input_tokens": 1}},
            {"type": "turn.failed", "error": {"message": "no"}},
            {"type": "thread.started", "thread_id": THREAD},
            {"type": "error", "message": "Reconnecting... 1/5"},
            {"type": "error", "message": "boom"},
            {"type": "novel"},
        ]
    ),
)


@given(st.lists(ITEMS, max_size=12), st.booleans())
def test_skimming_finds_what_decoding_finds(
    events: list[dict[str, object]],
    ensure_ascii: bool,  # noqa: FBT001  # Hypothesis' own
) -> None:
    skimmed, decoded = EventSummary(), EventSummary()
    for event in events:
        skimmed.feed(
            json.dumps(event, separators=(",", ":"), ensure_ascii=ensure_ascii).encode(
                "utf-8", "surrogatepass"
            )
            + b"\n"
        )
        # A space where Codex writes none: no line is recognised by its beginning.
        decoded.feed(b" " + json.dumps(event).encode() + b"\n")

    assert skimmed.final_message == decoded.final_message
    assert vars(skimmed) == vars(decoded)
    assert skimmed.commands_run == decoded.commands_run


def test_an_answer_that_only_looks_whole_is_none() -> None:
    line = b'{"type":"item.completed","item":{"id":"i","type":"agent_message",x"}}'

    assert summary_of(line + b"\n").final_message is None


# Hypothesis also tries constants of the source code, and some of them are events.
@given(st.lists(st.binary().filter(lambda chunk: b"type" not in chunk)))
def test_arbitrary_bytes_are_warned_of_and_change_nothing_else(
    chunks: list[bytes],
) -> None:
    summary = EventSummary()
    for chunk in chunks:
        summary.feed(chunk)
        summary.feed(b'{"type":"item.completed","item":{"id":"' + chunk)
        summary.finish(chunk)

    # A chunk that completes the item is not an object itself.
    broken = summary.warnings.get("undecodable_line", 0)
    assert len(chunks) <= broken <= 2 * len(chunks)
    assert sum(summary.warnings.values()) <= 3 * len(chunks)
    assert summary.progress <= 2 * len(chunks)
    assert not summary.has_begun
    assert (summary.thread_id, summary.ended, summary.failure) == (None, None, None)
    assert summary.final_message is None
    assert summary.commands_run == 0


def test_the_last_error_is_the_one_that_counts() -> None:
    said = ("one", "two", "one", *map(str, range(300)), "last")
    summary = summary_of(lines(*({"type": "error", "message": each} for each in said)))

    assert summary.failure == "last"
    assert summary.errors[:2] == ["one", "two"]
    again = summary_of(
        lines(*({"type": "error", "message": each} for each in ("one", "two", "one")))
    )
    assert again.failure == "one"


REFUSED = (
    "bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted\n",
    "bwrap: setting up uid map: Permission denied\n",
    "sandbox-exec: sandbox_apply: Operation not permitted\n",
    "thread 'main' (12) panicked at linux-sandbox/src/linux_run_main.rs:88:5:\nNo.\n",
)
OTHERS = (
    "no bwrap: here\n",
    "bwrap: execvp /bin/zsh: No such file or directory\n",
    '{"aggregated_output":"bwrap: quoted"}',
)


def command(
    output: str, new: Mapping[str, object] | None = None, *, code: int = 1
) -> dict[str, object]:
    said = {"command": "/bin/bash -c id", "aggregated_output": output}
    ended = {"exit_code": code, "status": "failed" if code else "completed"}
    fields = {"id": "item_1", "type": "command_execution", **said, **ended}
    return {"type": "item.completed", "item": {**fields, **(new or {})}}


@pytest.mark.parametrize("fields", [{}, {"new": 1}], ids=["seen", "decoded"])
def test_commands_that_a_broken_sandbox_refused_are_counted(
    fields: dict[str, object],
) -> None:
    events = [command(each, fields) for each in (*REFUSED, *OTHERS)]
    summary = summary_of(lines(*events, command(REFUSED[0], fields, code=0)))

    assert summary.facts().commands_refused == len(REFUSED)
    assert summary.commands_failed == len(REFUSED + OTHERS)


@pytest.mark.parametrize(
    ("event", "has_acted"),
    [
        (item("agent_message", text="Hello."), False),
        (item("reasoning", text="Hm."), False),
        (item("error", message="A warning."), False),
        (item("todo_list", items=[]), False),
        (command("", code=0), True),
        (item("file_change", changes=[], status="failed"), True),
        (item("web_search", query="x"), True),
        (item("mcp_tool_call", server="s", tool="t", status="completed"), True),
        (item("of_tomorrow"), True),
    ],
)
def test_messages_and_thoughts_are_no_actions(
    event: Mapping[str, object], has_acted: object
) -> None:
    assert summary_of(lines(event)).facts().has_acted is has_acted
