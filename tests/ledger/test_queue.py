"""The queue: each prompt is delivered once, in the order of its session."""

import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from support import ledgers
from support.runs import AT, PROCESS, SESSION

from runner.errors import (
    AlreadyDeliveredError,
    ArchivedError,
    NoSuchTaskError,
    QuitWaitsError,
    SessionBusyError,
    StaleStateError,
)
from runner.ledger import edits, homes
from runner.ledger.ledger import Ledger
from runner.ledger.prompts import PromptOptions
from runner.model import Claimed, Outcome, Run, TaskState

PAST, LATER = "2020-01-01T00:00:00.000Z", "2030-01-01T00:00:00.000Z"
OTHER = SESSION[:-1] + "9"
SCENES = 40


@pytest.fixture
def first(ledger: Ledger) -> Run:
    """Put a session on record whose first run is over."""
    return ledgers.session_of(ledger)


def deliver(ledger: Ledger, first: Run, prompt: int, number: int = 2) -> Run:
    """Prepare a run that delivers a prompt of a session."""
    text = ledgers.row(ledger, prompt)["text"]
    return ledgers.resume(ledger, first, number, prompt=text, prompt_id=prompt)


def word(ledger: Ledger, run: Run) -> str | None:
    """Give the word that keeps the first prompt of a session."""
    head = ledger.queue.head(run.session)
    assert head is not None
    return head.word


def texts(ledger: Ledger, run: Run) -> list[bytes | None]:
    return [each.text for each in ledger.queue.waiting(run.session)]


def test_a_prompt_is_one_row_with_its_text_and_its_place(
    ledger: Ledger, first: Run
) -> None:
    number = ledgers.queue(ledger, first.session, "Größe?")

    (waiting,) = ledger.queue.waiting(first.session)
    assert (waiting.id, waiting.text, waiting.word) == (number, "Größe?".encode(), None)
    assert ledger.sessions.get(first.session).waiting == 1


def test_a_prompt_that_waits_for_a_session_without_a_thread_is_delivered_on_it(
    ledger: Ledger,
) -> None:
    """It is queued before Codex has named the thread; the key does not change."""
    unnamed = ledgers.launch(ledger, ledgers.prepare(ledger))
    number = ledgers.queue(ledger, unnamed.session)
    named = ledgers.name(ledger, unnamed)
    ledgers.end(ledger, named, has_begun=True)

    (candidate,) = ledger.queue.candidates()

    assert (candidate.prompt, candidate.session) == (number, unnamed.session)
    assert candidate.thread == SESSION


def test_nothing_is_queued_for_a_session_that_is_not_there(ledger: Ledger) -> None:
    with pytest.raises(NoSuchTaskError):
        ledgers.queue(ledger, 7)


def test_nothing_is_queued_for_an_archived_session(ledger: Ledger, first: Run) -> None:
    session = ledger.sessions.get(first.session)
    ledger.sessions.archive(session, session.exports, session.updated_at)

    with pytest.raises(ArchivedError):
        ledgers.queue(ledger, first.session)


def test_a_number_is_never_given_twice(ledger: Ledger, first: Run) -> None:
    number = ledgers.queue(ledger, first.session)
    ledger.queue.stop([first.session])
    ledger.sessions.remove(ledger.sessions.get(first.session))
    other = ledgers.session_of(ledger, thread=OTHER, number=5)

    assert ledgers.queue(ledger, other.session) > number + 1


def test_a_prompt_is_given_to_one_run_only(ledger: Ledger, first: Run) -> None:
    number = ledgers.queue(ledger, first.session)
    text = ledgers.row(ledger, number)["text"]
    deliver(ledger, first, number)

    with pytest.raises(AlreadyDeliveredError):
        ledgers.resume(ledger, first, 3, prompt=text, prompt_id=number)

    runs = ledger.runs.of_session(first.session)
    assert [run.run_id for run in runs[1:]] == [ledgers.run_id(2)]
    assert ledger.queue.waiting(first.session) == []


