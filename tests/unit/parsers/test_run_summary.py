import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.facts import Facts
from parsers.run_summary import PREVIEW_LENGTH, build, one_line

KEYS = [
    "run_id",
    "session_id",
    "resume_session",
    "repo",
    "task",
    "started_at",
    "ended_at",
    "elapsed_seconds",
    "exit_code",
    "success",
    "outcome",
    "error_class",
    "retryable",
    "model",
    "log_file",
    "meta_file",
    "token_usage",
    "cost",
    "final_message",
    "commands",
    "files_changed",
    "errors",
    "warnings",
    *("id", "sid", "resume", "start", "end", "exit", "ok", "mdl", "tier", "msrc"),
    *("meta", "time", "log", "tok", "err", "cache", "src", "legacy"),
]
SESSION = "01a1f88b-6d38-7a70-b978-afb3c8879020"
FACTS = Facts(
    kind="events",
    session_id=SESSION,
    final_message="done",
    commands_run=2,
    commands_failed=1,
    files_changed={"a.py": "add"},
    errors=("boom",),
    warnings={"unknown_event:x": 3},
)
META = {
    "run_id": "20261120-102030-000123",
    "repo": "/srv/code/repo",
    "task": "mend the\nbug",
    "started_at": "2026-11-20T10:20:30Z",
    "ended_at": "2026-11-20T10:20:42Z",
    "elapsed_seconds": 12.3,
    "exit_code": 0,
    "log_file": "/runs/x.log",
    "meta_file": "/runs/x.meta.json",
}
USAGE = {"total_tokens": 3090}
COST = {"usd": 0.0123, "model": "gpt-5.1-codex", "price_source": "x 1"}


def test_a_summary_has_its_keys_in_order() -> None:
    summary = build(FACTS, META, "succeeded", USAGE, COST)

    assert list(summary) == KEYS
    ours = {name: summary[name] for name in KEYS[: KEYS.index("id")]}
    assert ours == {
        **META,
        "session_id": SESSION,
        "resume_session": None,
        "success": True,
        "outcome": "succeeded",
        "error_class": None,
        "retryable": None,
        "model": "gpt-5.1-codex",
        "token_usage": USAGE,
        "cost": COST,
        "final_message": "done",
        "commands": {"run": 2, "failed": 1},
        "files_changed": [{"path": "a.py", "kind": "add"}],
        "errors": ["boom"],
        "warnings": {"unknown_event:x": 3},
    }


def test_a_summary_has_the_values_of_the_newest_bash_runner_too() -> None:
    usage = {"input_tokens": 3000, "output_tokens": 90, **USAGE, "source": "rollout"}
    meta = {**META, "request": {"model": "gpt-5.1-codex"}}
    found = build(FACTS, meta, "failed", usage, COST)

    assert {name: found[name] for name in KEYS[KEYS.index("id") : -1]} == {
        "id": META["run_id"],
        "sid": SESSION,
        "resume": None,
        "start": META["started_at"],
        "end": META["ended_at"],
        "exit": 0,
        "ok": False,
        "mdl": "gpt-5.1-codex",
        "tier": "none",
        "msrc": "explicit_model",
        "meta": META["meta_file"],
        "time": 12,
        "log": META["log_file"],
        "tok": {"in": 3000, "out": 90, "tot": 3090, "ev": {"source": "rollout"}},
        "err": "boom",
        "cache": {"status": "disabled", "key": None},
        "src": "run_codex_task",
    }
    legacy = found["legacy"]
    assert isinstance(legacy, dict)
    counts = {"input_tokens": 3000, "output_tokens": 90, "total_tokens": 3090}
    assert legacy.pop("token_usage") == {**counts, "evidence": "rollout"}
    assert legacy.pop("cost") == {"usd": 0.0123, "evidence": "x 1"}
    assert legacy.pop("model_tier") == "none"
    assert legacy.pop("model_source") == "explicit_model"
    assert legacy == {name: found[name] for name in legacy}


