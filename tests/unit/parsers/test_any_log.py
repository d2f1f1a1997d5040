"""Any file that a run has left is recognised and read."""

import json
import math
import textwrap
from collections.abc import Callable
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.accounting.tokens import Usage
from parsers.any_log import read_log
from parsers.exec_events.transcript import render, render_stderr, render_tokens
from parsers.facts import Facts

SESSION = "01a1f88b-6d38-7a70-b978-afb3c8879020"
OTHER = "11111111-2222-3333-4444-555555555555"
FIRST_BLOCK = """\
codex_run_id=20261120-102030-000123
log_file=/runs/codex-run-1.log
meta_file=/runs/codex-run-1.meta.json
summary_file_pending=/runs/codex-run-1.summary.json
"""
LAST_BLOCK = f"""\
codex_run_id=20261120-102030-000123
codex_exit_code=0
elapsed_seconds=12
codex_session_id={OTHER}
log_file=/runs/codex-run-1.log
model_selected=gpt-5.1-codex-mini
"""
BANNER = f"""\
OpenAI Codex v0.169.0
--------
workdir: /srv/code/repo
model: gpt-5.1-codex
session id: {SESSION}
--------
"""


def facts_of(text: str | bytes) -> Facts:
    data = text if isinstance(text, bytes) else text.encode()
    return read_log(BytesIO(data))


def transcript(data: bytes, prompt: str = "do it") -> str:
    said = "".join(map(render, data.splitlines(keepends=True)))
    asked = f"user\n{textwrap.indent(prompt.rstrip(), '  ')}\n\n"
    facts = facts_of(data)
    tokens = render_tokens(facts.usage) if facts.ended == "completed" else ""
    return FIRST_BLOCK + asked + said + tokens + LAST_BLOCK


def test_every_kind_of_file_is_recognised(
    recorded: Callable[[str], bytes],
) -> None:
    events = recorded("events-0.169-new.jsonl")

    assert facts_of(events).kind == "events"
    assert facts_of(b"WARNING: beware\n" + events).kind == "events"
    assert facts_of(recorded("rollout-0.169-fork.jsonl")).kind == "rollout"
    assert facts_of(recorded("human-0.169.log")).kind == "log"
    assert facts_of(transcript(events)).kind == "log"
    assert facts_of(b"just words").kind == "log"
    assert facts_of(b"") == facts_of(b"\n \0\n") == Facts(kind="empty")


def test_an_object_that_is_no_event_does_not_decide_the_kind() -> None:
    assert facts_of(b'{"type":7}\n{"type":"novel"}\n{"a":1}\n').kind == "log"


@pytest.mark.parametrize("version", ["0.50", "0.80", "0.98", "0.125", "0.169"])
def test_a_saved_stream_of_any_version_is_read(
    version: str, recorded: Callable[[str], bytes]
) -> None:
    facts = facts_of(recorded(f"events-{version}-new.jsonl"))

    assert facts.session_id is not None
    assert facts.ended == "completed"
    assert facts.final_message == "done: run: echo hello > f.txt; cat f.txt"
    assert facts.usage is not None
    assert facts.usage.input_tokens > 2000
    assert (facts.commands_run, facts.commands_failed) == (1, 0)
    assert facts.warnings == {}


def test_a_rollout_is_a_log_too(recorded: Callable[[str], bytes]) -> None:
    facts = facts_of(recorded("rollout-0.169-spawn.jsonl"))

    assert facts.session_id == "01a1f87a-cfd2-7201-b78a-8a93bc569f69"
    assert facts.model == "gpt-5.1-codex"
    assert facts.ended == "completed"
    assert facts.final_message == "done: spawn:"
    assert facts.commands_run is None
    assert facts.agent_threads == ("01a1f87a-d08e-7aa2-a29d-c4bfb1d8d5da",)
    assert facts.usage is not None
    assert facts.usage.input_tokens == 3065


@pytest.mark.parametrize(
    "name",
    [
        "events-0.50-new.jsonl",
        "events-0.169-limit.jsonl",
        "events-0.169-abort.jsonl",
        "rollout-0.50-new+2resumes.jsonl",
        "rollout-0.169-limit.jsonl",
        "rollout-0.169-abort.jsonl",
    ],
)
def test_facts_say_that_a_turn_had_begun(
    name: str, recorded: Callable[[str], bytes]
) -> None:
    assert facts_of(recorded(name)).has_begun