def test_a_prompt_that_was_changed_since_it_was_read_is_not_delivered(
    ledger: Ledger, first: Run
) -> None:
    number = ledgers.queue(ledger, first.session, "New.")

    with pytest.raises(AlreadyDeliveredError):
        ledgers.resume(ledger, first, 2, prompt=b"Old.", prompt_id=number)

    assert texts(ledger, first) == [b"New."]


def test_only_the_first_prompt_of_a_session_can_be_delivered(
    ledger: Ledger, first: Run
) -> None:
    one, two = (ledgers.queue(ledger, first.session, text) for text in "12")

    with pytest.raises(AlreadyDeliveredError):
        deliver(ledger, first, two)

    assert deliver(ledger, first, one).spec.prompt_id == one


def test_a_prompt_of_its_own_is_refused_behind_what_waits_or_runs(
    ledger: Ledger, first: Run
) -> None:
    number = ledgers.queue(ledger, first.session)
    with pytest.raises(SessionBusyError, match="prompts wait"):
        ledgers.resume(ledger, first, 2)
    running = deliver(ledger, first, number)

    with pytest.raises(SessionBusyError, match=running.run_id):
        ledgers.resume(ledger, first, 3)


def test_the_ledger_itself_refuses_a_second_writer(
    ledger: Ledger, first: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks first is told that the session is free; the index knows better."""
    second = ledgers.resume(ledger, first, 2)
    told = iter([None])
    monkeypatch.setattr(ledger.queue, "holder", lambda _: next(told, second.run_id))

    with pytest.raises(SessionBusyError, match=second.run_id):
        ledgers.resume(ledger, first, 3)

    runs = ledger.runs.of_session(first.session)
    assert [run.run_id for run in runs] == [first.run_id, second.run_id]


def test_the_turn_of_a_prompt_takes_its_text_out_of_the_queue(
    ledger: Ledger, first: Run
) -> None:
    number = ledgers.queue(ledger, first.session)
    run = ledgers.launch(ledger, deliver(ledger, first, number))
    assert ledgers.row(ledger, number)["text"] == b"More."

    ledger.runs.begin_turn(run.run_id)

    row = ledgers.row(ledger, number)
    assert (row["state"], row["begun"], row["text"]) == ("running", 1, None)


def test_that_a_turn_has_begun_survives_a_power_cut(ledger: Ledger, first: Run) -> None:
    """With the run's other rows, which are before it in the file."""
    number = ledgers.queue(ledger, first.session)
    run = ledgers.launch(ledger, deliver(ledger, first, number))
    executed: list[str] = []
    ledger._db.set_trace_callback(executed.append)

    ledger.runs.begin_turn(run.run_id)

    change = next(each for each in executed if each.startswith("update prompts"))
    before = executed[: executed.index(change)]
    assert before[-2:] == ["pragma synchronous = full", "begin immediate"]


def test_a_waiting_run_keeps_its_place_among_the_prompts(
    ledger: Ledger, first: Run
) -> None:
    running = ledgers.launch(ledger, ledgers.resume(ledger, first, 2))
    before = ledgers.queue(ledger, first.session, "Before.")
    waiting = ledgers.resume(ledger, first, 3, wait_for_session=True, prompt=b"Mine.")
    ledgers.queue(ledger, first.session, "After.")
    assert texts(ledger, first) == [b"Before.", b"Mine.", b"After."]
    assert ledger.queue.take(waiting) is None
    ledgers.end(ledger, running)
    assert ledger.queue.take(waiting) is None, "a prompt waits before it"

    ledgers.end(ledger, deliver(ledger, first, before, 4), has_begun=True)
    assert ledger.queue.candidates() == [], "only its own run may have it"
    taken = ledger.queue.take(waiting)

    assert taken is not None
    assert texts(ledger, first) == [b"After."]
    with pytest.raises(StaleStateError):
        ledger.queue.take(replaced_state(ledger, waiting))


def replaced_state(ledger: Ledger, run: Run) -> Run:
    """Let the prompt of a run wait again, while the run itself does not."""
    ledgers.execute(
        ledger, "update runs set state = 'finished', outcome = 'lost'"
        " where run_id = ?", run.run_id)  # fmt: skip
    ledgers.execute(
        ledger, "update prompts set state = 'queued' where run_id = ?", run.run_id
    )
    return run


def test_the_prompt_of_a_waiting_run_that_was_killed_is_delivered_by_another(
    ledger: Ledger, first: Run
) -> None:
    running = ledgers.launch(ledger, ledgers.resume(ledger, first, 2))
    waiting = ledgers.resume(ledger, first, 3, wait_for_session=True, prompt=b"Mine.")
    ledgers.end(ledger, running)

    ledgers.end(ledger, waiting, Outcome.NOT_STARTED, error_class="killed")

    assert texts(ledger, first) == [b"Mine."]
    assert word(ledger, first) is None
    assert [each.session for each in ledger.queue.candidates()] == [first.session]


@pytest.mark.parametrize("outcome", [Outcome.TIMED_OUT, Outcome.INTERRUPTED])
def test_the_prompt_of_a_waiting_run_that_gave_up_ends_with_it(
    ledger: Ledger, first: Run, outcome: Outcome
) -> None:
    ledgers.launch(ledger, ledgers.resume(ledger, first, 2))
    waiting = ledgers.resume(ledger, first, 3, wait_for_session=True)

    ledgers.end(ledger, waiting, outcome)

    assert ledger.queue.waiting(first.session) == []
    row = ledgers.row(ledger, waiting.spec.prompt_id or 0)
    assert (row["ended_at"] is not None, row["reason"]) == (True, outcome)


def test_a_waiting_run_that_a_stop_came_before_is_not_given_its_session(
    ledger: Ledger, first: Run
) -> None:
    running = ledgers.launch(ledger, ledgers.resume(ledger, first, 2))
    waiting = ledgers.resume(ledger, first, 3, wait_for_session=True)
    assert ledger.runs.claim_waiting(waiting, PROCESS)

    ledger.queue.stop([first.session])
    ledgers.end(ledger, running, Outcome.STOPPED)

    assert ledger.queue.take(waiting) is None
    assert ledger.runs.find(waiting.run_id).outcome is Outcome.STOPPED


def test_the_prompt_of_a_run_that_never_started_waits_again_at_its_place(
    ledger: Ledger, first: Run
) -> None:
    number = ledgers.queue(ledger, first.session, "Next.")
    ledgers.queue(ledger, first.session, "Later.")
    run = deliver(ledger, first, number)

    ledgers.end(ledger, run, Outcome.NOT_STARTED)

    assert texts(ledger, first) == [b"Next.", b"Later."]
    row = ledgers.row(ledger, number)
    assert (row["attempts"], row["starts"], row["run_id"]) == (1, 1, None)
    assert word(ledger, first) == "retry"


PARKED = {Outcome.USAGE_LIMITED, Outcome.AUTH_FAILED}


@pytest.mark.parametrize(
    "outcome", sorted(set(Outcome) - {*PARKED, Outcome.NOT_STARTED})
)
def test_a_prompt_whose_turn_has_begun_never_waits_again(
    ledger: Ledger, first: Run, outcome: Outcome
) -> None:
    number = ledgers.queue(ledger, first.session)
    run = deliver(ledger, first, number)

    ledgers.end(ledger, run, outcome, has_begun=True)

    row = ledgers.row(ledger, number)
    assert ledger.queue.waiting(first.session) == []
    assert row["ended_at"] is not None
    assert row["reason"] == outcome


@pytest.mark.parametrize("is_marked", [False, True])
def test_a_stop_that_could_only_signal_cancels_what_waits_with_the_verdict(
    ledger: Ledger, first: Run, *, is_marked: bool
) -> None:
    run = ledgers.launch(ledger, ledgers.resume(ledger, first, 2))
    if is_marked:
        ledger.queue.stop([first.session])
    number = ledgers.queue(ledger, first.session)

    ledgers.end(ledger, run, Outcome.STOPPED, has_begun=True)

    # What is sent after a stop that could write is kept.
    waits = [each.id for each in ledger.queue.waiting(first.session)]
    assert waits == ([number] if is_marked else [])
    assert ledger.queue.canceled(first.session) == (not is_marked)


def test_a_launcher_that_is_killed_three_times_makes_its_prompt_wait(
    ledger: Ledger, first: Run
) -> None:
    number = ledgers.queue(ledger, first.session)
    words = []
    for each in range(3):
        run = deliver(ledger, first, number, each + 2)
        ledgers.end(ledger, run, Outcome.NOT_STARTED, error_class="killed")
        words.append(word(ledger, first))

    assert words == [None, None, "retry"]


@pytest.mark.parametrize(
    ("error_class", "wanted"),
    [
        ("writer", "writer"),
        ("configuration", "held"),
        ("thread_gone", "held"),
        ("untrusted", "held"),
        ("option", "held"),
        (None, "retry"),
    ],
)
def test_what_codex_refused_before_its_turn_decides_what_its_prompt_waits_for(
    ledger: Ledger, first: Run, error_class: str | None, wanted: str
) -> None:
    number = ledgers.queue(ledger, first.session)
    run = ledgers.launch(ledger, deliver(ledger, first, number))

    ledgers.end(ledger, run, Outcome.FAILED, error_class=error_class, error="No.")

    assert word(ledger, first) == wanted
    (waiting,) = ledger.queue.waiting(first.session)
    assert (
        waiting.detail
        == {
            "writer": "another program writes this thread",
            "held": "No.",
            "retry": "Codex ended before its turn began, once",
        }[wanted]
    )


def test_a_prompt_whose_turn_never_begins_is_held_after_three_times(
    ledger: Ledger, first: Run
) -> None:
    number = ledgers.queue(ledger, first.session)
    words = []
    for each in range(4):
        ledgers.execute(ledger, "update prompts set wake_at = null, wake_from = null,"
        " wake_why = null where id = ?", number)  # fmt: skip
        run = ledgers.launch(ledger, deliver(ledger, first, number, each + 2))
        ledgers.end(ledger, run, Outcome.FAILED)
        words.append(word(ledger, first))

    assert words == ["retry", "retry", "retry", "held"]


def test_the_prompt_that_came_with_its_command_never_goes_back(ledger: Ledger) -> None:
    run = ledgers.prepare(ledger)

    ledgers.end(ledger, run, Outcome.NOT_STARTED)

    assert ledger.queue.waiting(run.session) == []
    assert ledgers.row(ledger, run.spec.prompt_id or 0)["state"] == "failed"


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [(Outcome.USAGE_LIMITED, "limit"), (Outcome.AUTH_FAILED, "login")],
)
def test_a_usage_limit_and_a_refused_login_hold_all_prompts_of_the_home(
    ledger: Ledger, first: Run, outcome: Outcome, expected: str
) -> None:
    run = ledgers.resume(ledger, first, 2)
    ledgers.queue(ledger, first.session)

    ledgers.end(ledger, run, outcome, has_begun=True)

    assert word(ledger, first) == expected
    home = ledger.sessions.get(first.session).home or ""
    homes.release(ledger, home.encode())
    assert word(ledger, first) is None


