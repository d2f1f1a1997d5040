"""The state of a session: one test for each row of the rule."""

import re
from datetime import timedelta

import pytest
from support import ledgers
from support.runs import PROCESS, settings

from runner import clock
from runner.ledger.ledger import Ledger
from runner.model import OUTCOMES, Outcome, Run, TaskState
from runner.service import listing

GOOD = (Outcome.SUCCEEDED, Outcome.STOPPED)
UNTIL = "2030-01-01T00:00:00.000Z"


def state(ledger: Ledger, run: Run) -> TaskState:
    return ledger.sessions.get(run.session).state


def archive(ledger: Ledger, run: Run) -> None:
    session = ledger.sessions.get(run.session)
    ledger.sessions.archive(session, session.exports, session.updated_at)


def test_a_session_runs_from_the_moment_at_which_its_run_is_on_record(
    ledger: Ledger,
) -> None:
    prepared = ledgers.prepare(ledger)
    assert state(ledger, prepared) is TaskState.RUNNING

    launched = ledgers.launch(ledger, prepared)
    assert state(ledger, launched) is TaskState.RUNNING


@pytest.mark.parametrize("outcome", Outcome)
def test_a_session_stands_as_its_last_run_has_ended(
    ledger: Ledger, outcome: Outcome
) -> None:
    run = ledgers.session_of(ledger, outcome)

    assert OUTCOMES[outcome].is_good == (outcome in GOOD)
    wanted = TaskState.STOPPED if outcome in GOOD else TaskState.DIED
    assert state(ledger, run) is wanted
    session = ledger.sessions.get(run.session)
    assert (session.last_run, session.outcome) == (run.run_id, outcome)


def test_of_several_runs_the_last_one_counts(ledger: Ledger) -> None:
    first = ledgers.session_of(ledger, Outcome.FAILED)
    second = ledgers.launch(ledger, ledgers.resume(ledger, first, 2))
    assert state(ledger, first) is TaskState.RUNNING

    ledgers.end(ledger, second)

    assert state(ledger, first) is TaskState.STOPPED


def test_a_session_in_which_nothing_has_run_is_stopped(ledger: Ledger) -> None:
    with ledger.transaction():
        key = ledger.sessions.open("2026-11-20T10:12:01.000Z")

    assert ledger.sessions.get(key).state is TaskState.STOPPED


def test_a_session_whose_first_prompt_is_about_to_be_delivered_runs(
    ledger: Ledger,
) -> None:
    run = ledgers.session_of(ledger, Outcome.FAILED)
    ledgers.queue(ledger, run.session)

    assert state(ledger, run) is TaskState.RUNNING


@pytest.mark.parametrize("why", ["retry", "writer"])
def test_a_session_whose_first_prompt_waits_for_a_time_runs(
    ledger: Ledger, why: str
) -> None:
    run = ledgers.session_of(ledger)
    prompt = ledgers.queue(ledger, run.session)
    ledgers.wake(ledger, prompt, why, UNTIL)

    (waiting,) = ledger.queue.waiting(run.session)
    assert waiting.word == why
    assert state(ledger, run) is TaskState.RUNNING


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.USAGE_LIMITED])
def test_a_session_whose_first_prompt_is_held_has_died(
    ledger: Ledger, outcome: Outcome
) -> None:
    run = ledgers.session_of(ledger, outcome)
    prompt = ledgers.queue(ledger, run.session)
    ledgers.queue(ledger, run.session, "And then?")
    ledger.queue.hold(prompt, "a person has to act")

    assert state(ledger, run) is TaskState.DIED
    ledger.queue.release(run.session)
    assert state(ledger, run) is TaskState.RUNNING


def test_a_session_that_runs_is_not_dead_because_of_a_held_prompt(
    ledger: Ledger,
) -> None:
    run = ledgers.session_of(ledger)
    second = ledgers.resume(ledger, run, 2)
    ledger.queue.hold(ledgers.queue(ledger, run.session), "a person has to act")

    assert state(ledger, second) is TaskState.RUNNING


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.LOST])
def test_an_archived_session_is_archived_however_it_has_ended(
    ledger: Ledger, outcome: Outcome
) -> None:
    run = ledgers.session_of(ledger, outcome)

    archive(ledger, run)

    assert state(ledger, run) is TaskState.ARCHIVED


def test_an_archived_session_in_which_something_runs_runs(ledger: Ledger) -> None:
    """A run of `run_codex_task` may resume its thread."""
    run = ledgers.session_of(ledger)
    archive(ledger, run)

    ledgers.resume(ledger, run, 2)

    assert state(ledger, run) is TaskState.RUNNING


