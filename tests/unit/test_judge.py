"""The verdict: what the events say first, what the exit code says second."""

import signal
from dataclasses import dataclass
from typing import Any

import pytest
from support.runs import SESSION

from parsers.error_classes import CLASSES
from parsers.struct import replace
from runner.lifecycle.judge import (
    KILLED,
    Cause,
    Ending,
    Evidence,
    Exit,
    judge,
    not_started,
    verdict,
)
from runner.model import OUTCOMES, Outcome

OTHER = "01a1f000-0000-7000-8000-00000000000f"
LIMIT = "You’ve hit your usage limit. Upgrade to Pro or try again at 11:35 AM."
AUTH = "unexpected status 401 Unauthorized: Missing bearer"


def code(number: int) -> Exit:
    return Exit(process_exit_code=number)


def killed(number: int) -> Exit:
    return Exit(signal=number)


def ended_by(cause: Cause, value: float, number: int = signal.SIGINT) -> Exit:
    return Exit(signal=number, cause=cause, cause_value=value)


@dataclass(frozen=True)
class Case:
    name: str
    evidence: dict[str, Any]
    outcome: Outcome
    exit_code: int
    error: str | None = ""


COMPLETED = {"ending": Ending.COMPLETED}
FAILED = {"ending": Ending.FAILED, "failure": "No."}
TIMEOUT = ended_by(Cause.TIMEOUT, 60)
STALL = ended_by(Cause.STALL, 3600)

