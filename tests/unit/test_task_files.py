"""The state that `task.json` holds: what waits is not in the file."""

from typing import Any

import pytest
from support.runs import SESSION

from runner.exports.task_files import _state
from runner.ledger.sessions import Session
from runner.model import OUTCOMES, Outcome, SessionId, TaskState


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

    assert _state(session(outcome=outcome)) is state


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED])
def test_an_archived_session_is_archived_however_its_last_run_ended(
    outcome: Outcome,
) -> None:
    archived = session(archived_at="2026-11-20T12:00:00.000Z", outcome=outcome)

    assert _state(archived) is TaskState.ARCHIVED
    assert _state(session(outcome=outcome)) is not TaskState.ARCHIVED


@pytest.mark.parametrize("archived_at", [None, "2026-11-20T12:00:00.000Z"])
def test_a_session_with_a_run_that_is_not_over_is_running(
    archived_at: str | None,
) -> None:
    assert _state(session(archived_at=archived_at)) is TaskState.RUNNING
