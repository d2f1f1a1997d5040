"""A rollout's calls are counted, each once, for the run that made them."""

import json
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.accounting.tokens import Usage, sum_usage
from parsers.rollouts.read import RolloutReader, read_header_line, read_rollout
from parsers.rollouts.thread import Call, RateLimit, Rollout

DATA = Path(__file__).with_name("data")
PARENT = "01a1f87a-1edb-7772-a295-bcdec2d6d2fd"
CALL = Usage(
    input_tokens=1200,
    cached_input_tokens=1000,
    output_tokens=345,
    reasoning_output_tokens=45,
    total_tokens=1545,
)


def read(data: bytes) -> Rollout:
    return read_rollout(BytesIO(data))


def inputs(found: Rollout) -> list[int]:
    return [call.usage.input_tokens for call in found.calls]


def states(found: Rollout) -> list[tuple[str, str | None, str | None]]:
    return [(turn.state, turn.error_class, turn.reason) for turn in found.turns]


def test_every_call_of_a_resumed_thread_is_counted_once(
    recorded: Callable[[str], bytes],
) -> None:
    found = read(recorded("rollout-0.169-new+2resumes.jsonl"))
    first, second, third = found.turns

    assert found.thread_id == found.session_id == PARENT
    assert (found.cwd, found.originator) == ("/srv/code/repo", "codex_exec")
    assert found.cli_version == "0.169.0"
    assert found.parent_thread_id is found.forked_from_id is None
    assert [call.usage for call in found.calls] == [CALL] * 5
    assert [call.turn_id for call in found.calls] == [
        first.turn_id,
        first.turn_id,
        second.turn_id,
        third.turn_id,
        third.turn_id,
    ]
    assert found.calls[0] == Call(
        at=found.calls[0].at,
        turn_id=first.turn_id,
        root_turn_id=first.turn_id,
        model="gpt-5.1-codex",
        usage=CALL,
        tier="",
    )
    assert found.total == sum_usage([CALL] * 5) == found.usage
    assert states(found) == [("completed", None, None)] * 3
    assert found.last_agent_message == "done: run: false"
    assert found.warnings == {}


def test_calls_of_older_versions_are_differences_of_totals(
    recorded: Callable[[str], bytes],
) -> None:
    per_process = read(recorded("rollout-0.50-new+2resumes.jsonl"))
    cumulative = read(recorded("rollout-0.80-new+2resumes.jsonl"))

    assert inputs(per_process) == [1037, 1038, 1057, 1058, 1059]
    assert inputs(cumulative) == [1060, 1061, 1080, 1081, 1082]
    assert cumulative.total is not None
    assert cumulative.total.input_tokens == sum(inputs(cumulative))
    assert {call.model for call in per_process.calls} == {"gpt-5.1-codex"}
    assert per_process.turns == ()  # these versions write no turns
    assert per_process.last_agent_message == "done: run: false"


def test_a_process_that_uses_exactly_what_the_one_before_used_is_counted() -> None:
    record = token_count(total=CALL, last=CALL)
    no_total = token_count(total=None, last=None)
    data = b"".join((no_total, record, record, no_total, record, record))

    assert [call.usage for call in read(data).calls] == [CALL, CALL]


def test_a_fork_does_not_count_its_parents_calls(
    recorded: Callable[[str], bytes],
) -> None:
    found = read(recorded("rollout-0.169-fork.jsonl"))

    assert found.forked_from_id == PARENT
    assert [call.usage for call in found.calls] == [CALL]
    assert found.total is not None
    assert found.total.input_tokens == 7200
    assert [turn.state for turn in found.turns] == ["completed"]


def test_a_fork_that_only_has_totals_counts_its_last_call() -> None:
    header = session_meta(id=OWN, forked_from_id=PARENT)
    started = event("task_started", turn_id=OWN_TURN)
    first = token_count(total=sum_usage([CALL] * 4), last=CALL)
    second = token_count(total=sum_usage([CALL] * 5), last=CALL)

    found = read(header + started + first + first + second)

    assert [call.usage for call in found.calls] == [CALL, CALL]


