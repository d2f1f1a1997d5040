import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.exec_events import transcript
from parsers.exec_events.transcript import render, render_stderr

RUN = """\
session id: 01a1f87a-1edb-7772-a295-bcdec2d6d2fd

warning: Model metadata for `gpt-5.1-codex` not found. Defaulting to fallback \
metadata; this can degrade performance and cause issues.
exec
  /bin/bash -lc 'echo hello > f.txt; cat f.txt'

succeeded: /bin/bash -lc 'echo hello > f.txt; cat f.txt'
  hello

codex
  done: run: echo hello > f.txt; cat f.txt

"""


def rendered(data: bytes) -> str:
    return "".join(map(render, data.splitlines(keepends=True)))


def line(event: dict[str, object]) -> bytes:
    return json.dumps(event).encode()


def item(kind: str, phase: str = "completed", **fields: object) -> bytes:
    return line({"type": f"item.{phase}", "item": {"id": "i", "type": kind, **fields}})


def test_a_run_reads_like_a_conversation(recorded: Callable[[str], bytes]) -> None:
    assert rendered(recorded("events-0.169-new.jsonl")) == RUN


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "patch",
            (
                "file update (completed)\n"
                "  M /srv/code/repo/f.txt\n  A /srv/code/repo/new.txt\n\n"
            ),
        ),
        ("two", "exited 3: /bin/bash -lc 'echo two; exit 3'\n  two\n\n"),
        ("mcp", "tool echo.say\n\ntool echo.say completed\n  hello\n\n"),
        ("mcpbad", "tool echo.say failed\n  bad\n\n"),
        ("web", "thinking\n  **Thinking** about the web\n\nweb search\n  codex exec"),
        ("spawn", "agents: spawn_agent\n  run: echo sub\n\n"),
        ("spawn", "agents: wait completed\n  01a1f87a-d08e-7aa2-a29d-c4bfb1d8d5da\n"),
        ("limit", "ERROR: You’ve hit your usage limit. Try again at Jan 15th"),
        ("limit", "turn failed: You’ve hit your usage limit."),
    ],
)
def test_every_item_has_a_form(
    name: str, expected: str, recorded: Callable[[str], bytes]
) -> None:
    assert expected in rendered(recorded(f"events-0.169-{name}.jsonl"))


def test_a_plan_is_shown_when_it_changes(recorded: Callable[[str], bytes]) -> None:
    text = rendered(recorded("events-0.125-todo.jsonl"))

    assert text.count("plan\n  [ ] look\n  [ ] mend\n\n") == 1
    assert text.count("plan\n  [x] look\n  [ ] mend\n\n") == 1


def test_a_long_output_is_shortened_in_its_middle() -> None:
    output = "".join(f"{number}\n" for number in range(1_234))
    text = render(
        item(
            "command_execution",
            command="seq",
            aggregated_output=output,
            exit_code=0,
            status="completed",
        )
    )
    lines = text.splitlines()

    assert lines[:2] == ["succeeded: seq", "  0"]
    assert lines[100:103] == ["  99", "  … 1,034 lines left out …", "  1134"]
    assert lines[-2:] == ["  1233", ""]


def test_a_long_line_is_cut() -> None:
    text = render(item("agent_message", text="x" * 1_000_000))

    assert text == (
        "codex\n  "
        + "x" * transcript.LINE_LENGTH
        + "… (998,000 characters left out)\n\n"
    )


def test_control_sequences_are_shown_and_not_obeyed() -> None:
    text = render(
        item("agent_message", text="\x1b]0;title\x07\x1b[2J\u009b31m\ttab\r\n")
    )

    assert text == "codex\n  \\x1b]0;title\\x07\\x1b[2J\\x9b31m\ttab\n\n"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (line({"type": "turn.started"}), ""),
        (line({"type": "turn.completed"}), ""),
        (
            line({"type": "error", "message": "Reconnecting... 1/5"}),
            "note: Reconnecting... 1/5\n",
        ),
        (line({"type": "error", "message": "a\nb"}), "ERROR: a\n  b\n"),
        (line({"type": "novel"}), "not known to this version: event novel\n"),
        (item("novel"), "not known to this version: item novel\n"),
        (item("novel", "started"), ""),
        (item("file_change", "started", status="in_progress"), ""),
        (item("command_execution", "updated"), ""),
        (item("command_execution", command="x", status="declined"), "declined: x\n\n"),
        (item("agent_message", text=""), "codex\n\n"),
        (b"", ""),
        (b"\0\n", ""),
        (b"WARNING: beware\x07\n", "unreadable line: WARNING: beware\\x07\n"),
    ],
)
def test_odd_events_have_a_form_too(event: bytes, expected: str) -> None:
    assert render(event) == expected


SAYINGS = st.text() | st.sampled_from(
    [
        "session id: 01a1f87a-1edb-7772-a295-bcdec2d6d2fd",
        "tokens used\n9",
        "codex_run_id=7",
    ]
)
KINDS = st.sampled_from(["agent_message", "reasoning", "command_execution", "error"])


@given(SAYINGS, KINDS, st.sampled_from(["started", "updated", "completed"]))
def test_nothing_that_was_said_stands_at_the_first_column(
    said: str, kind: str, phase: str
) -> None:
    fields = dict.fromkeys(("text", "command", "aggregated_output", "message"), said)
    text = render(item(kind, phase, **fields))
    heading = re.compile(r"(codex|thinking|exec|ended:.*|warning:.*)?")

    assert text == "" or text.endswith("\n")
    for each in text.split("\n"):
        assert each.startswith("  ") or heading.fullmatch(each)


@given(st.binary())
def test_arbitrary_bytes_never_raise_and_never_control_a_terminal(data: bytes) -> None:
    for text in (render(data), render(b'{"type":"error","message":' + data + b"}")):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)
        assert text == "" or text.endswith("\n")


def test_stderr_has_a_form() -> None:
    assert render_stderr(b"\x1b[31mno\x1b[0m login\n") == "[stderr] no login\n"
    assert render_stderr(b" \n") == ""