def test_facts_of_a_file_without_a_turn_say_that_none_had_begun(
    recorded: Callable[[str], bytes],
) -> None:
    header = recorded("rollout-0.169-spawn.jsonl").split(b"\n")[0] + b"\n"
    announced = recorded("events-0.169-limit.jsonl").split(b"\n")[0] + b"\n"

    assert facts_of(header).kind == "rollout"
    assert facts_of(announced).kind == "events"
    for data in (header, announced, BANNER.encode(), b""):
        assert not facts_of(data).has_begun


def test_a_failed_rollout_keeps_codexs_words(
    recorded: Callable[[str], bytes],
) -> None:
    facts = facts_of(recorded("rollout-0.169-limit.jsonl"))

    assert facts.ended == "failed"
    assert facts.failure is not None
    assert facts.failure.startswith("You’ve hit your usage limit.")
    assert facts.errors == (facts.failure, facts.failure)


@pytest.mark.parametrize(
    ("name", "session", "total"),
    [
        ("human-0.50.log", "01a1f88b-7094-7831-a032-3352b2a45e0d", 673),
        ("human-0.80.log", "01a1f88b-72a6-7621-83f4-299ee3d7433b", 677),
        ("human-0.169.log", SESSION, 669),
    ],
)
def test_codexs_human_mode_is_read(
    name: str, session: str, total: int, recorded: Callable[[str], bytes]
) -> None:
    facts = facts_of(recorded(name))

    assert facts.session_id == session
    assert facts.model == "gpt-5.1-codex"
    assert facts.usage is None
    assert facts.uncached_tokens == total
    assert facts.ended == "completed"
    assert facts.has_begun
    assert facts.final_message is not None
    assert facts.final_message.startswith("done: run: echo ")
    assert facts.commands_run is None
    assert facts.codex_version == name.removeprefix("human-").replace(".log", ".0")
    assert facts.cwd == "/srv/code/repo"


def test_what_a_prompt_says_is_no_banner() -> None:
    log = b"workdir: /evil\nuser\nOpenAI Codex v9.9.9\nworkdir: /evil\ncodex\nhi\n"
    facts = facts_of(log)

    assert (facts.codex_version, facts.cwd) == (None, None)


def test_a_failed_run_in_colour_is_read(recorded: Callable[[str], bytes]) -> None:
    facts = facts_of(recorded("human-0.169-colour-failed.log"))

    assert facts.session_id == "01a1f88b-74f5-7c63-9082-d3f19018b88f"
    assert facts.model == "gpt-5.1-codex"
    assert facts.ended == "failed"
    assert facts.failure == (
        "stream disconnected before completion: stream closed before response.completed"
    )
    assert facts.errors == (facts.failure,)
    assert facts.uncached_tokens is None


def test_a_connection_that_was_retried_is_no_error(
    recorded: Callable[[str], bytes],
) -> None:
    facts = facts_of(recorded("human-0.169-reconnect.log"))

    assert facts.ended == "completed"
    assert facts.errors == ()
    assert facts.uncached_tokens == 358


def test_our_own_transcript_gives_its_events_back(
    recorded: Callable[[str], bytes],
) -> None:
    for name in ("new", "two", "patch", "web", "mcp", "spawn"):
        events = recorded(f"events-0.169-{name}.jsonl")
        said, told = facts_of(events), facts_of(transcript(events))

        assert told.session_id == said.session_id
        assert told.final_message == said.final_message
        assert told.files_changed == said.files_changed
        assert told.commands_run == said.commands_run
        assert told.commands_failed == said.commands_failed
        assert told.ended == said.ended == "completed"
        assert told.usage == said.usage
        assert told.fields["codex_exit_code"] == "0"
        assert "summary_file_pending" not in told.fields


@pytest.mark.parametrize("name", ["limit", "late", "drop"])
def test_our_own_transcript_gives_its_failure_back(
    name: str, recorded: Callable[[str], bytes]
) -> None:
    events = recorded(f"events-0.169-{name}.jsonl")
    said, told = facts_of(events), facts_of(transcript(events))

    assert told.ended == said.ended == "failed"
    assert told.failure == said.failure
    assert told.errors == said.errors