@pytest.mark.parametrize(
    ("name", "counted"),
    [
        ("0.169-subagent", [1022, 1023]),
        ("0.169-subagent-forked", [1027, 1028]),
        ("0.142-subagent-forked", [1029, 1030]),
        ("0.125-subagent", [1120, 1121]),
        ("0.125-subagent-forked", [1126, 1127]),
    ],
)
def test_a_sub_agent_counts_its_own_calls_only(
    name: str, counted: list[int], recorded: Callable[[str], bytes]
) -> None:
    found = read(recorded(f"rollout-{name}.jsonl"))
    (turn,) = found.turns

    assert inputs(found) == counted
    assert {call.turn_id for call in found.calls} == {turn.turn_id}
    assert found.parent_thread_id is not None
    assert (found.forked_from_id is not None) == name.endswith("forked")
    is_named = not name.startswith("0.125")
    assert found.session_id == (found.parent_thread_id if is_named else None)
    assert (turn.root_turn_id not in {None, turn.turn_id}) == name.startswith("0.169")
    assert found.last_agent_message == "done: run: echo sub"


@pytest.mark.parametrize("version", ["0.125", "0.169"])
def test_a_parent_names_the_threads_it_spawned(
    version: str, recorded: Callable[[str], bytes]
) -> None:
    parent = read(recorded(f"rollout-{version}-spawn.jsonl"))
    agent = read(recorded(f"rollout-{version}-subagent.jsonl"))

    assert parent.spawned_thread_ids == (agent.thread_id,)
    assert agent.parent_thread_id == parent.thread_id


def test_a_turn_that_failed_says_why(recorded: Callable[[str], bytes]) -> None:
    limited = read(recorded("rollout-0.169-limit.jsonl"))
    late = read(recorded("rollout-0.169-late.jsonl"))

    assert states(limited) == [
        ("failed", "usage_limit_exceeded", None),
        ("completed", None, None),
        ("failed", "usage_limit_exceeded", None),
    ]
    assert limited.turns[0].error_message == (
        "You’ve hit your usage limit. Try again at Jan 15th, 2027 8:00 AM."
    )
    assert states(late) == [("failed", "internal_server_error", None)]
    assert len(late.calls) == 1


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ("other", "other"),
        (
            {"http_connection_failed": {"http_status_code": 503}},
            "http_connection_failed",
        ),
        ({}, None),
        (7, None),
    ],
)
def test_an_error_has_the_name_of_its_class(info: object, expected: str | None) -> None:
    error = {"message": "m", "codex_error_info": info}
    found = read(event("task_complete", turn_id=OWN_TURN, error=error))

    assert states(found) == [("failed", expected, None)]
    assert found.turns[0].error_message == "m"


@pytest.mark.parametrize("version", ["0.125", "0.169"])
def test_an_aborted_turn_says_so_and_counts_what_it_used(
    version: str, recorded: Callable[[str], bytes]
) -> None:
    found = read(recorded(f"rollout-{version}-abort.jsonl"))

    assert states(found) == [("aborted", None, "interrupted")]
    assert len(found.calls) == 1


def test_a_killed_turn_stays_open(recorded: Callable[[str], bytes]) -> None:
    lines = recorded("rollout-0.169-abort.jsonl").splitlines(keepends=True)
    found = read(b"".join(line for line in lines if b'"turn_aborted"' not in line))

    assert states(found) == [("open", None, None)]
    assert len(found.calls) == 1


@pytest.mark.parametrize("version", ["0.125", "0.169"])
def test_rate_limits_are_kept_with_their_epochs(
    version: str, recorded: Callable[[str], bytes]
) -> None:
    limits = read(recorded(f"rollout-{version}-limit.jsonl")).rate_limits

    assert limits is not None
    assert limits.primary == RateLimit(
        used_percent=100.0, window_minutes=300, resets_at=1800000000
    )
    assert limits.secondary == RateLimit(
        used_percent=40.0, window_minutes=10080, resets_at=1800500000
    )