TABLE = [
    Case("completed", {**COMPLETED, "exit": code(0)}, Outcome.SUCCEEDED, 0, None),
    Case(
        "completed, yet exit 1",
        {**COMPLETED, "exit": code(1)},
        Outcome.SUCCEEDED,
        0,
        None,
    ),
    Case(
        "completed, then killed",
        {**COMPLETED, "exit": killed(9)},
        Outcome.SUCCEEDED,
        0,
        None,
    ),
    Case(
        "completed as the time ran out",
        {**COMPLETED, "exit": TIMEOUT},
        Outcome.SUCCEEDED,
        0,
        None,
    ),
    Case(
        "completed, its end unseen",
        {**COMPLETED, "exit": Exit()},
        Outcome.SUCCEEDED,
        0,
        None,
    ),
    Case("failed", {**FAILED, "exit": code(1)}, Outcome.FAILED, 1, "No."),
    Case("failed with exit 0", {**FAILED, "exit": code(0)}, Outcome.FAILED, 1, "No."),
    Case("failed with exit 7", {**FAILED, "exit": code(7)}, Outcome.FAILED, 7, "No."),
    Case("failed, unseen", {**FAILED, "exit": Exit()}, Outcome.FAILED, 1, "No."),
    Case("failed, killed", {**FAILED, "exit": killed(15)}, Outcome.FAILED, 143, "No."),
    Case(
        "a usage limit in words",
        {"ending": Ending.FAILED, "failure": LIMIT, "exit": code(1)},
        Outcome.USAGE_LIMITED,
        1,
        LIMIT,
    ),
    Case(
        "a usage limit by its class",
        {**FAILED, "error_class": "usage_limit_exceeded", "exit": code(1)},
        Outcome.USAGE_LIMITED,
        1,
        "No.",
    ),
    Case(
        "a disk whose quota is used up, by a class that says little",
        {
            "ending": Ending.FAILED,
            "failure": "Disk quota exceeded (os error 122)",
            "error_class": "other",
            "exit": code(1),
        },
        Outcome.FAILED,
        1,
        "Disk quota exceeded",
    ),
    Case(
        "a disk whose quota is used up, in words alone",
        {"last_words": "Error: Disk quota exceeded", "exit": code(1)},
        Outcome.FAILED,
        1,
        "Disk quota exceeded",
    ),
    Case(
        "a usage limit in the words of another class",
        {
            "ending": Ending.FAILED,
            "failure": "invalid field usage_limit in the request",
            "error_class": "bad_request",
            "exit": code(1),
        },
        Outcome.FAILED,
        1,
        "usage_limit",
    ),
    Case(
        "a usage limit in words, by a class that says little",
        {
            "ending": Ending.FAILED,
            "failure": LIMIT,
            "error_class": "other",
            "exit": code(1),
        },
        Outcome.USAGE_LIMITED,
        1,
        LIMIT,
    ),
    Case(
        "a usage limit in words, by the class of a connection that failed",
        {
            "ending": Ending.FAILED,
            "failure": LIMIT,
            "error_class": "http_connection_failed",
            "exit": code(1),
        },
        Outcome.USAGE_LIMITED,
        1,
        LIMIT,
    ),
    Case(
        "no login in words, by the class of a stream that failed",
        {
            "ending": Ending.FAILED,
            "failure": AUTH,
            "error_class": "response_stream_connection_failed",
            "exit": code(1),
        },
        Outcome.AUTH_FAILED,
        1,
        AUTH,
    ),
    Case(
        "no login, in words",
        {"ending": Ending.FAILED, "failure": AUTH, "exit": code(1)},
        Outcome.AUTH_FAILED,
        1,
        AUTH,
    ),
    Case(
        "no login, by its class",
        {**FAILED, "error_class": "unauthorized", "exit": code(1)},
        Outcome.AUTH_FAILED,
        1,
        "No.",
    ),
    Case(
        "no login, before any event",
        {"last_words": "Error: Not logged in", "exit": code(1)},
        Outcome.AUTH_FAILED,
        1,
        "Error: Not logged in",
    ),
    Case(
        "a dropped stream without a turn's end",
        {"failure": "stream disconnected", "exit": code(1)},
        Outcome.FAILED,
        1,
        "stream disconnected",
    ),
    Case("exit 0 and no word", {"exit": code(0)}, Outcome.FAILED, 1, "Codex exited 0"),
    Case("exit 3 and no word", {"exit": code(3)}, Outcome.FAILED, 3, "Codex exited 3"),
    Case(
        "last words on stderr",
        {"last_words": "Not inside a trusted directory", "exit": code(1)},
        Outcome.FAILED,
        1,
        "Not inside a trusted directory",
    ),
    Case("killed", {"exit": killed(9)}, Outcome.INTERRUPTED, 137, "SIGKILL"),
    Case("terminated", {"exit": killed(15)}, Outcome.INTERRUPTED, 143, "SIGTERM"),
    Case("hung up on", {"exit": killed(1)}, Outcome.INTERRUPTED, 129, "SIGHUP"),
    Case(
        "terminated, through a launcher",
        {"exit": code(143)},
        Outcome.INTERRUPTED,
        143,
        "SIGTERM",
    ),
    Case("a crash", {"exit": killed(11)}, Outcome.FAILED, 139, "SIGSEGV"),
    Case("an unknown signal", {"exit": killed(63)}, Outcome.FAILED, 191, "signal 63"),
    Case("an exit code above 128", {"exit": code(200)}, Outcome.FAILED, 200, "200"),
    Case(
        "aborted by another process",
        {"was_aborted": True, "exit": code(1)},
        Outcome.INTERRUPTED,
        130,
        "aborted",
    ),
    Case("too long", {"exit": TIMEOUT}, Outcome.TIMED_OUT, 124, "longer than 60 s"),
    Case("stood still", {"exit": STALL}, Outcome.STALLED, 124, "for 3600 s"),
    Case(
        "stood still with a reason",
        {"exit": STALL, "failure": "Reconnecting"},
        Outcome.STALLED,
        124,
        "Reconnecting",
    ),
    Case(
        "stopped by INT",
        {"exit": ended_by(Cause.SIGNAL, 2)},
        Outcome.INTERRUPTED,
        130,
        "SIGINT",
    ),
    Case(
        "stopped by TERM, Codex told by INT",
        {"exit": ended_by(Cause.SIGNAL, 15), "was_aborted": True},
        Outcome.INTERRUPTED,
        143,
        "SIGTERM",
    ),
    Case(
        "stopped on purpose",
        {"exit": ended_by(Cause.STOP, 0), "was_aborted": True},
        Outcome.STOPPED,
        143,
        "was stopped",
    ),
    Case(
        "stopped as it was completed",
        {**COMPLETED, "exit": ended_by(Cause.STOP, 0)},
        Outcome.SUCCEEDED,
        0,
        None,
    ),
    Case(
        "no thread named in time",
        {"exit": ended_by(Cause.SILENCE, 600), "last_words": "still loading"},
        Outcome.TIMED_OUT,
        124,
        "within 600 s; last: still loading",
    ),
    Case(
        "no supervisor was there",
        {"exit": Exit()},
        Outcome.LOST,
        1,
        "without a terminal event",
    ),
    Case(
        "the machine was restarted",
        {"exit": Exit(), "is_restarted": True, "last_words": "panicked at"},
        Outcome.LOST,
        1,
        "panicked at; the machine was restarted",
    ),
    Case(
        "the machine was restarted, perhaps before there was a Codex",
        {"exit": Exit(), "is_restarted": True, "is_launched": False},
        Outcome.LOST,
        1,
        "perhaps before it started Codex; the machine was restarted",
    ),
    Case(
        "killed, perhaps before there was a Codex",
        {"exit": Exit(), "is_launched": False},
        Outcome.LOST,
        1,
        "perhaps before it started Codex",
    ),
    Case(
        "no supervisor was there, last words",
        {"exit": Exit(), "last_words": "panicked at"},
        Outcome.LOST,
        1,
        "panicked at",
    ),
    Case(
        "exec failed in a launcher",
        {"exit": code(127)},
        Outcome.NOT_STARTED,
        127,
        "127",
    ),
    Case(
        "not executable for a launcher",
        {"exit": code(126), "last_words": "Permission denied"},
        Outcome.NOT_STARTED,
        126,
        "Permission denied",
    ),
    Case(
        "127 of a Codex that had begun",
        {"exit": code(127), "announced": SESSION},
        Outcome.FAILED,
        127,
        "127",
    ),
    Case(
        "another session, completed",
        {**COMPLETED, "exit": code(0), "announced": OTHER, "asked_for": SESSION},
        Outcome.FAILED,
        1,
        OTHER,
    ),
    Case(
        "another session, timed out",
        {"exit": TIMEOUT, "announced": OTHER, "asked_for": SESSION},
        Outcome.FAILED,
        130,
        SESSION,
    ),
    Case(
        "the session asked for",
        {**COMPLETED, "exit": code(0), "announced": SESSION, "asked_for": SESSION},
        Outcome.SUCCEEDED,
        0,
        None,
    ),
    Case(
        "no session announced",
        {"exit": code(1), "asked_for": SESSION, "last_words": "no rollout found"},
        Outcome.FAILED,
        1,
        "no rollout found",
    ),
]


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_the_verdict_is(case: Case) -> None:
    verdict = judge(Evidence(**case.evidence))

    assert (verdict.outcome, verdict.exit_code) == (case.outcome, case.exit_code)
    if case.error is None:
        assert verdict.error is None
    else:
        assert case.error in (verdict.error or "")


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_what_the_system_said_is_kept(case: Case) -> None:
    verdict = judge(Evidence(**case.evidence))

    ended: Exit = case.evidence["exit"]
    assert verdict.process_exit_code == ended.process_exit_code
    assert verdict.signal == ended.signal


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_only_success_exits_with_zero_and_only_it_has_no_error(case: Case) -> None:
    verdict = judge(Evidence(**case.evidence))

    is_success = verdict.outcome is Outcome.SUCCEEDED
    assert is_success == (verdict.exit_code == 0)
    assert is_success == (verdict.error is None)


