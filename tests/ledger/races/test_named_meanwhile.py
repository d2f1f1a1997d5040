"""Codex names a session, or somebody carries it on, while a command looks at it."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from support.moments import first_of_all
from support.runs import AT, PROCESS, SESSION, run

from parsers.struct import replace
from runner import clock, session_files, session_lock
from runner.config import Config
from runner.errors import WaitTimeoutError
from runner.ledger.runs import Ledger
from runner.lifecycle import queue
from runner.model import (
    Claimed,
    Ended,
    Launched,
    Outcome,
    Run,
    RunId,
    SessionId,
    TaskState,
    Verdict,
)
from runner.service import send, sessions, status, stop
from runner.service.sessions import Now, listing

NOBODY = Now(running=frozenset())


@pytest.fixture
def nameless(ledger: Ledger, settings: Config) -> Run:
    """Put a run on record whose thread Codex has not named yet."""
    files = session_files.pending(settings.state_home, run().run_id)
    files.runs.mkdir(parents=True)
    one = run(log_dir=str(files.runs), repo=str(settings.state_home))
    ledger.prepare(one)
    return one


def name(one: Run, ledger: Ledger) -> Run:
    return ledger.store(one, replace(one, session_id=SessionId(SESSION)))


def end(one: Run, ledger: Ledger, outcome: Outcome) -> None:
    verdict = Verdict(outcome=outcome, exit_code=143)
    one = ledger.advance(one, Claimed(supervisor=PROCESS))
    one = ledger.advance(one, Launched(at=AT, codex=PROCESS))
    ledger.advance(one, Ended(at=AT, verdict=verdict, accounts={}))


def named_before(
    called: Callable[..., Any], one: Run, ledger: Ledger
) -> Callable[..., Any]:
    """Let Codex name a run's session in the moment before something is called."""

    def call(*arguments: object, **options: object) -> object:
        if ledger.find(one.run_id).session is None:
            name(one, ledger)
        return called(*arguments, **options)

    return call


def test_who_knows_a_session_by_its_run_goes_on_finding_it(
    ledger: Ledger, nameless: Run
) -> None:
    key = nameless.key
    ledger.mail.put(key, "Next.", clock.now(), lambda _: None)

    named = name(nameless, ledger)

    row = ledger.sessions.of(key)
    assert row is not None
    assert row.session_id == SESSION
    assert ledger.of_session(key) == ledger.unfinished_of(key) == [named]
    assert ledger.last_of(key) == named
    assert [mail.session_id for mail in ledger.mail.waiting(key)] == [SESSION]
    assert ledger.sessions.find(key) is None