@pytest.mark.parametrize(
    ("version", "counted"),
    [("0.80", [1007, 1009, 1010]), ("0.169", [1002, 1004, 1005])],
)
def test_a_context_window_that_overflows_neither_adds_nor_hides_tokens(
    version: str, counted: list[int], recorded: Callable[[str], bytes]
) -> None:
    found = read(recorded(f"rollout-{version}-window-overflow.jsonl"))

    assert inputs(found) == counted
    assert found.usage.total_tokens == sum(
        call.usage.input_tokens + call.usage.output_tokens for call in found.calls
    )


def test_cache_writes_are_counted(recorded: Callable[[str], bytes]) -> None:
    (call,) = read(recorded("rollout-0.169-cache-write.jsonl")).calls

    assert call.usage.cache_write_input_tokens == 2000


def second_turn(data: bytes) -> tuple[int, str, str]:
    """Find where the second run of a thread begins: offset, first and last time."""
    end = data.index(b'"task_complete"')
    offset = data.index(b"\n", end) + 1
    second = data[
        offset : data.index(b"\n", data.index(b'"task_complete"', offset)) + 1
    ]
    first, *_, last = (json.loads(line)["timestamp"] for line in second.splitlines())
    return offset, first, last


def test_a_window_by_offset_begins_exactly_there(
    recorded: Callable[[str], bytes],
) -> None:
    data = recorded("rollout-0.169-new+2resumes.jsonl")
    offset, _, _ = second_turn(data)
    found = read_rollout(BytesIO(data), from_offset=offset)

    assert [turn.state for turn in found.turns] == ["completed"] * 2
    assert len(found.calls) == 3
    assert found.usage == sum_usage([CALL] * 3)
    assert found.total == sum_usage([CALL] * 5)
    assert read_rollout(BytesIO(data), from_offset=len(data)).calls == ()


def test_a_window_by_time_holds_one_run(recorded: Callable[[str], bytes]) -> None:
    data = recorded("rollout-0.169-new+2resumes.jsonl")
    _, since, until = second_turn(data)
    found = read_rollout(BytesIO(data), since=since, until=until)

    assert len(found.calls) == len(found.turns) == 1
    assert found.last_agent_message == "done: say hi"


def test_totals_before_the_window_are_its_baseline(
    recorded: Callable[[str], bytes],
) -> None:
    data = recorded("rollout-0.80-new+2resumes.jsonl")
    said = data.index(b'"text":"say hi"')
    offset = data.rindex(b"\n", 0, said) + 1
    found = read_rollout(BytesIO(data), from_offset=offset)

    assert inputs(found) == [1080, 1081, 1082]


def test_an_output_that_names_no_agent_spawns_none() -> None:
    output = {"type": "function_call_output", "output": '{"agent_id": nobody}'}

    assert read(line("response_item", output)).spawned_thread_ids == ()
    output["output"] = '{"agent_id":"nobody"}'
    assert read(line("response_item", output)).spawned_thread_ids == ()
    output["output"] = '{"agent_id":nobody'
    assert read(line("response_item", output)).spawned_thread_ids == ()


@pytest.mark.parametrize(
    "since",
    [
        "2026-11-20T10:00:00",
        "2026-11-20T10:00:00Z",
        "2026-11-20T10:00:00+00:00",
        "2026-11-20T11:00:00+01:00",
    ],
)
def test_times_are_compared_as_times(since: str) -> None:
    record = token_count(total=CALL, last=CALL)
    before = record.replace(b"10:00:00.500Z", b"09:59:59.999Z")

    assert len(read_rollout(BytesIO(record), since=since).calls) == 1
    assert read_rollout(BytesIO(record), until=since).calls == ()
    assert read_rollout(BytesIO(before), since=since).calls == ()