def test_a_limit_ends_with_its_time_and_one_run_tries_first(ledger: Ledger) -> None:
    def limit() -> tuple[bool, str | None]:
        sql = "select until > '2020', trying from holds where why = 'limit'"
        return tuple(ledger._db.execute(sql).fetchone())

    home = b""  # it is unknown
    ledgers.session_of(ledger, Outcome.USAGE_LIMITED)
    ledgers.session_of(ledger, thread=OTHER, number=2)
    homes.release(ledger, home, "login")
    assert limit() == (True, None), "neither a success nor a login ends it"

    homes.release(ledger, home)
    first, second = (ledgers.prepare(ledger, number) for number in (3, 4))
    assert limit() == (False, first.run_id)

    ledgers.end(ledger, second, Outcome.USAGE_LIMITED)
    assert limit() == (True, None)


def test_a_refused_login_is_named_before_a_limit_and_hides_none(
    ledger: Ledger, first: Run
) -> None:
    for number, outcome in enumerate((Outcome.USAGE_LIMITED, Outcome.AUTH_FAILED)):
        ledgers.end(ledger, ledgers.resume(ledger, first, number + 2), outcome)
    ledgers.queue(ledger, first.session)
    assert word(ledger, first) == "login"

    ledgers.execute(ledger, "delete from holds where why = 'login'")

    assert word(ledger, first) == "limit"