REFUSALS = ["writer", "thread_gone", "untrusted", "configuration", "option"]


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("ended", [code(1), Exit()], ids=["failed", "lost"])
def test_a_refusal_before_the_turn_names_the_class_of_the_error(
    refusal: str, ended: Exit
) -> None:
    verdict = judge(Evidence(exit=ended, has_begun=False, refusal=refusal))

    assert verdict.outcome in {Outcome.FAILED, Outcome.LOST}
    assert verdict.error_class == refusal


@pytest.mark.parametrize(
    ("evidence", "named"),
    [
        (Evidence(exit=code(1), has_begun=True, refusal="writer"), "other"),
        (Evidence(exit=code(1), has_begun=False, refusal=None), "other"),
        (Evidence(exit=TIMEOUT, has_begun=False, refusal="writer"), "timed_out"),
        (Evidence(exit=killed(15), has_begun=False, refusal="writer"), "interrupted"),
        (
            Evidence(exit=code(1), has_begun=False, refusal="option", last_words=AUTH),
            "unauthorized",
        ),
    ],
    ids=["the turn had begun", "no refusal", "timed out", "interrupted", "no login"],
)
def test_what_is_no_refusal_has_another_class(evidence: Evidence, named: str) -> None:
    assert judge(evidence).error_class == named


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_every_end_that_is_not_good_has_a_class_of_the_table(case: Case) -> None:
    found = judge(Evidence(**case.evidence))

    is_known = found.error_class in CLASSES
    assert is_known is not OUTCOMES[found.outcome].is_good