def test_records_without_turn_ids_are_a_copy_when_written_at_once() -> None:
    header = session_meta(id=OWN, forked_from_id=PARENT)
    copy = event("token_count", info=None) + token_count(total=CALL, last=CALL)
    own = turn_context(model="gpt-5.1-codex") + token_count(
        total=sum_usage([CALL, CALL]), last=CALL
    )
    later = own.replace(b"10:00:00.500Z", b"10:00:09.500Z")

    found = read(header + turn_context(model="x") + copy + later)

    assert [(call.model, call.usage) for call in found.calls] == [
        ("gpt-5.1-codex", CALL)
    ]


def test_a_repeated_response_counts_once_and_another_threads_never() -> None:
    def record(thread_id: str, response_id: str) -> bytes:
        payload = {
            "thread_id": thread_id,
            "turn_id": OWN_TURN,
            "response_id": response_id,
            "usage": CALL.to_json(),
        }
        return line("token_usage_record", payload)

    header = session_meta(id=OWN)
    found = read(
        header
        + record(OWN, "a")
        + record(OWN, "a")
        + record(PARENT, "b")
        + record(OWN, "c")
    )

    assert len(found.calls) == 2


def test_an_older_version_may_resume_a_newer_ones_thread() -> None:
    record = {"thread_id": OWN, "response_id": "a", "usage": CALL.to_json()}
    newer = event("task_started", turn_id=OWN_TURN) + line("token_usage_record", record)
    newer += token_count(total=CALL, last=CALL)
    older = event("task_started", turn_id=OWN_TURN[:-1] + "f")
    older += token_count(total=CALL, last=CALL)
    older += token_count(total=sum_usage([CALL, CALL]), last=CALL)

    assert len(read(session_meta(id=OWN) + newer + older).calls) == 2


def test_a_call_that_was_missed_is_in_the_difference() -> None:
    first = token_count(total=CALL, last=CALL)
    third = token_count(total=sum_usage([CALL] * 3), last=CALL)

    assert read(first + third).usage == sum_usage([CALL] * 3)


@pytest.mark.parametrize("length", [4_096, 1 << 20])
def test_a_header_is_read_from_the_beginning_of_its_line(
    length: int, recorded: Callable[[str], bytes]
) -> None:
    first = recorded("rollout-0.169-subagent-forked.jsonl").split(b"\n")[0]
    text = first.replace(b'"text":"', b'"text":"' + b"x" * 30_000)
    found = read_header_line(text[:length])

    assert found is not None
    assert found.thread_id == "01a1f87a-d311-7153-9209-122fc45b7b60"
    assert found.parent_thread_id == found.forked_from_id == found.session_id
    assert found.started_at == "2026-11-20T10:22:41.431Z"


def test_what_is_no_header_is_none() -> None:
    assert read_header_line(b"") is None
    assert read_header_line(b"{}") is None
    assert read_header_line(token_count(total=CALL, last=CALL)) is None
    assert read_header_line(session_meta(id="no id")) is None


def test_other_orders_of_fields_are_read_too(
    recorded: Callable[[str], bytes],
) -> None:
    data = recorded("rollout-0.169-spawn.jsonl")
    lines = [json.loads(each) for each in data.splitlines()]
    turned = b"".join(
        json.dumps(dict(reversed(each.items()))).encode() + b"\n" for each in lines
    )

    assert read(turned) == read(data)


def test_broken_and_unfinished_lines_are_counted() -> None:
    found = read(b"noise\n\n" + token_count(total=CALL, last=CALL) + b'{"timesta')

    assert found.warnings == {"undecodable_line": 1, "unfinished_line": 1}
    assert len(found.calls) == 1


def test_an_empty_file_is_an_empty_rollout() -> None:
    assert read(b"") == Rollout()