@pytest.mark.usefixtures("alive")
def test_a_run_that_gets_its_session_while_it_is_being_stopped_is_stopped(
    ledger: Ledger,
    nameless: Run,
    settings: Config,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def order(one: Run, *_: object) -> bool:
        end(one, ledger, Outcome.STOPPED)
        return True

    monkeypatch.setattr(stop, "stop", order)
    # What waits is skipped after the session was looked for, and before its runs are.
    late = named_before(queue.skip, nameless, ledger)
    monkeypatch.setattr(mailbox, "skip", late)

    stopped = stop.stop_session(nameless.key, ledger, settings)

    assert ledger.find(nameless.run_id).outcome is Outcome.STOPPED
    assert stopped.runs == (nameless.run_id,)
    assert stopped.session_id == SESSION


def test_what_is_skipped_in_a_mailbox_that_has_moved_says_so_by_its_name(
    ledger: Ledger, nameless: Run, settings: Config
) -> None:
    home = settings.state_home
    mail_id = queue.put(nameless.key, b"Next.", ledger, home)
    was = session_files.pending(home, nameless.run_id)
    now = session_files.active(home, SESSION)
    name(nameless, ledger)
    session_files.move(was, now)

    skipped = queue.skip(nameless.key, ledger, home)

    assert [mail.mail_id for mail in skipped.prompts] == [mail_id]
    assert now.skipped(mail_id).exists()
    assert not now.mail(mail_id).exists()


@pytest.mark.usefixtures("alive")
def test_who_waits_for_a_run_goes_on_waiting_when_its_session_gets_its_name(
    ledger: Ledger, nameless: Run, settings: Config
) -> None:
    marks = status.mark([nameless.key], ledger)
    name(nameless, ledger)

    with pytest.raises(WaitTimeoutError):
        status.wait(marks, ledger, settings, timeout=0)


@pytest.mark.usefixtures("alive")
def test_a_row_that_was_read_before_the_name_tells_of_the_session_under_its_name(
    ledger: Ledger, nameless: Run, settings: Config
) -> None:
    row = ledger.sessions.of(nameless.run_id)
    assert row is not None
    name(nameless, ledger)

    task = sessions.look(row, ledger, settings)

    assert (task.id, task.state) == (SESSION, TaskState.RUNNING)
    assert task.files.directory == settings.state_home / SESSION


@pytest.mark.usefixtures("alive")
@pytest.mark.parametrize("states", [{TaskState.RUNNING}, set(TaskState)])
def test_a_session_that_begins_to_work_after_the_stock_was_taken_is_running(
    states: set[TaskState], ledger: Ledger, nameless: Run, settings: Config
) -> None:
    name(nameless, ledger)

    (listed,) = listing(states, None, NOBODY, ledger, settings)

    assert listed.state is TaskState.RUNNING


@pytest.mark.usefixtures("alive")
def test_a_session_that_begins_to_work_after_the_stock_was_taken_has_not_died(
    ledger: Ledger, nameless: Run, settings: Config
) -> None:
    name(nameless, ledger)

    assert listing({TaskState.DIED}, None, NOBODY, ledger, settings) == []


@pytest.mark.usefixtures("alive")
def test_a_session_that_is_carried_on_after_it_was_found_at_rest_is_running(
    ledger: Ledger, nameless: Run, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = name(nameless, ledger)
    end(first, ledger, Outcome.SUCCEEDED)

    def carried_on(*_: object) -> bool:
        next_one = replace(
            nameless.spec,
            run_id=RunId("20261120-101203-512345-9f3a1c07"),
            resume_session=SessionId(SESSION),
        )
        ledger.prepare(replace(nameless, spec=next_one))
        return False

    monkeypatch.setattr(tasks, "is_at_work", carried_on)
    row = ledger.sessions.of(SESSION)
    assert row is not None

    assert sessions.look(row, ledger, settings).state is TaskState.RUNNING


@pytest.mark.usefixtures("alive")
def test_a_prompt_is_queued_although_the_session_gets_its_name_meanwhile(
    ledger: Ledger, nameless: Run, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ledger.sessions.of(nameless.run_id)
    assert row is not None
    late = named_before(queue.put, nameless, ledger)
    monkeypatch.setattr(mailbox, "put", late)

    send.queue(row, b"Next.", ledger, settings, pytest.fail)

    (mail,) = ledger.mail.waiting(SESSION)
    assert (mail.task, mail.state) == ("Next.", "waiting")


@pytest.mark.usefixtures("alive")
def test_nothing_is_delivered_under_the_lock_of_a_name_that_is_no_longer_one(
    ledger: Ledger, nameless: Run, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.put(nameless.key, b"Next.", ledger, settings.state_home)
    take = session_lock.take_patiently

    def ended() -> None:
        end(name(nameless, ledger), ledger, Outcome.SUCCEEDED)

    monkeypatch.setattr(session_lock, "take_patiently", first_of_all(ended, take))

    assert queue.deliver(nameless.key, ledger, settings) is None
    assert len(ledger.mail.waiting(SESSION)) == 1


@pytest.mark.usefixtures("alive")
def test_what_was_queued_by_the_id_of_a_run_is_delivered_to_the_session_by_its_name(
    ledger: Ledger, nameless: Run, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    commissions: list[Any] = []
    monkeypatch.setattr(mailbox, "start", lambda each, *_: commissions.append(each))
    home = settings.state_home
    end(name(nameless, ledger), ledger, Outcome.SUCCEEDED)
    was = session_files.pending(home, nameless.run_id)
    session_files.move(was, session_files.active(home, SESSION))
    queue.put(SESSION, b"Next.", ledger, home)

    queue.deliver(nameless.key, ledger, settings)

    (commission,) = commissions
    assert commission.spec.resume_session == SESSION
    assert commission.lock is not None
    held = session_lock.take(home, ledger, SessionId(SESSION), RunId("another"))
    assert isinstance(held, session_lock.Busy)
    os.close(commission.lock)