@pytest.mark.parametrize("message", ["No.", LIMIT])
def test_a_verdict_from_a_file_has_the_class_of_the_evidence(message: str) -> None:
    ended = Evidence(exit=code(1), ending=Ending.FAILED, failure=message)
    own = judge(ended)
    told = replace(own, error_class=None)

    assert judge(replace(ended, told=told)) == own
    late = verdict(Outcome.STALLED, "no progress")
    assert judge(replace(ended, told=late)).error_class == "stalled"


def test_a_supervisor_killed_before_it_started_codex_is_a_class_of_its_own() -> None:
    early = Evidence(exit=Exit(), is_launched=False, has_begun=False, refusal="writer")
    late = Evidence(exit=Exit(), is_launched=True, has_begun=False)

    assert judge(early).error_class == KILLED
    assert judge(late).error_class == "lost"
    assert not_started(1, "killed", KILLED).error_class == KILLED


def test_a_codex_that_was_never_started_has_no_exit_code_of_its_own() -> None:
    verdict = not_started(127, "codex binary not found")

    assert verdict.outcome is Outcome.NOT_STARTED
    assert verdict.exit_code == 127
    assert verdict.process_exit_code is verdict.signal is None


def test_a_run_over_its_budget_says_which_unless_its_turn_has_ended() -> None:
    why = "the prompt has used 51 of 50 tokens (--max-tokens)"
    ended = replace(ended_by(Cause.BUDGET, 0), reason=why)

    found = judge(Evidence(exit=ended))
    completed = judge(Evidence(exit=ended, ending=Ending.COMPLETED))

    assert (found.outcome, found.exit_code) == (Outcome.OVER_BUDGET, 1)
    assert found.error == why
    assert completed.outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize(
    ("code_told", "error_class"), [(0, None), (1, "verify_failed")]
)
def test_a_success_that_was_told_with_another_exit_code_has_a_failed_check(
    code_told: int, error_class: str | None
) -> None:
    told = verdict(Outcome.SUCCEEDED, None, code_told)
    evidence = Evidence(exit=Exit(), ending=Ending.COMPLETED, told=told)

    found = judge(evidence)

    assert (found.exit_code, found.error_class) == (code_told, error_class)
