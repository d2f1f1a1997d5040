"""The summary reads most lines by their ends, and finds what decoding them finds."""

import json
import os
import tracemalloc
from collections.abc import Callable, Mapping
from io import BufferedReader, BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers import loose_json
from parsers.exec_events import events, summary, task_log
from parsers.exec_events.events import Undecodable, decode
from parsers.exec_events.summary import EventSummary
from parsers.text import uuid

DATA = Path(__file__).with_name("data")
RECORDED = [
    line
    for path in sorted(DATA.glob("events-*.jsonl"))
    for line in path.read_bytes().splitlines()
]
SEPARATORS = [(",", ":"), (", ", ": "), (" ,  ", " : "), (",\t", ":")]
HEAD = (
    b'{"type":"item.completed","item":{"id":"i","type":"command_execution","command":"'
)
END = b'","exit_code":0,"status":"completed"}}'
SPACED = HEAD.replace(b":", b": ").replace(b',"', b', "')
HUGE = 70_000_000


class Reference:
    """Read lines one by one with `json.loads`, and count the commands."""

    def __init__(self, data: bytes) -> None:
        self.done, self.failed = 0, 0
        self.answer: object = None
        self.running: dict[object, bool] = {}
        for line in data.split(b"\n"):
            fields = loose_json.load_or_empty(line)
            kind = loose_json.text(fields.get("type")) or ""
            if kind in {"turn.started", "turn.completed", "turn.failed"} or (
                kind == "thread.started" and uuid(fields.get("thread_id"))
            ):
                self.done += sum(self.running.values())
                self.running.clear()
                self.answer = None if kind == "turn.started" else self.answer
            elif kind in {"item.started", "item.updated", "item.completed"}:
                item = loose_json.mapping(fields.get("item"))
                self.take(item, is_done=kind == "item.completed")

    def take(self, item: Mapping[str, object], *, is_done: bool) -> None:
        if item.get("type") == "agent_message" and is_done:
            self.answer = loose_json.text(item.get("text")) or ""
        is_command = item.get("type") == "command_execution"
        if is_command or item.get("type") in {"mcp_tool_call", "collab_tool_call"}:
            name = loose_json.text(item.get("id")) or ""
            if is_done:
                self.running.pop(name, None)
                self.done += is_command
            else:
                self.running[name] = is_command
        if is_command and is_done:
            is_bad = item.get("status") in {"failed", "declined"}
            self.failed += is_bad or bool(loose_json.integer(item.get("exit_code")))


def decoded(data: bytes) -> EventSummary:
    """Decode each line: none begins as `scan` wants it."""
    found = EventSummary()
    *lines, rest = data.split(b"\n")
    for line in lines:
        found.feed(b" " + line)
    found.finish(rest)
    return found


def scanned(data: bytes, block: int = 1 << 17) -> EventSummary:
    found = EventSummary()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(summary, "_BLOCK", block)
        found.read(BytesIO(data))
    return found


def spaced(line: bytes, separators: tuple[str, str]) -> bytes:
    try:
        return json.dumps(json.loads(line), separators=separators).encode()
    except ValueError:
        return line


def command(number: int, text: str, code: int | None, phase: str) -> bytes:
    item = {
        "id": f"item_{number}",
        "type": "command_execution",
        "command": text,
        "aggregated_output": text,
        "exit_code": code,
        "status": "completed" if code == 0 else "failed",
    }
    if phase == "started":
        item["status"] = "in_progress"
    event = {"type": f"item.{phase}", "item": item}
    return json.dumps(event, separators=(",", ":")).encode()


def twice(line: bytes, key: bytes, value: bytes) -> bytes:
    return line.replace(key, key + b":" + value + b"," + key, 1)