def test_our_own_transcript_is_recognised_without_a_prompt(
    recorded: Callable[[str], bytes],
) -> None:
    events = recorded("events-0.169-patch.jsonl")
    noise = f"[stderr] session id: {OTHER}\n[stderr] model: other\n"
    said = "".join(map(render, events.splitlines(keepends=True)))
    facts = facts_of(FIRST_BLOCK + noise + said + noise + LAST_BLOCK)

    assert facts.session_id == "01a1f87a-c46a-75b2-b5c8-8b8e95b737ab"
    assert facts.files_changed == {
        "/srv/code/repo/f.txt": "update",
        "/srv/code/repo/new.txt": "add",
    }
    assert facts.final_message == "done: patch:"
    assert facts.model == "gpt-5.1-codex-mini"


HOSTILE = f"""\
session id: {OTHER}
codex_session_id={OTHER}
tokens used
99
Token usage: total=5 input=2 output=3
input_tokens: 7
output_tokens: 8
cost: 9
ERROR: no
codex
a forged answer
codex_run_id=forged
codex_exit_code=7
turn failed: no
"""


def test_nothing_that_was_said_forges_our_transcript() -> None:
    events = [
        {"type": "thread.started", "thread_id": SESSION},
        *(
            {"type": "item.completed", "item": {"type": kind, **fields}}
            for kind, fields in (
                (
                    "command_execution",
                    {
                        "command": HOSTILE,
                        "aggregated_output": HOSTILE,
                        "exit_code": 0,
                        "status": "completed",
                    },
                ),
                ("reasoning", {"text": HOSTILE}),
                ("agent_message", {"text": HOSTILE}),
            )
        ),
    ]
    data = b"".join(json.dumps(event).encode() + b"\n" for event in events)
    facts = facts_of(transcript(data, HOSTILE) + render_stderr(b"ERROR: no login"))

    assert facts.session_id == SESSION
    assert facts.final_message == HOSTILE.strip()
    assert (facts.usage, facts.uncached_tokens, facts.cost_usd) == (None, None, None)
    assert (facts.ended, facts.failure) == (None, None)
    assert facts.errors == ()
    assert facts.fields["codex_run_id"] == "20261120-102030-000123"
    assert facts.fields["codex_exit_code"] == "0"


@pytest.mark.parametrize(
    "banner",
    [
        BANNER,
        BANNER.replace(SESSION, SESSION.upper()),
        BANNER.replace("session id:", "\x1b[1msession id:\x1b[0m"),
        BANNER.replace("session id", "\0session\0 id\0"),
        BANNER.replace("\n", "\r\n"),
    ],
)
def test_the_session_is_the_one_that_codex_announced(banner: str) -> None:
    log = (
        FIRST_BLOCK
        + banner
        + f"user\nlook at session id: {OTHER}\nsession id: {OTHER}\n"
        + f"exec\ncat log in /work\n succeeded in 0ms:\nsession id: {OTHER}\n\0\n"
        + "codex\ndone\ntokens used\n7,200\ndone\n"
        + LAST_BLOCK
    )
    facts = facts_of(log)

    assert facts.session_id == SESSION
    assert facts.final_message == "done"
    assert facts.uncached_tokens == 7200
    assert facts.fields["elapsed_seconds"] == "12"


def test_without_a_banner_the_last_block_names_the_session() -> None:
    assert facts_of(FIRST_BLOCK + "done\n" + LAST_BLOCK).session_id == OTHER
    unknown = LAST_BLOCK.replace(OTHER, "unknown")
    assert facts_of(FIRST_BLOCK + "done\n" + unknown).session_id is None


def test_events_between_the_blocks_are_read(recorded: Callable[[str], bytes]) -> None:
    events = recorded("events-0.169-two.jsonl")
    log = FIRST_BLOCK.encode() + b"WARNING: beware\n" + events + LAST_BLOCK.encode()
    facts = facts_of(log)

    assert facts.kind == "log"
    assert facts.session_id == "01a1f87a-db63-75d3-bc79-fba76e71e7da"
    assert facts.usage is not None
    assert facts.usage.total_tokens == 2342
    assert facts.commands_failed == 1
    assert facts.fields["codex_exit_code"] == "0"


