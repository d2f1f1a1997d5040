"""A run's state changes in one place, and only along the edges that are drawn."""

import pytest
from support.runs import AT, SESSION, run, spec

from parsers.struct import replace
from runner.errors import InvalidTransitionError
from runner.model import (
    OUTCOMES,
    Claimed,
    Ended,
    Event,
    Finished,
    Launched,
    Launching,
    Outcome,
    Prepared,
    ProcessId,
    Running,
    SessionId,
    State,
    Taken,
    Verdict,
    Waiting,
    advance,
)

LATER = AT.replace(minute=30)
SUPERVISOR = ProcessId(pid=7, start_time=70, boot_id="boot")
CODEX = ProcessId(pid=8, start_time=80, boot_id="boot")
VERDICT = Verdict(outcome=Outcome.SUCCEEDED, exit_code=0)

WAITING = Waiting(supervisor=SUPERVISOR)
PREPARED = Prepared()
LAUNCHING = Launching(supervisor=SUPERVISOR)
RUNNING = Running(supervisor=SUPERVISOR, codex=CODEX, started_at=AT)
FINISHED = Finished(verdict=VERDICT, started_at=AT, ended_at=LATER)
STATES: list[State] = [WAITING, PREPARED, LAUNCHING, RUNNING, FINISHED]

TAKEN = Taken()
CLAIMED = Claimed(supervisor=SUPERVISOR)
LAUNCHED = Launched(codex=CODEX, at=AT)
ENDED = Ended(verdict=VERDICT, at=LATER, accounts={"warnings": {"x": 1}})
EVENTS: list[Event] = [TAKEN, CLAIMED, LAUNCHED, ENDED]

NEVER_RAN = Finished(
    verdict=VERDICT, started_at=None, ended_at=LATER, accounts=ENDED.accounts
)
RAN = Finished(verdict=VERDICT, started_at=AT, ended_at=LATER, accounts=ENDED.accounts)
ALLOWED: list[tuple[State, Event, State]] = [
    (WAITING, TAKEN, PREPARED),
    (WAITING, ENDED, NEVER_RAN),
    (PREPARED, CLAIMED, LAUNCHING),
    (PREPARED, ENDED, NEVER_RAN),
    (LAUNCHING, LAUNCHED, RUNNING),
    (LAUNCHING, ENDED, NEVER_RAN),
    (RUNNING, ENDED, RAN),
]
REFUSED = [
    (state, event)
    for state in STATES
    for event in EVENTS
    if not any(state is a and event is b for a, b, _ in ALLOWED)
]


def name(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize(("before", "event", "after"), ALLOWED, ids=name)
def test_an_edge_leads_to_its_state(before: State, event: Event, after: State) -> None:
    assert advance(before, event) == after


@pytest.mark.parametrize(("before", "event"), REFUSED, ids=name)
def test_any_other_edge_is_refused_by_name(before: State, event: Event) -> None:
    with pytest.raises(InvalidTransitionError) as caught:
        advance(before, event)

    assert name(before) in str(caught.value)
    assert name(event) in str(caught.value)


def test_every_state_and_event_has_been_tried() -> None:
    assert len(ALLOWED) + len(REFUSED) == len(STATES) * len(EVENTS)


def test_a_finished_run_is_never_changed_again() -> None:
    assert all((FINISHED, event) in REFUSED for event in EVENTS)


def test_advancing_a_run_leaves_the_old_one_as_it_was() -> None:
    before = run(LAUNCHING)

    after = before.advanced(LAUNCHED)

    assert before.state == LAUNCHING
    assert after.state == RUNNING
    assert after.spec == before.spec


def test_values_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        VERDICT.exit_code = 1  # type: ignore[misc]


def test_a_run_began_with_codex_or_else_when_it_was_prepared() -> None:
    assert run(PREPARED).started_at == AT
    assert run(PREPARED).launched_at is None
    later = Running(supervisor=SUPERVISOR, codex=CODEX, started_at=LATER)
    assert run(later).started_at == run(later).launched_at == LATER
    assert run(NEVER_RAN).launched_at is None


def test_a_run_is_on_the_thread_that_was_announced_only() -> None:
    asked = run(PREPARED, resume_session=SessionId(SESSION))

    assert run(PREPARED).thread is None
    assert asked.thread is None
    assert replace(asked, thread=SessionId(SESSION)).thread == SESSION
    assert spec() == spec()


def test_a_warning_is_added_to_a_finished_run_once() -> None:
    told = {"warnings": {"known": 3}, "model": "gpt-5"}
    over = run(replace(FINISHED, accounts=told))

    warned = over.with_warnings(["known", "late"]).with_warnings(["later", "late"])

    assert warned.accounts == {
        "warnings": {"known": 3, "late": 1, "later": 1},
        "model": "gpt-5",
    }
    assert warned.verdict == over.verdict
    assert over.accounts == told


def test_a_run_that_is_not_over_takes_no_warning() -> None:
    assert run(RUNNING).with_warnings(["too early"]) == run(RUNNING)


# DESIGN: outcome, exit code, what becomes of its prompt, of the session's next one.
MEANINGS = [
    (Outcome.SUCCEEDED, 0, "done", "delivered"),
    (Outcome.FAILED, 1, "failed", "delivered"),
    (Outcome.USAGE_LIMITED, 1, "failed", "held"),
    (Outcome.AUTH_FAILED, 1, "failed", "held"),
    (Outcome.TIMED_OUT, 124, "failed", "delivered"),
    (Outcome.STALLED, 124, "failed", "delivered"),
    (Outcome.OVER_BUDGET, 1, "failed", "delivered"),
    (Outcome.STOPPED, 143, "canceled", "left"),
    (Outcome.INTERRUPTED, 130, "canceled", "left"),
    (Outcome.LOST, 1, "failed", "delivered"),
    (Outcome.NOT_STARTED, 127, "failed", "left"),
]


@pytest.mark.parametrize(("outcome", "exit_code", "prompt", "then"), MEANINGS, ids=str)
def test_an_outcome_means(
    outcome: Outcome, exit_code: int, prompt: str, then: str
) -> None:
    meaning = OUTCOMES[outcome]

    assert (meaning.exit_code, meaning.prompt, meaning.then) == (
        exit_code,
        prompt,
        then,
    )


def test_the_table_of_outcomes_has_each_of_them_once() -> None:
    assert list(OUTCOMES) == list(Outcome) == [row[0] for row in MEANINGS]


def test_a_session_is_well_after_a_success_and_after_a_stop_only() -> None:
    good = {outcome for outcome, meaning in OUTCOMES.items() if meaning.is_good}

    assert good == {Outcome.SUCCEEDED, Outcome.STOPPED}


@pytest.mark.parametrize("outcome", Outcome)
def test_only_a_success_exits_with_zero(outcome: Outcome) -> None:
    assert (OUTCOMES[outcome].exit_code == 0) == (outcome is Outcome.SUCCEEDED)
