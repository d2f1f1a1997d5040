"""How sessions look to people."""

import pytest

from runner.cli import format as shown

RUNS = ("unknown_runs", "uncounted_runs")
REPORT: dict[str, object] = {
    "id": "01a1f000-0000-7000-8000-000000000001",
    "title": None,
    "state": "STOPPED",
    "outcome": None,
    "error": None,
    "error_class": None,
    "retryable": None,
    "warnings": {},
    "unknown": None,
    "other_writer": None,
    "created_at": "2026-11-20T12:00:00.000Z",
    "updated_at": "2026-11-20T12:00:00.000Z",
    "working_dir": "/here",
    "pid": None,
    "left_running": [],
    "note": None,
    "verifying": False,
    "verify": None,
    "queue": 2,
    "prompts": [],
    "skipped": 0,
    "undelivered": [],
    "notifications": [],
    "usage": None,
    "cost": None,
    "last_prompt": None,
    "last_result": None,
    "previous_result": None,
}


def test_one_of_a_kind_is_not_several() -> None:
    one = shown.blocks([{**REPORT, "skipped": 1}], "human")

    assert "Skipped: 1 prompt, never delivered" in one


def test_an_outcome_has_its_class_and_its_warnings() -> None:
    failed = {"outcome": "failed", "error": "No.", "error_class": "server_overloaded"}
    doubtful = {"outcome": "succeeded", "warnings": {"sandbox_broken": 2, "x": 1}}

    said = [*shown.blocks([{**REPORT, **failed, "retryable": True}], "human")]
    told = [*shown.blocks([{**REPORT, **doubtful}], "human")]

    at = said.index("Outcome: failed (No.)")
    assert said[at + 1] == "Error Class: server_overloaded (retryable)"
    (warning,) = [line for line in told if line.startswith(("Warning", "Error"))]
    assert warning.startswith("Warning: sandbox_broken: every command failed")


def test_a_check_says_how_it_ended_and_that_it_runs() -> None:
    ended = {"command": "pytest -x", "iteration": 2, "of": 3, "fault": None}
    failed = {**ended, "iteration": 3, "fault": "pytest exited 1"}

    said = [*shown.blocks([{**REPORT, "verify": ended}], "human")]
    told = [*shown.blocks([{**REPORT, "verify": failed, "verifying": True}], "human")]

    assert "Check: passed in turn 2 of 3: pytest -x" in said
    assert "Check: failed in turn 3 of 3: pytest exited 1" in told
    assert "State: STOPPED (verifying)" in told


def prompt(number: int, why: str | None, detail: str | None) -> dict[str, object]:
    return {
        "id": number,
        "prompt": "Next.",
        "why": why,
        "until": None,
        "detail": detail,
    }


def queue(held: str, time_format: str) -> str:
    prompts = [prompt(1, "held", held)]
    lines = shown.blocks([{**REPORT, "prompts": prompts}], time_format)
    return next(line for line in lines if line.startswith("  #1"))


@pytest.mark.parametrize(
    ("why", "detail", "said"),
    [
        (None, None, "is next"),
        ("session", "run x is not over", "waits: run x is not over"),
        ("held", "Codex is missing", "is held: Codex is missing"),
        ("archived", None, "waits: the task is archived"),
    ],
)
def test_why_prompts_wait_is_told_in_plain_english(
    why: str | None, detail: str | None, said: str
) -> None:
    prompts = [prompt(4, why, detail), prompt(5, "session", f"behind #4 ({why})")]

    lines = list(shown.blocks([{**REPORT, "prompts": prompts}], "human"))

    at = lines.index("Queue: 2 waiting")
    assert lines[at + 1 : at + 3] == [f"  #4 {said}", "  #5 waits: it is behind #4"]


@pytest.mark.parametrize("time_format", ["human", "iso"])
def test_an_instant_that_a_queue_waits_for_is_written_like_all_others(
    time_format: str,
) -> None:
    instant = "2026-11-20T17:40:01.123Z"

    said = queue(f"the usage limit lasts until {instant}", time_format)

    local = shown.time(instant, time_format)
    assert said == f"  #1 is held: the usage limit lasts until {local}"
    assert ".123" not in said


def test_what_only_looks_like_an_instant_stays_as_it_is() -> None:
    text = "2026-99-20T17:40:01Z"

    assert queue(text, "human").endswith(text)


@pytest.mark.parametrize(
    ("usage", "cost", "said"),
    [
        ((12_345, 0, 0), (0.5, 0, 0, 0), "12,345 tokens, $0.5000"),
        ((12_345, 0, 0), (0.5, 0, 0, 1), "12,345 tokens, ≥ $0.5000, 1 call unpriced"),
        ((12_345, 0, 0), (0.0, 1, 0, 0), "12,345 tokens, $0.0000 + 1 unknown"),
        ((12_345, 2, 0), (None, 3, 0, 4), "12,345 tokens + 2 unknown, cost unknown"),
        ((None, 1, 0), (None, 1, 0, 0), "unknown, cost unknown"),
        ((12_345, 0, 1), (0.5, 0, 1, 0), "≥ 12,345 tokens, ≥ $0.5000"),
        ((12_345, 2, 1), (None, 3, 1, 0), "≥ 12,345 tokens + 2 unknown, cost unknown"),
    ],
)
def test_a_sum_says_what_it_is_without(
    usage: tuple[int | None, int, int],
    cost: tuple[float | None, int, int, int],
    said: str,
) -> None:
    report = {
        **REPORT,
        "usage": dict(zip(("total_tokens", *RUNS), usage, strict=True)),
        "cost": dict(zip(("usd", *RUNS, "unpriced"), cost, strict=True)),
    }

    assert f"Usage: {said}" in list(shown.blocks([report], "iso"))
