"""What is no Codex output is refused; what is half understood is named."""

import json
from collections.abc import Callable
from io import BytesIO

import pytest

from parsers import run_summary
from parsers.any_log import read_log
from parsers.facts import Facts
from parsers.rollouts.read import read_rollout
from parsers.struct import replace

Recorded = Callable[[str], bytes]
OTHER = "11111111-2222-3333-4444-555555555555"
BANNER = "OpenAI Codex v0.169.0\n--------\nsession id: {}\n--------\nuser\nhi\ncodex\n"


def facts_of(data: bytes) -> Facts:
    return read_log(BytesIO(data))


def summary_of(data: bytes) -> dict[str, object]:
    return run_summary.build(facts_of(data), None, None, None, None)


def prefixed(prefix: str) -> Callable[[bytes], bytes]:
    def write(data: bytes) -> bytes:
        lines = [b"Reading prompt from stdin...", *data.splitlines()]
        return b"".join(prefix.encode() + line + b"\r\n" for line in lines)

    return write


def objects(data: bytes) -> list[object]:
    return [json.loads(line) for line in data.splitlines()]


@pytest.mark.parametrize(
    "saved",
    [
        prefixed("2026-10-01T10:00:00.1234567Z "),
        prefixed("agent-1  | "),
        prefixed("[pod/codex-7f9c4b5d68-x2x4v/codex-run-in-a-cluster] "),
        prefixed("a long job name\tRun the agent\t2026-10-01T10:00:00.1234567Z "),
        lambda data: b"x" * 80 + b"\n" + b"ERROR: setup\n" * 60 + data,
        lambda data: data.decode().encode("utf-16"),
        lambda data: b"\xef\xbb\xbf" + json.dumps(objects(data)).encode(),
        lambda data: json.dumps(objects(data), indent=2).encode(),
        lambda data: "\n".join(
            json.dumps(each, indent=2) for each in objects(data)
        ).encode("utf-16"),
        lambda data: b"".join(data.splitlines()),
    ],
    ids=[
        *("ci", "compose", "kubectl", "gh", "late"),
        *("utf-16", "array", "indented array", "indented in utf-16", "one line"),
    ],
)
def test_events_that_another_program_saved_are_read(
    saved: Callable[[bytes], bytes], recorded: Recorded
) -> None:
    events = recorded("events-0.169-patch.jsonl")
    facts, plain = facts_of(saved(events)), facts_of(events)

    assert plain.files_changed
    assert replace(facts, kind="events", warnings={}) == plain
    assert facts.refusal is None


def test_what_is_broken_in_an_array_is_named(recorded: Recorded) -> None:
    whole = json.dumps(objects(recorded("events-0.169-new.jsonl"))).encode()
    facts = facts_of(whole[: whole.index(b'"turn.completed"')])

    assert facts.warnings == {"undecodable_line": 1}
    assert (facts.commands_run, facts.ended) == (1, None)


def test_an_indented_rollout_is_read(recorded: Recorded) -> None:
    data = recorded("rollout-0.169-spawn.jsonl")
    facts = facts_of(json.dumps(objects(data), indent=1).encode())

    assert facts == facts_of(data)


def test_events_of_0_44_are_read(recorded: Recorded) -> None:
    summary = summary_of(recorded("old-0.44.jsonl"))

    assert summary["session_id"] == "01980a00-1111-7222-8333-0123456789ab"
    assert summary["commands"] == {"run": 1, "failed": 1}
    assert summary["files_changed"] == [{"path": "a.py", "kind": "update"}]
    assert summary["final_message"] == "All done."
    assert summary["warnings"] == {}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no Codex output"),
        (b"root:x:0:0:root:/root:/bin/bash\n", "no Codex output"),
        (b"make: all\nERROR: no rule\ncost: 5\n", "no Codex output"),
        (b"model: gpt-5\nworkdir: /srv\n", "no Codex output"),
        (b'{"level":30,"id":1,"msg":"started"}\n', "no Codex output"),
        (b"[1, 2]", "no Codex output"),
        (b"{}", "no Codex output"),
        (b"[{}]", "no Codex output"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "no Codex output"),
        (b'[{"a":' * 900 + b"1" + b"}]" * 900, "no Codex output"),
        (b'[{"type": "system"}]', "no Codex output"),
        (b'{\n  "a": {"b": 1}\n}\n', "no Codex output"),
        (b"[" * 100_000, "no Codex output"),
        (b"[{" * 100_000, "no Codex output"),
        (b"\xff\xfe\x00", "no Codex output"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff", "unsupported compression"),
        (b"\x28\xb5\x2f\xfd\x04\x00", "unsupported compression"),
        (
            b'{"id":"0198","timestamp":"2025-08-01T10:00:00Z","instructions":null}\n',
            "unsupported records of Codex before September 2025",
        ),
        (
            b'a warning\n{"id":"0","msg":{"type":"task_started"}}\n',
            "unsupported events of Codex 0.43 and earlier",
        ),
    ],
)
def test_what_is_not_read_is_refused_by_name(data: bytes, reason: str) -> None:
    assert facts_of(data).refusal == reason