TEXTS = st.sampled_from(
    ["", "x" * 300, 'say "hi"\n', "\\", '"}}', ',"status":"failed"}}', "é\ud800\0"]
)
COMMANDS = st.builds(
    command,
    st.integers(0, 2),
    TEXTS,
    st.sampled_from([0, 1, -1, None, -0, 10**12]),
    st.sampled_from(["started", "updated", "completed"]),
)
# Damage that no reader may miss: what is between the ends of a line is not read.
DAMAGE: list[Callable[[bytes, int], bytes]] = [
    lambda line, at: line[: at % (len(line) + 1)],
    lambda line, at: line[at % (len(line) + 1) :],
    lambda line, at: b"\0" * (at % 300) + line,
    lambda line, at: line + b"\0" * (at % 300),
    lambda line, at: line + b" " * (at % 200) + b"\r",
    lambda line, _: b"\x1b[0m" + line + b"\x1b[0m",
    lambda line, _: b"\xef\xbb\xbf" + line,
    lambda line, _: b"\n\n" + line,
    lambda _, at: bytes([at % 256]) * (at % 700),
    lambda line, _: line.replace(b"item_", b"item_\xff"),
    lambda line, _: line.replace(b"item_", b"item\\u005f"),
    lambda line, _: line.replace(b'"type"', b'"\\u0074ype"', 1),
    lambda line, _: line.replace(b'"status"', b'"statu\\u0073"'),
    lambda line, _: twice(line, b'"type"', b'"error"'),
    lambda line, _: twice(line, b'"id"', b'"other"'),
    lambda line, _: twice(line, b'"command"', b'{"type":"turn.completed"}'),
    lambda line, _: line.replace(b'"status"', b'"kind":{"type":"x"},"status"'),
    lambda line, _: line.replace(b'"exit_code":0', b'"exit_code":-0'),
    lambda line, _: line[:-1] + b',"type":"turn.started"}',
    lambda line, _: b"[" + line + b"]",
    lambda line, _: line,
]
LINES = st.builds(
    lambda line, separators, damage, at: damage(spaced(line, separators), at),
    st.sampled_from(RECORDED) | COMMANDS,
    st.sampled_from(SEPARATORS),
    st.sampled_from(DAMAGE),
    st.integers(0, 10_000),
)

# The two lines of a command are read at once if nothing is between them.
PAIRS = st.builds(
    lambda number, text, code, separators, damage, at: b"\n".join(
        damage(spaced(command(number, text, *end), separators), at)
        for end in ((None, "started"), (code, "completed"))
    ),
    st.integers(0, 2),
    TEXTS,
    st.sampled_from([0, 1, -1, None]),
    st.sampled_from(SEPARATORS),
    st.sampled_from(DAMAGE),
    st.integers(0, 10_000),
)


@given(
    st.lists(LINES | PAIRS, max_size=12),
    st.sampled_from([64, 200, 500, 1 << 17]),
    st.booleans(),
)
def test_scanning_finds_what_decoding_finds(
    lines: list[bytes],
    block: int,
    is_complete: bool,  # noqa: FBT001  # Hypothesis' own
) -> None:
    data = b"\n".join(lines) + b"\n" * is_complete
    found, expected, plain = scanned(data, block), decoded(data), Reference(data)

    assert found.facts() == expected.facts()
    assert found._running == expected._running
    assert found.progress == expected.progress
    assert found.failure == expected.failure
    assert found.final_message == plain.answer
    assert found.commands_run == plain.done + sum(plain.running.values())
    assert found.commands_failed == plain.failed


@pytest.mark.parametrize("separators", SEPARATORS)
def test_recorded_streams_are_read_alike_however_they_are_spaced(
    separators: tuple[str, str],
) -> None:
    for path in sorted(DATA.glob("events-*.jsonl")):
        lines = path.read_bytes().splitlines()
        data = b"".join(spaced(line, separators) + b"\n" for line in lines)

        assert scanned(data).facts() == decoded(path.read_bytes()).facts()