def test_a_turn_whose_beginning_was_not_recorded_is_continued_all_the_same(
    ledger: Ledger, first: Run
) -> None:
    number = ledgers.queue(ledger, first.session)
    run = deliver(ledger, first, number)

    ledgers.end(ledger, run, Outcome.USAGE_LIMITED, has_begun=True)

    (prompt,) = ledger.queue.waiting(first.session)
    assert (prompt.begun, prompt.text) == (1, None)


def test_the_only_prompt_of_a_session_goes_back_too(ledger: Ledger) -> None:
    asked = ledgers.request()
    key, number = ledger.queue.open(asked, "Do it.", AT, PromptOptions())
    run = ledgers.prepare(ledger, 1, session=key, prompt_id=number)

    ledgers.end(ledger, run, Outcome.USAGE_LIMITED, has_begun=True)

    assert ledgers.row(ledger, number)["state"] == "parked"


@pytest.mark.parametrize("park", [False, True])
@pytest.mark.parametrize("waits", [False, True])
def test_a_run_that_was_not_queued_is_parked_by_a_limit_only_if_asked_to(
    ledger: Ledger, *, park: bool, waits: bool
) -> None:
    edits.set_limits(ledger, "", {"slots": 0 if waits else 1})
    run = ledgers.prepare(ledger, 1, wait_for_slot=waits, park=park)
    edits.set_limits(ledger, "", {"slots": 1})
    if waits:
        assert ledger.queue.take(run) is not None

    ledgers.end(ledger, run, Outcome.USAGE_LIMITED, has_begun=True)

    found = ledgers.row(ledger, run.spec.prompt_id or 0)
    assert found["state"] == ("parked" if park else "failed")


