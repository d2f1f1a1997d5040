"""Which prompts of a mailbox are delivered by themselves, and which are held back."""

from datetime import timedelta
from typing import Any

import pytest
from support.runs import AT, SESSION, run

from parsers.struct import replace
from runner import clock
from runner.ledger.queue import Mail
from runner.lifecycle.queue import hold_of, next_spec
from runner.model import (
    CodexOptions,
    Finished,
    Limits,
    Mode,
    Outcome,
    Report,
    Run,
    SessionId,
    Verdict,
)
from runner.run_files import new_run_id
from runner.session_files import SessionFiles


def ended(outcome: Outcome, accounts: dict[str, object] | None = None) -> Run:
    state = Finished(
        verdict=Verdict(outcome=outcome, exit_code=1, error="why"),
        started_at=AT,
        ended_at=AT,
        accounts=accounts or {},
    )
    return replace(run(state), session_id=SessionId(SESSION))


def mail(attempts: int = 0, task: str = "Next.") -> Mail:
    return Mail(
        mail_id=1,
        session_id=SESSION,
        queued_at=clock.iso(AT),
        state="waiting",
        task=task,
        run_id=None,
        attempts=attempts,
    )


def limits(**primary: Any) -> dict[str, object]:  # noqa: ANN401  # as a record says
    return {"rate_limits": {"at": clock.iso(AT), "primary": primary, "secondary": None}}


def in_seconds(seconds: float) -> int:
    return int((clock.now() + timedelta(seconds=seconds)).timestamp())


@pytest.mark.parametrize(
    "outcome",
    sorted(set(Outcome) - {Outcome.USAGE_LIMITED, Outcome.AUTH_FAILED}),
)
def test_a_run_that_ended_in_an_ordinary_way_holds_nothing_back(
    outcome: Outcome,
) -> None:
    assert hold_of(ended(outcome), mail()) is None


@pytest.mark.parametrize("outcome", [Outcome.USAGE_LIMITED, Outcome.AUTH_FAILED])
def test_without_a_known_end_of_the_limit_the_mail_is_held(outcome: Outcome) -> None:
    assert outcome in str(hold_of(ended(outcome), mail()))


def test_a_limit_does_not_hold_back_the_end_of_the_session() -> None:
    limited = ended(Outcome.USAGE_LIMITED)

    assert hold_of(limited, mail(task=" /quit\n")) is None
    assert hold_of(limited, mail(task="/quit now")) is not None


def test_a_usage_limit_holds_the_mail_until_it_is_over() -> None:
    still = limits(used_percent=100.0, resets_at=in_seconds(600))
    over = limits(used_percent=100.0, resets_at=in_seconds(-1))

    assert "until" in str(hold_of(ended(Outcome.USAGE_LIMITED, still), mail()))
    assert hold_of(ended(Outcome.USAGE_LIMITED, over), mail()) is None


def test_a_window_that_is_not_used_up_says_nothing_of_the_limit() -> None:
    other = limits(used_percent=20.0, resets_at=in_seconds(-1))

    assert hold_of(ended(Outcome.USAGE_LIMITED, other), mail()) is not None


def test_a_prompt_whose_run_never_came_to_be_is_tried_three_times() -> None:
    last = ended(Outcome.NOT_STARTED)

    assert hold_of(last, mail(attempts=2)) is None
    assert "3 times: why" in str(hold_of(last, mail(attempts=3)))


def test_a_session_without_a_thread_gets_no_mail() -> None:
    nameless = replace(ended(Outcome.FAILED), session_id=None)

    assert "thread" in str(hold_of(nameless, mail()))


def test_the_next_run_is_as_the_last_one_was(tmp_path: Any) -> None:  # noqa: ANN401
    codex = CodexOptions(
        bin="/opt/codex",
        sandbox="read-only",
        model="gpt-5",
        overrides=("a=1",),
        skip_git_repo_check=True,
        extra=("-p", "fast"),
        once=("--image=a.png",),
    )
    first = run(
        codex=codex,
        codex_home="/home",
        limits=Limits(timeout=5, stall=6, announcement=7),
        report=Report(json_out="/copy.json", notify_command="tell"),
        wait_for_session=True,
        task_file="/task.md",
    )
    files = SessionFiles(tmp_path)

    named = replace(first, session_id=SessionId(SESSION))
    spec = next_spec(named, named, "Next.", files)

    assert (spec.mode, spec.task) == (Mode.RESUME, "Next.")
    assert spec.run_id > first.run_id
    assert spec.resume_session == SESSION
    assert spec.codex == replace(codex, once=())
    assert (spec.repo, spec.cwd, spec.codex_home) == ("/repo", "/repo", "/home")
    assert spec.limits == Limits(timeout=5, stall=6)
    assert spec.report == Report()
    assert spec.log_dir == str(files.runs)
    assert not spec.wait_for_session
    assert spec.task_file is None


def test_a_clock_that_was_set_back_makes_no_run_older_than_the_last(
    tmp_path: Any,  # noqa: ANN401
) -> None:
    ahead = clock.now() + timedelta(hours=1)
    run_id = new_run_id(ahead)
    last = replace(
        run(run_id=run_id, prepared_at=clock.parse_iso(clock.iso(ahead))),
        session_id=SessionId(SESSION),
    )

    spec = next_spec(last, last, "Next.", SessionFiles(tmp_path))

    assert spec.run_id > run_id
    assert spec.prepared_at > last.spec.prepared_at