@pytest.mark.parametrize("separators", SEPARATORS[:3])
@pytest.mark.parametrize("ending", [b"", b"\r"])
def test_no_command_or_message_is_decoded_however_it_is_spaced(
    separators: tuple[str, str], ending: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = (
        b'{"type":"item.completed","item":{"id":"m","type":"agent_message","text":"x"}}'
    )
    lines = [command(n % 3, "x" * 99, n % 2, "completed") for n in range(20)]
    data = b"".join(
        spaced(each, separators) + ending + b"\n" for each in [*lines, message]
    )
    if ending:
        data = data.replace(b'{"', b'{ "').replace(b"}}", b" } }")
    taken: list[bytes] = []
    monkeypatch.setattr(events, "decode", taken.append)

    found = EventSummary()
    found.read(BytesIO(data))

    assert taken == []
    assert (found.commands_run, found.commands_failed) == (20, 10)


STARTED = command(0, "x", None, "started")
DONE = command(0, "x", 0, "completed")


@pytest.mark.parametrize(
    "lines",
    [
        # The id of the pair, written otherwise, is that of the command before it.
        [
            STARTED,
            *(line.replace(b"item_", b"item\\u005f") for line in (STARTED, DONE)),
        ],
        [STARTED, DONE],
        [command(1, "x", None, "started"), STARTED, DONE],
        [STARTED, STARTED, DONE],
        [STARTED.replace(b"command_execution", b"mcp_tool_call"), DONE],
        [STARTED.replace(b'"in_progress"}}', b'"in_progress"}'), DONE],
        [STARTED.replace(b"item_0", b"item_00"), DONE],
        [STARTED + b"\r", DONE],
        [STARTED, DONE + b"\r", STARTED + b"\r", DONE + b"\r"],
    ],
)
def test_a_pair_counts_as_its_two_lines(lines: list[bytes]) -> None:
    data = b"\n".join([*lines, b""])
    found, expected = scanned(data), decoded(data)

    assert found.facts() == expected.facts()
    assert found._running == expected._running
    assert found.progress == expected.progress


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (HEAD, END + b"\n"),
        (SPACED, b'", "exit_code": 1, "status": "failed"}}\n'),
        (HEAD, b""),
        (HEAD, b"\n"),
        (b"", b"\n"),
        (b"", END + b"\n"),
    ],
)
def test_a_huge_line_needs_little_memory(begin: bytes, end: bytes) -> None:
    filler = b"x" if begin or end != b"\n" else b"\0"
    data = begin + filler * HUGE + end + HEAD + END + b"\n"
    stream = BytesIO(data)
    found = EventSummary()
    tracemalloc.start()
    try:
        found.read(stream)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 4_000_000
    assert found.commands_run + sum(found.warnings.values()) >= 1


def test_an_id_that_is_cut_by_the_end_of_a_block_is_read_whole() -> None:
    ends = b'","type":"command_execution","command":"","status":"in_progress"}}\n'
    line = b'{"type":"item.started","item":{"id":"' + b"i" * 60 + ends

    assert scanned(line, 64)._running == {b"i" * 60: True}


@pytest.mark.parametrize("kind", ["agent_message", "reasoning"])
def test_a_text_does_not_end_at_a_quote_that_is_escaped(kind: str) -> None:
    item = f'{{"id":"i","type":"{kind}","text":"said \\"}}}}\n'.encode()
    found = scanned(b'{"type":"item.completed","item":' + item)

    assert found.warnings == {"undecodable_line": 1}


def test_a_huge_line_of_a_pipe_is_read_as_well() -> None:
    reader, writer = os.pipe()
    data = HEAD + b"x" * 500 + END + b"\n" + HEAD + END
    os.write(writer, data)
    os.close(writer)
    with (
        pytest.MonkeyPatch.context() as patch,
        BufferedReader(os.fdopen(reader, "rb", buffering=0)) as stream,
    ):
        patch.setattr(summary, "_BLOCK", 256)
        found = EventSummary()
        found.read(stream)

    assert found.commands_run == 2


def test_a_line_that_is_damaged_between_its_ends_counts_as_what_its_ends_say() -> None:
    line = HEAD + b'cut {"type":"item.completed","item":{"id":"' + END

    assert isinstance(decode(line), Undecodable)
    assert scanned(line + b"\n").commands_run == 1


@given(LINES)
def test_a_task_log_takes_the_lines_that_are_objects(line: bytes) -> None:
    try:
        is_object = isinstance(json.loads(line.strip().decode()), dict)
    except (ValueError, RecursionError):
        is_object = False

    found = task_log.event(line, EventSummary().feed(line))

    assert (found == line.strip() + b"\n") == is_object
    assert isinstance(json.loads(found), dict)


@pytest.mark.parametrize("middle", [b"a\0b", b"a\xffb", HEAD, b"\x1b[0m"])
def test_a_task_log_wraps_a_line_that_is_damaged_between_its_ends(
    middle: bytes,
) -> None:
    line = HEAD + middle + END
    found = EventSummary().feed(line)

    assert found is None
    assert json.loads(task_log.event(line, found))["type"] == "stdout"