def test_the_tier_of_a_record_of_the_bash_runner_is_its_own() -> None:
    theirs = {"model_tier": "high", "model_source": "tier_flag", "cache_key": "k"}
    found = build(FACTS, {**META, **theirs}, "succeeded", None, None)

    assert (found["tier"], found["msrc"]) == ("high", "tier_flag")
    assert found["cache"] == {"status": "disabled", "key": "k"}
    assert build(FACTS, None, None, None, None)["msrc"] == "unknown"


def test_long_texts_are_previews_with_pointers() -> None:
    facts = Facts(kind="events", final_message="x" * 5_000)
    meta = {"task": "y" * 5_000, "task_file": "/t", "final_message_file": "/f"}
    summary = build(facts, meta, "succeeded", None, None)

    assert summary["task"] == "y" * PREVIEW_LENGTH
    assert summary["final_message"] == "x" * PREVIEW_LENGTH
    keys = list(summary)
    assert keys[keys.index("task") + 1] == "task_file"
    assert keys[keys.index("final_message") + 1] == "final_message_file"


def test_a_logs_last_block_is_used_when_there_is_no_record() -> None:
    fields = {
        "codex_run_id": "r",
        "codex_exit_code": "7",
        "elapsed_seconds": "12",
        "started_at_utc": "2026-11-20T10:20:30Z",
        "model_selected": "gpt-5.1-codex-mini",
    }
    summary = build(Facts(kind="log", fields=fields), None, "failed", None, None)

    assert summary["run_id"] == "r"
    assert summary["exit_code"] == 7
    assert summary["elapsed_seconds"] == 12.0
    assert summary["started_at"] == "2026-11-20T10:20:30Z"
    assert summary["model"] == "gpt-5.1-codex-mini"
    assert summary["success"] is False


@pytest.mark.parametrize("meta", [None, [1], "text", 7, {"exit_code": [1]}])
def test_a_meta_file_may_hold_anything(meta: object) -> None:
    summary = build(Facts(kind="empty"), meta, None, None, None)

    assert list(summary) == KEYS
    assert summary["success"] is summary["exit_code"] is None


def test_numbers_in_a_meta_file_may_be_text() -> None:
    meta = {"exit_code": "7", "elapsed_seconds": "1.5", "session_id": SESSION.upper()}
    summary = build(Facts(kind="empty"), meta, "failed", None, None)

    assert summary["exit_code"] == 7
    assert summary["elapsed_seconds"] == 1.5
    assert summary["session_id"] == SESSION


def test_a_summary_fits_in_one_line() -> None:
    summary = build(FACTS, META, "succeeded", USAGE, COST)

    assert one_line(summary) == (
        "OK 20261120-102030-000123 succeeded 12.3s 3,090 tok $0.0123"
        f' {SESSION} "mend the bug"'
    )


def test_what_is_not_known_is_a_dash_in_the_line() -> None:
    assert one_line({}) == 'UNKNOWN - - - - - - ""'
    assert one_line({"outcome": "failed", "task": "x" * 99}) == (
        'FAIL - failed - - - - "' + "x" * 63 + '…"'
    )


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*KEYS, "task_file"]), JSON_VALUES))
def test_any_meta_gives_a_summary_of_one_line(meta: dict[str, object]) -> None:
    summary = build(FACTS, meta, None, None, None)
    line = one_line(summary)

    assert json.dumps(summary, allow_nan=False)
    assert "\n" not in line
    assert line.isprintable() or not line.isascii()
    assert one_line(meta)


def test_a_summary_names_the_model_that_the_record_names() -> None:
    cost = {**COST, "model": "gpt-5.1-codex-mini"}
    meta = {**META, "model": "gpt-5.1-codex"}

    assert build(FACTS, meta, "succeeded", USAGE, cost)["model"] == "gpt-5.1-codex"
    assert build(FACTS, META, "succeeded", USAGE, cost)["model"] == cost["model"]