@given(st.lists(st.binary()), st.integers(0, 99), st.text(), st.text())
def test_arbitrary_bytes_are_counted_and_hide_no_record(
    chunks: list[bytes], from_offset: int, since: str, until: str
) -> None:
    noise = b"\n".join(chunks)
    found = read_rollout(
        BytesIO(noise), from_offset=from_offset, since=since, until=until
    )
    whole = read(noise + b"\n" + token_count(total=CALL, last=CALL))

    assert found.thread_id is None
    assert found.calls == found.turns == found.spawned_thread_ids == ()
    assert found.usage == Usage()
    assert found.warnings.keys() <= {"undecodable_line", "unfinished_line"}
    assert sum(found.warnings.values()) <= noise.count(b"\n") + 1
    assert found.warnings.get("unfinished_line", 0) <= 1
    assert [call.usage for call in whole.calls] == [CALL]
    assert read_header_line(noise) is None


PAYLOADS = st.dictionaries(
    st.sampled_from(
        [
            *("id", "type", "turn_id", "info", "usage", "rate_limits", "item", "error"),
            *("thread_id", "source", "model", "output", "thread_token_usage"),
        ]
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["total_token_usage", "last_token_usage", "primary", "type"]
                ),
                inner,
            )
        ),
        max_leaves=6,
    ),
)
RECORD_TYPES = ["session_meta", "turn_context", "token_usage_record", "event_msg"]
EVENT_TYPES = ["token_count", "task_started", "task_complete", "turn_aborted"]
EVENT_TYPES += ["agent_message", "item_completed", "thread_settings_applied"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*RECORD_TYPES, "response_item"]),
            st.sampled_from([*EVENT_TYPES, "function_call_output"]),
            PAYLOADS,
        )
    )
)
def test_any_json_in_any_record_gives_a_sound_rollout(
    records: list[tuple[str, str, dict[str, object]]],
) -> None:
    data = b"".join(
        line(kind, {"type": inner, **payload}) for kind, inner, payload in records
    )
    found = read(data)

    assert len(found.calls) <= len(records)
    assert not any(call.usage.is_negative for call in found.calls)
    assert {call.turn_id for call in found.calls} <= {
        None,
        *(turn.turn_id for turn in found.turns),
    }
    assert {turn.state for turn in found.turns} <= {
        *("open", "completed", "failed", "aborted"),
    }
    assert found.total is None or not found.total.is_negative
    # Each line is a JSON object, but it may be of no known kind.
    assert all(name.startswith("unknown_record:") for name in found.warnings)


OWN = "01a1f87a-239f-7410-b8ac-465d382ada35"
OWN_TURN = "01a1f87a-23c9-7a62-9a4f-2319d29bfec9"


def line(kind: str, payload: Mapping[str, object]) -> bytes:
    record = {
        "timestamp": "2026-11-20T10:00:00.500Z",
        "type": kind,
        "payload": payload,
    }
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def event(kind: str, **fields: object) -> bytes:
    return line("event_msg", {"type": kind, **fields})


def session_meta(**fields: object) -> bytes:
    return line("session_meta", fields)


def turn_context(**fields: object) -> bytes:
    return line("turn_context", fields)


def token_count(total: Usage | None, last: Usage | None) -> bytes:
    info = (
        total
        and last
        and {
            "total_token_usage": total.to_json(),
            "last_token_usage": last.to_json(),
        }
    )
    return event("token_count", info=info)


FORMS = (
    "Chunk ID: 7b5a11\nWall time: 0.0 seconds\nProcess exited with code 1\nOutput:\n{}",
    "Exit code: 1\nWall time: 0.1 seconds\nOutput:\n{}",
    '{{"output":"{}","metadata":{{"exit_code":1}}}}',
    "{}",
)


@pytest.mark.parametrize("form", FORMS)
def test_a_command_that_a_broken_sandbox_refused_is_counted(form: str) -> None:
    def answered(output: str) -> bytes:
        payload = {"type": "function_call_output", "call_id": "c", "output": output}
        at = "2026-11-30T22:38:27.208Z"
        record = {"timestamp": at, "type": "response_item", "payload": payload}
        return json.dumps(record, separators=(",", ":")).encode() + b"\n"

    refused = answered(form.format("bwrap: setting up uid map: Permission denied"))
    others = answered(form.format("no bwrap: here")) + answered("bwrap: execvp x")

    assert read(refused + others).commands_refused == 1
    later = read_rollout(BytesIO(refused + refused), from_offset=len(refused))
    assert later.commands_refused == 1