def test_what_runs_in_a_session_keeps_its_prompts(ledger: Ledger, first: Run) -> None:
    run = ledgers.resume(ledger, first, 2)
    one = ledgers.queue(ledger, first.session)
    ledgers.queue(ledger, first.session)

    head, behind = ledger.queue.waiting(first.session)

    assert (head.word, head.detail) == ("session", f"run {run.run_id} is unfinished")
    assert (behind.word, behind.detail) == ("session", f"behind #{one} (session)")
    assert ledger.queue.candidates() == []


def test_a_prompt_that_waits_for_a_time_is_due_when_it_has_come(
    ledger: Ledger, first: Run
) -> None:
    number = ledgers.queue(ledger, first.session)
    set_time = "update prompts set not_before = ? where id = ?"
    ledgers.execute(ledger, set_time, LATER, number)
    (waiting,) = ledger.queue.waiting(first.session)
    assert (waiting.word, waiting.until) == ("time", LATER)
    assert ledger.queue.candidates() == []

    ledgers.execute(ledger, set_time, "2020-01-01T00:00:00.000Z", number)

    assert word(ledger, first) is None


@pytest.mark.parametrize("why", ["retry", "writer"])
def test_a_prompt_that_is_to_be_tried_again_says_until_when_it_waits(
    ledger: Ledger, first: Run, why: str
) -> None:
    number = ledgers.queue(ledger, first.session)
    ledgers.wake(ledger, number, why, LATER)

    (waiting,) = ledger.queue.waiting(first.session)

    assert (waiting.word, waiting.until) == (why, LATER)