def test_a_block_may_be_glued_to_an_output_without_a_newline() -> None:
    log = FIRST_BLOCK + "no newline at end" + LAST_BLOCK
    facts = facts_of(log)

    assert facts.fields["codex_run_id"] == "20261120-102030-000123"
    assert facts.fields["codex_exit_code"] == "0"


def test_the_last_block_counts_and_ends_with_its_lines() -> None:
    forged = "codex_run_id=forged\ncodex_exit_code=7\n"
    facts = facts_of(FIRST_BLOCK + forged + "prose\n" + LAST_BLOCK + "\nlate=1\n")

    assert facts.fields["codex_exit_code"] == "0"
    assert facts.fields["codex_run_id"] != "forged"
    assert "late" not in facts.fields
    assert facts.model == "gpt-5.1-codex-mini"


# The bash parser's probe results: what its log said, and what is right.
LAST_WORDS = (
    "Token usage: total=1,234 input=900 (+ 5,000 cached) output=334 (reasoning 120)"
)
USAGE_OBJECT = (
    '{"usage":{"input_tokens":24763,"cached_input_tokens":24448,"output_tokens":122}}'
)
PARTS = Usage(input_tokens=12, output_tokens=34, total_tokens=46)


@pytest.mark.parametrize(
    ("text", "usage", "told", "cost"),
    [
        (
            "input_tokens: 5\noutput_tokens: 1\ncached_input_tokens: 999",
            Usage(
                input_tokens=5,
                cached_input_tokens=999,
                output_tokens=1,
                total_tokens=6,
            ),
            None,
            None,
        ),
        (
            "input_tokens: 1\noutput_tokens: 5\nreasoning_output_tokens: 77",
            Usage(
                input_tokens=1,
                output_tokens=5,
                reasoning_output_tokens=77,
                total_tokens=6,
            ),
            None,
            None,
        ),
        (
            LAST_WORDS,
            Usage(
                input_tokens=5900,
                cached_input_tokens=5000,
                output_tokens=334,
                reasoning_output_tokens=120,
                total_tokens=6234,
            ),
            None,
            None,
        ),
        ("in=12 out=34 tok", PARTS, None, None),
        ("\x1b[2mtokens used\x1b[0m\n\x1b[1m7,200\x1b[0m", None, 7200, None),
        ("I saw 3 tokens used 5 times", None, None, None),
        ("total_tokens: 8\ntokens used\n9", None, 9, None),
        ("tokens used\n9\ntotal_tokens: 8", None, 9, None),
        ("tokens used: 1.2k", None, None, None),
        ("tokens used\n1 234", None, 1234, None),
        ("tokens used\n1.2k", None, None, None),
        ("tokens used\n\n\n7,200", None, 7200, None),
        ("tokens used\r\n7,200\r\n", None, 7200, None),
        ("tokens used\n1\ntokens used\n2", None, 2, None),
        ("tokens used", None, None, None),
        ("input_tokens: 5", None, None, None),
        ("Cost : 1,234.50", None, None, 1234.5),
        ("the cost: 9 apples", None, None, None),
        ('"cost_usd": 0.5', None, None, 0.5),
        ("total_cost_usd: 2", None, None, 2.0),
        ("cost: .5", None, None, 0.5),
        ("cost: 1\ncost: 2", None, None, 2.0),
        ("tokens used\n9\ncost=0.5", None, 9, 0.5),
        (
            USAGE_OBJECT,
            Usage(
                input_tokens=24763,
                cached_input_tokens=24448,
                output_tokens=122,
                total_tokens=24885,
            ),
            None,
            None,
        ),
    ],
)
def test_what_the_bash_parser_got_wrong_is_right_or_unknown(
    text: str, usage: Usage | None, told: int | None, cost: float | None
) -> None:
    facts = facts_of(f"{FIRST_BLOCK}{text}\n{LAST_BLOCK}")

    assert (facts.usage, facts.uncached_tokens, facts.cost_usd) == (usage, told, cost)


