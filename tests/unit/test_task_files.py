"""The state that `task.json` holds: what waits is not in the file."""

from typing import Any

import pytest
from support.runs import AT, PROCESS, SESSION, run

from parsers.struct import replace
from runner.exports.task_files import _state
from runner.ledger.sessions import Session
from runner.model import (
    OUTCOMES,
    Finished,
    Outcome,
    Run,
    Running,
    SessionId,
    TaskState,
    Verdict,
    Waiting,
)

RUNNING = run(Running(supervisor=PROCESS, codex=PROCESS, started_at=AT))
WAITS = replace(run(Waiting()), waits=True)


def over(outcome: Outcome) -> Run:
    verdict = Verdict(outcome=outcome, exit_code=OUTCOMES[outcome].exit_code)
    return run(Finished(verdict=verdict, started_at=AT, ended_at=AT))


def session(**changes: Any) -> Session:  # noqa: ANN401 - any field of a session
    """Build a session; what the view says of it is left out of the file."""
    fields: dict[str, Any] = dict.fromkeys(Session.field_names())
    known = {"key": 1, "short_id": "1a2b3c4d", "thread": SessionId(SESSION)}
    return Session(**{**fields, **known, "waiting": 3, **changes})


@pytest.mark.parametrize("outcome", Outcome)
def test_a_session_is_stopped_after_a_good_end_and_died_after_any_other(
    outcome: Outcome,
) -> None:
    state = TaskState.STOPPED if OUTCOMES[outcome].is_good else TaskState.DIED

    assert _state(session(), [over(Outcome.FAILED), over(outcome)]) is state


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED])
def test_an_archived_session_is_archived_however_its_last_run_ended(
    outcome: Outcome,
) -> None:
    archived = session(archived_at="2026-11-20T12:00:00.000Z")

    assert _state(archived, [over(outcome)]) is TaskState.ARCHIVED
    assert _state(session(), [over(outcome)]) is not TaskState.ARCHIVED


@pytest.mark.parametrize("unfinished", [RUNNING, WAITS, run()])
def test_a_session_with_a_run_that_is_not_over_is_running(unfinished: Run) -> None:
    archived = session(archived_at="2026-11-20T12:00:00.000Z")

    assert _state(session(), [over(Outcome.FAILED), unfinished]) is TaskState.RUNNING
    assert _state(archived, [unfinished]) is TaskState.RUNNING


def test_a_run_that_never_left_its_wait_does_not_tell_how_the_session_stands() -> None:
    given_up = replace(over(Outcome.INTERRUPTED), waits=True)

    state = _state(session(), [over(Outcome.SUCCEEDED), given_up])

    assert state is TaskState.STOPPED