def test_what_waits_for_another_writer_is_looked_at_by_every_sweep(
    ledger: Ledger, first: Run
) -> None:
    number = ledgers.queue(ledger, first.session)
    (candidate,) = ledger.queue.candidates()
    ledger.queue.wait_for_writer(candidate, is_free=False)
    assert word(ledger, first) == "writer"

    (candidate,) = ledger.queue.candidates()
    assert (candidate.prompt, candidate.waits_for_writer) == (number, True)
    ledger.queue.wait_for_writer(candidate, is_free=True)

    assert word(ledger, first) is None


def test_an_archived_session_delivers_nothing(ledger: Ledger, first: Run) -> None:
    ledgers.queue(ledger, first.session)
    ledgers.execute(ledger, "update sessions set archived_at = updated_at")

    assert word(ledger, first) == "archived"
    assert ledger.queue.candidates() == []


def test_a_held_prompt_holds_what_is_behind_it(ledger: Ledger, first: Run) -> None:
    number = ledgers.queue(ledger, first.session)
    ledgers.queue(ledger, first.session)
    ledger.queue.hold(number, "Codex refuses it")

    head, behind = ledger.queue.waiting(first.session)

    assert (head.word, head.detail) == ("held", "Codex refuses it")
    assert behind.detail == f"behind #{number} (held)"
    assert ledger.queue.candidates() == []


@pytest.mark.parametrize("state", ["queued", "parked"])
def test_a_prompt_is_held_until_a_person_acts_also_after_it_waited_for_a_time(
    ledger: Ledger, first: Run, state: str
) -> None:
    number = ledgers.queue(ledger, first.session)
    ledgers.wake(ledger, number, "unbegun", until=PAST)
    ledgers.execute(ledger, "update prompts set state = ? where id = ?", state, number)
    assert [each.prompt for each in ledger.queue.candidates()] == [number]

    ledger.queue.hold(number, "its directory is gone")

    assert ledger.queue.candidates() == []
    assert word(ledger, first) == "held"


def test_a_stop_cancels_what_waits_and_marks_what_runs(
    ledger: Ledger, first: Run
) -> None:
    running = ledgers.launch(ledger, ledgers.resume(ledger, first, 2))
    waiting = ledgers.resume(ledger, first, 3, wait_for_session=True)
    number = ledgers.queue(ledger, first.session)

    stopped = ledger.queue.stop([first.session])

    assert [each.run_id for each in stopped] == [waiting.run_id, None]
    assert ledger.runs.find(running.run_id).is_stop_asked
    assert [each.id for each in stopped] == [waiting.spec.prompt_id, number]
    assert ledger.queue.waiting(first.session) == []
    assert ledger.queue.canceled(first.session) == 2
    assert ledger.queue.to_stop() == [first.session]


def test_a_prompt_that_is_sent_after_the_stop_is_wanted(
    ledger: Ledger, first: Run
) -> None:
    running = ledgers.launch(ledger, ledgers.resume(ledger, first, 2))
    ledger.queue.stop([first.session])
    ledgers.queue(ledger, first.session, "Wanted.")

    ledgers.end(ledger, running, Outcome.STOPPED)

    assert texts(ledger, first) == [b"Wanted."]
    assert word(ledger, first) is None