def test_a_run_that_waits_for_its_session_lets_it_run(ledger: Ledger) -> None:
    first = ledgers.session_of(ledger)
    second = ledgers.launch(ledger, ledgers.resume(ledger, first, 2))
    waiting = ledgers.resume(ledger, first, 3, wait_for_session=True)
    session = ledger.sessions.get(first.session)
    assert session.last_run == second.run_id

    ledgers.end(ledger, second)

    session = ledger.sessions.get(first.session)
    assert (session.state, session.last_run) == (TaskState.RUNNING, waiting.run_id)


def test_a_run_that_only_waited_tells_nothing_of_its_session(ledger: Ledger) -> None:
    first = ledgers.session_of(ledger)
    second = ledgers.launch(ledger, ledgers.resume(ledger, first, 2))
    waiting = ledgers.resume(ledger, first, 3, wait_for_session=True)
    ledgers.end(ledger, waiting, Outcome.TIMED_OUT)
    ledgers.end(ledger, second)

    session = ledger.sessions.get(first.session)

    assert session.state is TaskState.STOPPED
    assert (session.last_run, session.outcome) == (second.run_id, "succeeded")


def test_a_run_that_waited_and_got_its_session_counts(ledger: Ledger) -> None:
    first = ledgers.session_of(ledger)
    second = ledgers.launch(ledger, ledgers.resume(ledger, first, 2))
    waiting = ledgers.resume(ledger, first, 3, wait_for_session=True)
    ledger.runs.claim_waiting(waiting, PROCESS)
    ledgers.end(ledger, second)

    taken = ledger.queue.take(waiting)
    assert taken is not None
    ledgers.end(ledger, ledgers.launch(ledger, taken), Outcome.FAILED, has_begun=True)

    session = ledger.sessions.get(first.session)
    assert (session.last_run, session.state) == (waiting.run_id, TaskState.DIED)
    in_order = [run.run_id for run in ledger.runs.of_session(first.session)]
    assert in_order == [first.run_id, second.run_id, waiting.run_id]


def test_listing_by_state_finds_each_session_once(ledger: Ledger) -> None:
    threads = [f"01a1f000-0000-7000-8000-00000000000{n}" for n in range(5)]
    ends = (Outcome.SUCCEEDED, Outcome.STOPPED, Outcome.FAILED, Outcome.LOST)
    for number, (thread, outcome) in enumerate(zip(threads, ends, strict=False)):
        ledgers.session_of(ledger, outcome, thread=thread, number=number)
    ledgers.name(ledger, ledgers.prepare(ledger, 4), threads[4])
    archive(ledger, ledger.runs.find(ledgers.run_id(0)))

    found = {
        each: {session.thread for session in ledger.sessions.all([each])}
        for each in TaskState
    }

    assert found == {
        TaskState.ARCHIVED: {threads[0]},
        TaskState.STOPPED: {threads[1]},
        TaskState.DIED: {threads[2], threads[3]},
        TaskState.RUNNING: {threads[4]},
    }


@pytest.mark.parametrize(
    ("own", "is_held", "is_paused", "said"),
    [
        ("parked", True, False, ("parked", "login refused")),
        ("queued", True, False, ("parked", "login refused (of the account)")),
        ("queued retry", True, False, ("queued", "retry 12:35")),
        ("parked limit", True, True, ("parked", "limit until 12:35")),
        ("parked", True, True, ("parked", "login refused")),
        ("parked", False, True, ("queued", "paused")),
        ("queued", True, True, ("queued", "paused")),
    ],
)
def test_a_waiting_task_is_shown_with_its_own_reason(
    ledger: Ledger, own: str, said: tuple[str, str], *, is_held: bool, is_paused: bool
) -> None:
    session = ledgers.session_of(ledger).session
    prompt = ledgers.queue(ledger, session)
    kind, _, why = own.partition(" ")
    ledgers.execute(ledger, "update prompts set state = ? where ended_at is null", kind)
    until = clock.now().astimezone().replace(hour=12, minute=35) + timedelta(days=1)
    if why:
        ledgers.wake(ledger, prompt, why, clock.iso(until))
    if is_held:
        ledger.change("hold_home", session=session, until=None, why="login")
    if is_paused:
        ledgers.execute(ledger, "update queues set paused = 1")

    line = listing.lines([ledger.sessions.line(session)], settings(ledger.home))[0]

    assert (line.shown.state, re.sub(r"\d+ \w+ 12", "12", line.brief)) == said