# The records of a turn as Codex writes them, by letters: a call of a tool (c) and its
# answer (a), one that was stopped (x), a usage record (u), a total that has advanced
# (t) or not (o), a local (l) or a remote compaction (r).
def turn_of(letters: str, end: bytes) -> Rollout:
    made = {
        "c": line("response_item", {"type": "function_call", "name": "x"}),
        "a": answer_of("Output:\nhi"),
        "x": answer_of("Wall time: 0.8 seconds\naborted by user"),
        "l": line("compacted", {"message": "so far"}),
        "r": line("compacted", {"message": "", "replacement_history": []}),
        "o": token_count(total=None, last=None),
    }
    total, data = (
        Usage(),
        session_meta(id=OWN) + event("task_started", turn_id=OWN_TURN),
    )
    for number, letter in enumerate(letters):
        if letter in "ut":
            total += CALL
        record = {
            "thread_id": OWN,
            "response_id": f"r{number}",
            "usage": CALL.to_json(),
        }
        written = {
            "u": line("token_usage_record", record),
            "t": token_count(total=total, last=CALL),
        }
        data += (made | written)[letter]
    return read(data + end)


def answer_of(text: str) -> bytes:
    kind = "function_call_output"
    return line("response_item", {"type": kind, "call_id": "c", "output": text})


ABORTED = event("turn_aborted", turn_id=OWN_TURN, reason="interrupted")
COMPLETE = event("task_complete", turn_id=OWN_TURN, last_agent_message="done")


@pytest.mark.parametrize(
    ("letters", "is_unanswered"),
    [
        # 0.159 and later, 0.145, 0.120; each as the real Codex has written it.
        *((letters, True) for letters in ("o", "cuaoo", "cxo")),
        *((letters, True) for letters in ("cato", "ocxo", "octao")),
        *((letters, False) for letters in ("cuxo", "cxt", "octx")),
        *((letters, True) for letters in ("ccuaao", "ccaato", "cuaur", "cua" * 3)),
        *((letters, False) for letters in ("cuau", "catt", "cuauru", "ccaatt")),
    ],
)
def test_a_call_in_flight_at_the_end_of_a_turn_is_seen(
    letters: str, *, is_unanswered: bool
) -> None:
    aborted, killed = turn_of(letters, ABORTED), turn_of(letters, b"")

    assert [turn.state for turn in (*aborted.turns, *killed.turns)] == [
        "aborted",
        "open",
    ]
    assert aborted.last_turn.is_unanswered == is_unanswered
    assert killed.last_turn.is_unanswered == is_unanswered
    assert not killed.so_far().last_turn.is_unanswered
    assert aborted.so_far() == aborted


def test_a_call_in_flight_is_that_of_its_own_turn() -> None:
    killed = turn_of("cua", b"").last_turn
    resumed = event("task_started", turn_id=OWN_TURN.replace("9", "b"))
    both = turn_of("cua", resumed + token_count(sum_usage([CALL] * 2), CALL) + COMPLETE)

    assert killed.is_unanswered
    assert [turn.is_unanswered for turn in both.turns] == [True, False]


@pytest.mark.parametrize(
    ("letters", "count"), [("catrtt", 1), ("catltt", 0), ("cuaurcuau", 0), ("trtrt", 2)]
)
def test_a_remote_compaction_without_usage_is_counted(letters: str, count: int) -> None:
    assert turn_of(letters, COMPLETE).compactions == count


@pytest.mark.parametrize("path", sorted(DATA.glob("rollout-*.jsonl")), ids=str)
def test_a_rollout_that_is_read_as_it_grows_has_the_same_calls(path: Path) -> None:
    reader, place, calls = RolloutReader(), 0, list[Call]()

    for line in path.read_bytes().splitlines(keepends=True):
        reader.feed(line, place)
        place += len(line)
        calls += reader.next_part().calls

    assert tuple(calls) == read(path.read_bytes()).calls