@pytest.mark.parametrize("is_stopped_first", [True, False])
def test_a_prompt_of_a_stopped_session_never_goes_back(
    ledger: Ledger, first: Run, *, is_stopped_first: bool
) -> None:
    """Its run would put it back: Codex was never started for it."""
    number = ledgers.queue(ledger, first.session)
    run = deliver(ledger, first, number)

    if is_stopped_first:
        ledger.queue.stop([first.session])
    ledgers.end(ledger, run, Outcome.NOT_STARTED, error_class="killed")
    if not is_stopped_first:
        ledger.queue.stop([first.session])

    assert ledgers.row(ledger, number)["state"] == "canceled"
    assert ledger.sessions.get(first.session).state is not TaskState.RUNNING


def test_a_run_that_was_stopped_before_its_supervisor_came_is_not_claimed(
    ledger: Ledger,
) -> None:
    run = ledgers.prepare(ledger)
    ledger.queue.stop([run.session])

    with pytest.raises(StaleStateError):
        ledger.runs.advance(run, Claimed(supervisor=PROCESS))


def test_nothing_waits_behind_a_quit(ledger: Ledger, first: Run) -> None:
    ledgers.launch(ledger, ledgers.resume(ledger, first, 2))
    number = ledgers.queue(ledger, first.session, "/quit")

    with pytest.raises(QuitWaitsError, match=rf"a /quit waits \(prompt {number}\)"):
        ledgers.queue(ledger, first.session, "Later.")
    with pytest.raises(QuitWaitsError):
        ledgers.resume(ledger, first, 3, wait_for_session=True)

    assert texts(ledger, first) == [b"/quit"]


def test_a_quit_cancels_what_a_migration_left_behind_it(
    ledger: Ledger, first: Run
) -> None:
    numbers = [ledgers.queue(ledger, first.session, text) for text in ("Yes.", "No.")]
    ledgers.execute(
        ledger, "update prompts set text = x'2f71756974' where id = ?", numbers[0]
    )
    head = ledger.queue.head(first.session)
    assert head is not None
    assert head.is_quit

    assert ledger.queue.quit(head) == numbers

    states = [ledgers.row(ledger, number)["state"] for number in numbers]
    assert states == ["done", "canceled"]
    assert ledger.queue.quit(head) == []


