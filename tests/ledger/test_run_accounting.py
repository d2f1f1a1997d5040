"""Which part of a session is counted as a run's."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support import ledgers
from support.runs import AT, PROCESS, SESSION, run, settings

from parsers.accounting.tokens import Usage
from parsers.facts import Facts
from runner.accounting import run as accounting
from runner.accounting.rollouts import Rollouts, RunRollouts, Slice
from runner.accounting.run import LogContext, RunAccounting, account_run
from runner.ledger.ledger import Ledger
from runner.model import Outcome, Running

RUNNING = Running(supervisor=PROCESS, codex=PROCESS, started_at=AT)


@pytest.mark.parametrize("until", [None, AT + timedelta(seconds=70)])
def test_what_came_long_after_a_run_that_is_judged_late_is_not_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: datetime | None
) -> None:
    asked: list[Slice] = []

    def read_rollouts(
        _home: Path, _id: object, share: Slice, _named: object
    ) -> RunRollouts:
        asked.append(share)
        return RunRollouts()

    monkeypatch.setattr(accounting, "read_rollouts", read_rollouts)
    ours = settings(tmp_path)

    account_run(
        run(RUNNING, directory=str(tmp_path)), Ledger(ours.state_home), ours, until
    )

    (share,) = asked
    assert share.until == until
    assert share.since == AT


def test_a_run_is_looked_for_in_the_home_that_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def read_rollouts(where: Rollouts, *_: object) -> RunRollouts:
        asked.append(where.home)
        return RunRollouts()

    monkeypatch.setattr(accounting, "read_rollouts", read_rollouts)
    ours = settings(tmp_path)
    other = tmp_path / "other"

    account_run(
        run(RUNNING, directory=str(tmp_path), codex_home=str(other)),
        Ledger(ours.state_home),
        ours,
    )

    assert asked == [other]


@pytest.fixture
def contexts(monkeypatch: pytest.MonkeyPatch) -> list[LogContext]:
    """Keep with which context each run is counted."""
    found: list[LogContext] = []

    def account_log(facts: Facts, context: LogContext, *_: object) -> RunAccounting:
        found.append(context)
        return accounting.unknown("a test", facts)

    monkeypatch.setattr(accounting, "account_log", account_log)
    return found


def thread_usage(total: int) -> dict[str, Any]:
    """Make the figures that Codex prints: those of the whole thread until then."""
    return {"thread_usage": {"input_tokens": total, "total_tokens": total}}


def test_a_run_that_is_judged_late_is_not_charged_what_a_later_run_has_used(
    tmp_path: Path, contexts: list[LogContext]
) -> None:
    """Run 2 is lost, run 3 ends, and only then run 2 is counted."""
    ours = settings(tmp_path)
    ledger = Ledger(ours.state_home)
    first = ledgers.session_of(ledger, accounts=thread_usage(100))
    lost = ledgers.launch(ledger, ledgers.resume(ledger, first, 2))
    lost = ledgers.end(ledger, lost, Outcome.LOST)
    third = ledgers.launch(ledger, ledgers.resume(ledger, first, 3))
    third = ledgers.end(ledger, third, **thread_usage(700))
    seen = Facts(kind="events", session_id=SESSION)

    for each in (lost, third):
        account_run(each, ledger, ours, seen=seen)

    of_lost, of_third = contexts
    assert of_lost.previous is not None
    assert of_lost.previous.total_tokens == 100
    assert of_lost.share.until == third.launched_at
    assert of_third.previous is None, "the lost run has left no figure"
    assert of_third.share.until is None


def test_a_run_that_waited_begins_where_the_run_before_it_has_ended(
    tmp_path: Path, contexts: list[LogContext]
) -> None:
    """Run 3 is accepted while run 2 works, and has the session after run 2."""
    ours = settings(tmp_path)
    ledger = Ledger(ours.state_home)
    first = ledgers.session_of(ledger, accounts=thread_usage(100))
    second = ledgers.launch(ledger, ledgers.resume(ledger, first, 2))
    waiting = ledgers.resume(ledger, first, 3, wait_for_session=True)
    ledger.runs.claim_waiting(waiting, PROCESS)
    last = ledgers.resume(ledger, first, 4, wait_for_session=True)
    ledgers.end(ledger, second, has_begun=True, **thread_usage(400))

    taken = ledger.queue.take(waiting)

    assert taken is not None
    assert taken == ledger.runs.find(waiting.run_id)
    assert taken.ordinal > last.ordinal
    running = ledgers.launch(ledger, taken)
    account_run(running, ledger, ours, seen=Facts(kind="events", session_id=SESSION))
    (context,) = contexts
    assert context.previous is not None
    assert context.previous.total_tokens == 400


def test_the_first_run_of_a_session_begins_at_nothing(
    tmp_path: Path, contexts: list[LogContext]
) -> None:
    ours = settings(tmp_path)
    ledger = Ledger(ours.state_home)
    first = ledgers.session_of(ledger)

    account_run(first, ledger, ours, seen=Facts(kind="events", session_id=SESSION))

    assert contexts[0].previous == Usage()
