"""A command looks twice, and in between the world changes: what it says stays true."""

import os
from typing import Any

import pytest
from support.moments import afterwards, begun, end, first_of_all, look
from support.runs import AT, PROCESS, SESSION, run

from parsers.struct import replace
from runner import clock, session_files, session_lock, whereabouts
from runner.config import Config
from runner.errors import FileFault, NoSuchTaskError
from runner.ledger.runs import Ledger
from runner.ledger.usage import totals
from runner.lifecycle import queue
from runner.lifecycle.launch import Commission, prepare_run
from runner.lifecycle.liveness import Life
from runner.lifecycle.recover import reconcile_run
from runner.model import Claimed, Launched, Outcome, Run, RunId, SessionId, TaskState
from runner.service import sessions, status, stop, usage

THIRD = RunId("20261120-101209-512345-9f3a1c07")
SECOND = RunId("20261120-101203-512345-9f3a1c07")


@pytest.fixture
def first(ledger: Ledger, settings: Config) -> Run:
    """Put a run of a session on record, on which Codex is at work."""
    return begun(ledger, settings)


@pytest.mark.usefixtures("alive")
def test_a_run_that_ends_while_its_session_is_told_of_is_counted_once(
    first: Run, ledger: Ledger, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = look(ledger, settings)
    end(first, ledger)
    (total,) = totals(ledger.database, "session")
    monkeypatch.setattr(status, "_so_far", lambda *_: [total])

    told: Any = status.report(task, ledger, settings)

    assert told["usage"]["total_tokens"] == 110
    assert told["cost"]["usd"] == 0.5


@pytest.mark.usefixtures("alive")
def test_who_waits_is_told_of_the_run_that_ended_not_of_the_one_begun_since(
    first: Run, ledger: Ledger, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = status.mark([SESSION], ledger)
    end(first, ledger)
    of_session = first_of_all(
        lambda: begun(ledger, settings, SECOND), ledger.of_session
    )
    monkeypatch.setattr(ledger, "of_session", of_session)

    assert status.wait(marks, ledger, settings) == {SESSION: True}
    assert len(ledger.unfinished_of(SESSION)) == 1


@pytest.mark.usefixtures("alive")
def test_who_waits_for_two_is_told_how_each_ended_at_its_own_end(
    first: Run, ledger: Ledger, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = run(run_id=THIRD, log_dir=first.spec.log_dir)
    ledger.prepare(other)
    marks = status.mark([SESSION, other.key], ledger)
    end(first, ledger, Outcome.SUCCEEDED)

    def carry_on() -> None:
        end(begun(ledger, settings, SECOND), ledger, Outcome.FAILED)

    def end_other() -> None:
        now = ledger.advance(other, Claimed(supervisor=PROCESS))
        end(ledger.advance(now, Launched(at=AT, codex=PROCESS)), ledger)

    moments = [end_other, carry_on]
    monkeypatch.setattr(clock, "sleep", lambda _: moments.pop()())
    versions = iter(range(100))
    monkeypatch.setattr(ledger.database, "version", lambda: next(versions))

    assert status.wait(marks, ledger, settings) == {SESSION: True, other.key: True}


@pytest.mark.usefixtures("alive")
def test_a_session_that_is_removed_while_it_is_waited_for_has_not_succeeded(
    first: Run, ledger: Ledger, settings: Config
) -> None:
    marks = status.mark([SESSION], ledger)
    end(first, ledger)
    ledger.sessions.remove(SESSION)

    assert status.wait(marks, ledger, settings) == {SESSION: False}


def test_whoever_stops_all_sees_a_session_whose_prompt_is_just_being_delivered(
    first: Run, ledger: Ledger, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.put(SESSION, b"Next.", ledger, settings.state_home)
    end(first, ledger)

    def deliver() -> None:
        begun(ledger, settings, SECOND)
        queue.skip(SESSION, ledger, settings.state_home)

    monkeypatch.setattr(ledger, "unfinished", afterwards(deliver, ledger.unfinished))

    assert stop.at_work(ledger) == [SESSION]


def test_a_run_that_moves_on_while_one_asks_whether_it_lives_is_asked_again(
    ledger: Ledger, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = run(log_dir=str(settings.state_home))
    ledger.prepare(prepared)
    # The command that prepared it is gone by the time that Codex works on it.
    lives = {"Prepared": Life.NONE, "Launching": Life.SUPERVISOR}

    def look(one: Run) -> Life:
        if ledger.find(one.run_id).state == prepared.state:
            ledger.advance(prepared, Claimed(supervisor=PROCESS))
        return lives[type(one.state).__name__]

    monkeypatch.setattr(settle, "life_of", look)

    found = reconcile_run(prepared, ledger, settings)

    assert not found.is_finished
    assert not ledger.find(prepared.run_id).is_finished


def test_a_session_that_is_removed_while_it_is_looked_at_is_no_task_any_more(
    first: Run, ledger: Ledger, settings: Config
) -> None:
    end(first, ledger)
    row = ledger.sessions.of(SESSION)
    assert row is not None
    ledger.sessions.remove(SESSION)

    with pytest.raises(NoSuchTaskError):
        sessions.look(row, ledger, settings)


@pytest.mark.usefixtures("alive")
def test_the_rows_of_the_usage_add_up_although_a_run_ends_while_they_are_read(
    first: Run, ledger: Ledger, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = begun(ledger, settings, SECOND)
    end(first, ledger)
    theirs = Ledger(settings.state_home)
    sums = afterwards(lambda: end(second, theirs), totals)
    monkeypatch.setattr(consumption, "totals", sums)
    monkeypatch.setattr(usage, "_judge", lambda *_: (set(), []))

    told = usage.gather(ledger, settings, "day")

    assert told.total is not None
    assert sum(line.runs for line in told.lines) == told.total.runs == 1
    assert told.not_over == 1
    assert usage.gather(ledger, settings, "day").not_over == 0


def test_a_session_that_somebody_has_for_a_moment_only_is_not_refused(
    first: Run, ledger: Ledger, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    end(first, ledger)
    home = settings.state_home
    spec = replace(first.spec, run_id=SECOND)
    held = session_lock.take(home, ledger, SessionId(SESSION), THIRD)
    assert isinstance(held, session_lock.Held)
    monkeypatch.setattr(clock, "sleep", lambda _: os.close(held.descriptor))

    prepared = prepare_run(Commission(spec=spec, prompt=b"Next."), ledger, settings)

    assert prepared.session_lock is not None
    os.close(prepared.session_lock)
    os.close(prepared.guard)


def test_a_prompt_that_is_skipped_while_it_is_being_delivered_is_no_fault(
    first: Run, ledger: Ledger, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = settings.state_home
    queue.put(SESSION, b"Next.", ledger, home)
    end(first, ledger)
    late = first_of_all(lambda: queue.skip(SESSION, ledger, home), whereabouts.files_of)
    monkeypatch.setattr(whereabouts, "files_of", late)

    assert queue.deliver(SESSION, ledger, settings) is None


def test_a_prompt_that_waits_and_cannot_be_read_still_is_one(
    first: Run, ledger: Ledger, settings: Config
) -> None:
    home = settings.state_home
    mail_id = queue.put(SESSION, b"Next.", ledger, home)
    end(first, ledger)
    session_files.active(home, SESSION).mail(mail_id).unlink()

    with pytest.raises(FileFault):
        queue.deliver(SESSION, ledger, settings)


@pytest.mark.usefixtures("alive")
def test_a_session_whose_run_ends_while_it_is_looked_at_is_no_longer_at_work(
    first: Run, ledger: Ledger, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = afterwards(lambda: end(first, ledger), sessions.is_at_work)
    monkeypatch.setattr(tasks, "is_at_work", late)

    assert look(ledger, settings).state is TaskState.STOPPED


@pytest.mark.usefixtures("alive")
def test_a_session_whose_next_prompt_is_about_to_be_delivered_still_is_at_work(
    first: Run, ledger: Ledger, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.put(SESSION, b"Next.", ledger, settings.state_home)
    late = afterwards(lambda: end(first, ledger), sessions.is_at_work)
    monkeypatch.setattr(tasks, "is_at_work", late)

    assert look(ledger, settings).state is TaskState.RUNNING