def test_a_stream_of_0_43_is_refused_by_name(recorded: Recorded) -> None:
    refusal = facts_of(recorded("old-0.43.jsonl")).refusal

    assert refusal == "unsupported events of Codex 0.43 and earlier"


def test_several_threads_in_one_file_are_refused(recorded: Recorded) -> None:
    first, second = (recorded(f"events-0.169-{name}.jsonl") for name in ("new", "two"))
    rollouts = (
        recorded("rollout-0.169-limit.jsonl"),
        recorded("rollout-0.169-new+2resumes.jsonl"),
    )
    mixed = prefixed("a-1 | ")(first) + prefixed("b-1 | ")(second)
    said = "".join(
        BANNER.format(each) + "done\ntokens used\n1,000\ndone\n"
        for each in (OTHER, OTHER.replace("1", "9"))
    )

    for data in (first + second, b"".join(rollouts), mixed, said.encode()):
        assert facts_of(data).refusal == "output of several threads"


def test_runs_of_one_thread_in_one_file_are_one_thread(recorded: Recorded) -> None:
    resumes = [recorded(f"events-0.169-resume{number}.jsonl") for number in (1, 2)]
    said = BANNER.format(OTHER) + "done\ntokens used\n1,000\ndone\n"

    assert facts_of(b"".join(resumes)).refusal is None
    assert facts_of((said * 2).encode()).refusal is None


def test_of_an_unknown_item_it_is_not_known_that_nothing_was_done() -> None:
    begin = b'{"type":"turn.started"}\n'
    novel = b'{"type":"item.completed","item":{"id":"i","type":"novel"}}\n'
    shell = (
        b'{"type":"item.completed","item":{"id":"j","type":"command_execution",'
        b'"command":"ls","aggregated_output":"","exit_code":0,"status":"completed"}}\n'
    )

    unknown, known = summary_of(begin + novel), summary_of(begin + novel + shell)
    assert unknown["warnings"] == {"unknown_item:novel": 1}
    assert unknown["commands"] == {"run": None, "failed": None}
    assert unknown["files_changed"] is None
    assert known["commands"] == {"run": 1, "failed": 0}
    assert summary_of(begin)["commands"] == {"run": 0, "failed": 0}
    assert summary_of(begin)["files_changed"] == []


def test_a_log_that_does_not_show_edits_has_no_empty_list_of_them(
    recorded: Recorded,
) -> None:
    assert summary_of(recorded("human-0.169.log"))["files_changed"] is None


def test_unknown_records_of_a_rollout_are_counted(recorded: Recorded) -> None:
    drifted = recorded("rollout-drift.jsonl")
    spaced = b"".join(json.dumps(each).encode() + b"\n" for each in objects(drifted))
    names = ("token_count_v2", "turn_finished", "usage_snapshot")

    for data in (drifted, spaced):
        assert facts_of(data).warnings == {
            f"unknown_record:{name}": 1 for name in names
        }


def test_new_items_of_a_rollout_are_counted_and_many_names_together() -> None:
    lines = (
        b'{"timestamp":"2026-09-15T10:00:00.000Z","type":"response_item",'
        b'"payload":{"type":"novel_%s"}}\n' % bytes((97 + n // 26, 97 + n % 26))
        for n in range(200)
    )
    warnings = read_rollout(lines).warnings

    assert warnings["unknown_record:novel_aa"] == 1
    assert warnings["other"] == 100