def at_once(home: Path, *works: Callable[[Ledger], None]) -> None:
    """Do things at the same time, each in a thread with a ledger of its own."""
    barrier = threading.Barrier(len(works))
    faults: list[BaseException] = []

    def run(work: Callable[[Ledger], None]) -> None:
        with closing(Ledger(home)) as own:
            barrier.wait()
            try:
                work(own)
            except BaseException as fault:  # noqa: BLE001 - shown below
                faults.append(fault)

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_two_that_deliver_at_once_deliver_each_prompt_once_and_in_order(
    ledger: Ledger, first: Run
) -> None:
    other = ledgers.session_of(ledger, thread=OTHER, number=2)
    queued = [
        ledgers.queue(ledger, session, str(number))
        for number in range(SCENES // 4)
        for session in (first.session, other.session)
    ]
    done: list[tuple[int, int]] = []

    def work(own: Ledger, base: int) -> None:
        for number in range(base, base + 10_000):
            candidates = own.queue.candidates()
            if not candidates and not own.all("free_prompts"):
                return
            for each in candidates[:1]:
                text = ledgers.row(own, each.prompt)["text"]
                session = each.session
                asked = {"session": session, "thread": each.thread, "prompt": text}
                if text is None:
                    continue
                try:
                    run = ledgers.prepare(own, number, prompt_id=each.prompt, **asked)
                except (AlreadyDeliveredError, SessionBusyError):
                    continue
                done.append((session, each.prompt))
                ledgers.end(own, run, has_begun=True)

    at_once(ledger.home, lambda own: work(own, 100), lambda own: work(own, 5000))

    assert sorted(prompt for _, prompt in done) == queued
    for session in (first.session, other.session):
        in_order = [prompt for each, prompt in done if each == session]
        assert in_order == sorted(in_order)


def test_of_two_that_prepare_at_once_one_has_the_session(
    ledger: Ledger, first: Run
) -> None:
    for scene in range(SCENES // 4):
        made: list[Run] = []
        busy: list[str] = []

        def prepare(
            own: Ledger, number: int, made: list[Run] = made, busy: list[str] = busy
        ) -> None:
            try:
                made.append(ledgers.resume(own, first, number))
            except SessionBusyError as error:
                busy.append(error.holder)

        number = 10 + 2 * scene
        at_once(
            ledger.home,
            partial(prepare, number=number),
            partial(prepare, number=number + 1),
        )

        (run,) = made
        assert busy == [run.run_id]
        ledgers.end(ledger, run)


def test_a_waiting_run_and_a_new_one_never_have_the_session_both(
    ledger: Ledger, first: Run
) -> None:
    for scene in range(SCENES // 4):
        number = 10 + 3 * scene
        running = ledgers.resume(ledger, first, number)
        waiting = ledgers.resume(ledger, first, number + 1, wait_for_session=True)
        ledgers.end(ledger, running)
        writers: list[str] = []

        def take(
            own: Ledger, waiting: Run = waiting, writers: list[str] = writers
        ) -> None:
            if own.queue.take(waiting):
                writers.append(waiting.run_id)

        def prepare(
            own: Ledger, number: int = number, writers: list[str] = writers
        ) -> None:
            try:
                writers.append(ledgers.resume(own, first, number + 2).run_id)
            except SessionBusyError:
                return

        at_once(ledger.home, take, prepare)

        assert writers == [waiting.run_id], "it was there first"
        ledgers.end(ledger, ledger.runs.find(waiting.run_id))


def test_a_stop_and_an_end_at_once_leave_no_prompt_waiting(
    ledger: Ledger, first: Run
) -> None:
    for scene in range(SCENES // 4):
        number = ledgers.queue(ledger, first.session)
        run = deliver(ledger, first, number, 10 + scene)

        def stop(own: Ledger) -> None:
            own.queue.stop([first.session])

        def end(own: Ledger, run: Run = run) -> None:
            ledgers.end(own, run, Outcome.NOT_STARTED, error_class="killed")

        at_once(ledger.home, stop, end)

        assert ledger.queue.waiting(first.session) == []
        assert ledgers.row(ledger, number)["state"] == "canceled"


def test_of_two_supervisors_that_claim_a_run_one_has_it(ledger: Ledger) -> None:
    run = ledgers.prepare(ledger)
    claimed: list[bool] = []

    def claim(own: Ledger) -> None:
        try:
            own.runs.advance(run, Claimed(supervisor=PROCESS))
        except StaleStateError:
            claimed.append(False)
        else:
            claimed.append(True)

    at_once(ledger.home, claim, claim)

    assert sorted(claimed) == [False, True]


def test_a_run_is_ended_by_one_of_two_and_counted_once(ledger: Ledger) -> None:
    run = ledgers.name(ledger, ledgers.launch(ledger, ledgers.prepare(ledger)))
    tokens = {"input_tokens": 100, "total_tokens": 110}
    ended: list[bool] = []

    def end(own: Ledger) -> None:
        try:
            own.runs.finish(run, ledgers.over(run, model="gpt-5", token_usage=tokens))
        except StaleStateError:
            ended.append(False)
        else:
            ended.append(True)

    at_once(ledger.home, end, end)

    assert sorted(ended) == [False, True]
    (total,) = ledger.usage.totals("session")
    assert (total.key, total.runs, total.total_tokens) == (SESSION, 1, 110)


def test_prompts_of_one_moment_have_places_of_their_own(
    ledger: Ledger, first: Run
) -> None:
    def add(own: Ledger) -> None:
        for _ in range(SCENES // 4):
            own.queue.add(first.session, b"x", "x", AT)

    at_once(ledger.home, add, add)

    numbers = [each.id for each in ledger.queue.waiting(first.session)]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == SCENES // 4 * 2