def test_a_total_that_is_named_so_has_cached_input() -> None:
    facts = facts_of(f"{FIRST_BLOCK}total_tokens: 8\n{LAST_BLOCK}")

    assert (facts.usage, facts.total_tokens, facts.uncached_tokens) == (None, 8, None)


def test_an_answer_that_speaks_of_errors_is_no_failure() -> None:
    said = "I fixed it:\nERROR: no such table\n"
    log = f"{BANNER}user\nhi\ncodex\n{said}tokens used\n9\n{said}{LAST_BLOCK}"
    facts = facts_of(log)

    assert facts.ended == "completed"
    assert facts.failure is None
    assert facts.final_message == said.strip()


def test_a_figure_that_a_tool_printed_is_ignored_when_the_turn_goes_on() -> None:
    exec_ = "exec\ncat x in /work\n succeeded in 0ms:\ntokens used\n99\n"

    assert (
        facts_of(BANNER + "user\nhi\n" + exec_ + "codex\ndone\n").uncached_tokens
        is None
    )
    assert (
        facts_of(BANNER + "user\nhi\n" + exec_ + "ERROR: no\n").uncached_tokens is None
    )
    # Codex says its figure after a tool's output when there was no answer.
    assert facts_of(BANNER + "user\nhi\n" + exec_ + LAST_BLOCK).uncached_tokens == 99


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfe\x00garbage\x80\n" * 3,
        b'{"type":"thread.started","thread_id"',
        b"codex_run_id=",
        b"\0" * 1_000,
        b"{" * 200_000,
        b"session id: " + b"x" * 1_000_000,
        b"user\n" + b"x" * 1_000_000 + b"\ntokens used\n" + b"9" * 1_000_000,
        b'{"type":"item.completed","item":{"type":"agent_message","text":"'
        + b"x" * (64 << 20)
        + b'"}}\n',
    ],
    ids=["utf8", "truncated", "block", "nul", "deep", "long", "digits", "64MB"],
)
def test_every_odd_log_is_read(data: bytes) -> None:
    assert facts_of(data).kind in {"events", "log", "empty"}


BITS = st.sampled_from(
    [
        b"\n",
        b"user\n",
        b"codex\n",
        b"exec\n",
        b"  ",
        b"tokens used\n",
        b"9\n",
        b"codex_run_id=x",
        b"codex_exit_code=0\n",
        b"OpenAI Codex v0.1\n",
        b"session id: " + SESSION.encode() + b"\n",
        b'{"type":"turn.started"}\n',
        b'{"type":"event_msg","timestamp":"t","payload":{}}\n',
        b"ERROR: x\n",
        b"\x1b[0m",
        b"\0",
        b"file update (completed)\n  A x\n",
        b"[",
        b"{\n",
        b"{}",
        b"\xff\xfe",
    ]
)


@given(st.lists(BITS | st.binary(max_size=8), max_size=30))
def test_arbitrary_bytes_give_facts_within_bounds(bits: list[bytes]) -> None:
    data = b"".join(bits)
    facts = facts_of(data)

    assert facts.kind in {"events", "log", "rollout", "empty"}
    assert facts.session_id in {None, SESSION}
    assert facts.ended in {None, "completed", "failed"}
    assert (facts.failure is not None) == (facts.ended == "failed")
    assert facts.failure is None or facts.failure in facts.errors
    assert set(facts.errors) <= {"x"}  # the only error among the bits
    assert set((facts.files_changed or {}).items()) <= {("x", "add")}
    assert facts.usage is None or not facts.usage.is_negative
    for figure in (facts.total_tokens, facts.uncached_tokens):
        assert figure is None or 0 <= figure < 10**18
    assert facts.cost_usd is None or math.isfinite(facts.cost_usd)
    # Several objects on one line are read one by one.
    lines = data.count(b"\n") + data.count(b"{") + 1
    assert sum(facts.warnings.values()) <= lines
    for count in (facts.commands_run, facts.commands_failed):
        assert count is None or 0 <= count <= len(bits)
    if facts.ended == "completed":
        assert facts.has_begun
    if facts.has_begun or facts.final_message:
        assert facts.kind != "empty"
