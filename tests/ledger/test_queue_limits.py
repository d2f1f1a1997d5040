"""How many runs there may be at once, and which prompt comes next."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.ledgers import (
    end,
    execute,
    launch,
    name,
    prepare,
    queue,
    request,
    resume,
    session_of,
)
from support.runs import settings

from runner import clock
from runner.errors import NoSlotError, RefusedPromptError
from runner.ledger import edits, slots
from runner.ledger.edits import Edit
from runner.ledger.ledger import Ledger
from runner.ledger.prompts import PromptOptions
from runner.model import Outcome, Run, Waiting
from runner.service import queue as service
from runner.terms import Terms

AT = datetime(2026, 11, 30, 8, tzinfo=UTC)
OTHERS = [f"01a1f000-0000-7000-8000-00000000000{n}" for n in range(2, 9)]


def session(ledger: Ledger, number: int) -> Run:
    return session_of(ledger, thread=OTHERS[number], number=number)


def add(ledger: Ledger, session: int, text: str = "More.", **options: Any) -> int:  # noqa: ANN401  # as PromptOptions
    how = PromptOptions(**options)
    return ledger.queue.add(session, text.encode(), text, AT, how)


def word(ledger: Ledger, prompt: int) -> str | None:
    rows = service.waiting(ledger, None, settings(ledger.home))
    (found,) = (each for each in rows if each["id"] == prompt)
    return str(found["why"]) if found["why"] else None


def state(ledger: Ledger, prompt: int) -> tuple[str, str | None]:
    row = ledger.one("prompt_row", prompt=prompt)
    assert row is not None
    return row["state"], row["reason"]


def candidates(ledger: Ledger) -> list[int]:
    return [each.prompt for each in ledger.queue.candidates()]


def deliver(ledger: Ledger, run: Run, prompt: int, number: int) -> Run:
    text = ledger.queue.waiting(run.session)[0].text
    return resume(ledger, run, number, prompt_id=prompt, prompt=text)


def test_without_a_limit_any_number_of_runs_may_start(ledger: Ledger) -> None:
    for number in range(5):
        prepare(ledger, number)


def test_a_run_beyond_the_slots_is_refused_before_anything_is_on_record(
    ledger: Ledger,
) -> None:
    edits.set_limits(ledger, "", {"slots": 1})
    prepare(ledger, 1)

    with pytest.raises(NoSlotError, match=r"1 of 1 slots are taken \(--wait"):
        prepare(ledger, 2)

    assert len(ledger.runs.unfinished()) == 1
    assert len(ledger.sessions.all()) == 1


def test_a_finished_run_gives_its_slot_back(ledger: Ledger) -> None:
    edits.set_limits(ledger, "", {"slots": 1})
    first = prepare(ledger, 1)
    end(ledger, first, Outcome.NOT_STARTED)

    prepare(ledger, 2)


def test_a_group_has_slots_of_its_own(ledger: Ledger) -> None:
    edits.set_limits(ledger, "nightly", {"slots": 1})
    prepare(ledger, 1, group="nightly")

    with pytest.raises(NoSlotError, match="1 of 1 slots of group nightly are taken"):
        prepare(ledger, 2, group="nightly")
    prepare(ledger, 3)


def test_zero_slots_pause_the_queue(ledger: Ledger) -> None:
    edits.set_limits(ledger, "", {"slots": 0})

    with pytest.raises(NoSlotError, match="there are 0 slots"):
        prepare(ledger, 1)


def test_a_run_inside_a_run_takes_no_slot(ledger: Ledger) -> None:
    edits.set_limits(ledger, "", {"slots": 1})
    outer = prepare(ledger, 1)

    inner = prepare(ledger, 2, parent=outer.run_id)

    end(ledger, outer, Outcome.NOT_STARTED)
    prepare(ledger, 3, parent=inner.run_id)
    prepare(ledger, 4)  # the slot is free although runs inside it go on


def test_the_next_turn_of_a_run_inside_a_run_takes_no_slot_either(
    ledger: Ledger,
) -> None:
    edits.set_limits(ledger, "", {"slots": 1})
    outer = prepare(ledger, 1)
    inner = prepare(ledger, 2, parent=outer.run_id, terms=Terms(max_iterations=2))

    ran = name(ledger, launch(ledger, inner))
    end(ledger, ran, error_class="verify_failed", has_begun=True)

    prompt = inner.spec.prompt_id
    assert candidates(ledger) == [prompt]
    again = resume(ledger, inner, 3, prompt_id=prompt, prompt=b"Go on.")
    busy = "select slotless, parent_run from runs where run_id = ?"
    (found,) = ledger._db.execute(busy, (again.run_id,)).fetchall()
    assert tuple(found) == (1, outer.run_id)


def test_a_marker_of_another_state_directory_is_none(ledger: Ledger) -> None:
    edits.set_limits(ledger, "", {"slots": 1})
    prepare(ledger, 1)

    with pytest.raises(NoSlotError):
        prepare(ledger, 2, parent="20260101T000000Z-unknown")


def test_a_run_inside_a_run_takes_no_slot_of_its_group(ledger: Ledger) -> None:
    outer = prepare(ledger, 1)
    edits.set_limits(ledger, "nightly", {"slots": 1})
    prepare(ledger, 2, parent=outer.run_id, group="nightly")

    prepare(ledger, 3, group="nightly")


def test_the_fourth_run_inside_a_run_is_refused(ledger: Ledger) -> None:
    parent = prepare(ledger, 0)
    for number in range(1, slots.DEEPEST + 1):
        parent = prepare(ledger, number, parent=parent.run_id)

    with pytest.raises(NoSlotError, match="is inside 4 runs, and 3 are the most"):
        prepare(ledger, 9, parent=parent.run_id)


def test_a_run_can_wait_for_a_slot(ledger: Ledger) -> None:
    edits.set_limits(ledger, "", {"slots": 1})
    first = prepare(ledger, 1)

    waiting = prepare(ledger, 2, wait_for_slot=True)

    assert isinstance(waiting.state, Waiting)
    assert ledger.queue.take(waiting) is None
    end(ledger, first, Outcome.NOT_STARTED)
    assert ledger.queue.take(waiting) is not None


def test_what_comes_after_a_run_that_waits_for_a_slot_is_not_delivered_before_it(
    ledger: Ledger,
) -> None:
    first, second = session(ledger, 0), session(ledger, 1)
    before = add(ledger, first.session)
    edits.set_limits(ledger, "", {"slots": 1})
    running = prepare(ledger, 3)
    waiting = prepare(ledger, 4, wait_for_slot=True)
    add(ledger, second.session)
    end(ledger, running, Outcome.SUCCEEDED, has_begun=True)

    assert candidates(ledger) == [before]
    edits.remove(ledger, before)
    assert candidates(ledger) == []
    assert ledger.queue.take(waiting) is not None


def test_only_so_many_runs_start_in_a_minute(ledger: Ledger) -> None:
    edits.set_limits(ledger, "", {"starts_per_minute": 2})
    now = {"prepared_at": clock.now()}
    for number in (1, 2):
        end(ledger, prepare(ledger, number, **now), Outcome.NOT_STARTED)

    with pytest.raises(NoSlotError, match="2 starts per minute: wait until 20"):
        prepare(ledger, 3, **now)


def test_runs_that_waited_count_from_when_they_begin(ledger: Ledger) -> None:
    edits.set_limits(ledger, "", {"starts_per_minute": 1, "slots": 0})
    long_ago = clock.now() - timedelta(hours=1)
    first, second = (
        prepare(ledger, number, wait_for_slot=True, prepared_at=long_ago)
        for number in (1, 2)
    )
    edits.set_limits(ledger, "", {"slots": None})

    taken = ledger.queue.take(first)

    assert ledger.queue.take(second) is None
    assert ledger.queue.reason_of(second) == "starts per minute"
    assert taken is not None
    assert taken.spec.prepared_at > long_ago


@pytest.mark.parametrize("group", ["", "nightly"])
@pytest.mark.parametrize("limit", ["slots", "starts_per_minute"])
def test_a_run_that_waits_inside_a_run_waits_for_no_slot(
    ledger: Ledger, limit: str, group: str
) -> None:
    """Its caller has the slot, and waits for it."""
    first = session(ledger, 1)
    outer = prepare(ledger, 2, prepared_at=clock.now(), group=group)
    edits.set_limits(ledger, group, {limit: 1})
    inside = {"parent": outer.run_id, "group": group}
    holder = resume(ledger, first, 3, **inside)
    waiting = resume(ledger, first, 4, wait_for_session=True, **inside)

    end(ledger, holder, has_begun=True)

    assert ledger.queue.take(waiting) is not None


def test_prompts_wait_for_a_slot_and_say_so(ledger: Ledger) -> None:
    first, second = session(ledger, 1), session(ledger, 2)
    edits.set_limits(ledger, "", {"slots": 1})
    prompts = [queue(ledger, each.session) for each in (first, second)]
    deliver(ledger, first, prompts[0], 5)

    assert word(ledger, prompts[1]) == "slot"
    assert candidates(ledger) == []


def test_the_only_prompt_of_a_session_goes_back_too(ledger: Ledger) -> None:
    key, number = ledger.queue.open(request(), "Do it.", AT, PromptOptions())
    run = prepare(ledger, 1, session=key, prompt_id=number)

    ran = name(ledger, launch(ledger, run))
    end(ledger, ran, Outcome.USAGE_LIMITED, has_begun=True)

    assert state(ledger, number) == ("parked", None)


def test_between_sessions_the_older_prompt_comes_first(ledger: Ledger) -> None:
    first, second = session(ledger, 1), session(ledger, 2)
    prompts = [queue(ledger, each.session) for each in (second, first)]

    assert candidates(ledger) == prompts


def test_priority_comes_before_age(ledger: Ledger) -> None:
    first, second = session(ledger, 1), session(ledger, 2)
    old, new = add(ledger, first.session), add(ledger, second.session, priority=1)

    assert candidates(ledger) == [new, old]


def test_a_point_of_priority_is_worth_a_hundred_places(ledger: Ledger) -> None:
    runs = [session(ledger, n) for n in (1, 2)]
    old = queue(ledger, runs[0].session)
    execute(ledger, "update sqlite_sequence set seq = 150 where name = 'prompts'")
    new = add(ledger, runs[1].session, priority=1)

    assert candidates(ledger) == [old, new]


def test_a_prompt_lifts_those_before_it_in_its_session(ledger: Ledger) -> None:
    first, second = session(ledger, 1), session(ledger, 2)
    old = add(ledger, first.session)
    before, _urgent = (
        add(ledger, second.session),
        add(ledger, second.session, priority=9),
    )

    assert candidates(ledger) == [before, old]


def test_a_prompt_waits_for_its_time(ledger: Ledger) -> None:
    run = session(ledger, 1)
    later = service.when("+2h", "--not-before", clock.now())
    prompt = add(ledger, run.session, not_before=later)
    behind = queue(ledger, run.session)

    assert word(ledger, prompt) == "time"
    assert word(ledger, behind) == "session"
    execute(ledger, "update prompts set not_before = '2026-01-01T00:00:00.000Z'")
    assert candidates(ledger) == [prompt]


def test_a_prompt_that_has_not_begun_in_time_ends(ledger: Ledger) -> None:
    run = session(ledger, 1)
    prompt = add(ledger, run.session, expires_at="2026-01-01T00:00:00.000Z")

    assert candidates(ledger) == []
    assert state(ledger, prompt) == ("failed", "expired")


def test_a_prompt_waits_until_another_has_succeeded(ledger: Ledger) -> None:
    first, second = session(ledger, 1), session(ledger, 2)
    needed = queue(ledger, first.session)
    prompt = add(ledger, second.session, after=(needed,))
    assert word(ledger, prompt) == "dependency"
    assert candidates(ledger) == [needed]

    end(ledger, deliver(ledger, first, needed, 5), has_begun=True)

    assert candidates(ledger) == [prompt]


def test_what_needs_a_failed_prompt_fails_with_it(ledger: Ledger) -> None:
    first, second, third = (session(ledger, n) for n in (1, 2, 3))
    needed = queue(ledger, first.session)
    prompt = add(ledger, second.session, after=(needed,))
    last = add(ledger, third.session, after=(prompt,))
    anyway = add(ledger, third.session, after_any_end=(needed,))

    failed = deliver(ledger, first, needed, 5)
    end(ledger, failed, Outcome.FAILED, has_begun=True)

    assert state(ledger, prompt) == ("failed", "dependency_failed")
    assert state(ledger, last) == ("failed", "dependency_failed")
    assert candidates(ledger) == [anyway]


def test_a_need_that_has_failed_already_ends_the_prompt_at_once(
    ledger: Ledger,
) -> None:
    first, second = session(ledger, 1), session(ledger, 2)
    needed = queue(ledger, first.session)
    edits.remove(ledger, needed)

    prompt = add(ledger, second.session, after=(needed,))

    assert state(ledger, prompt) == ("failed", "dependency_failed")


def test_an_unknown_need_is_refused(ledger: Ledger) -> None:
    run = session(ledger, 1)
    with pytest.raises(RefusedPromptError, match="prompt 99, which it waits for"):
        add(ledger, run.session, after=(99,))
    assert ledger.queue.waiting(run.session) == []


@pytest.mark.parametrize("outcome", [Outcome.USAGE_LIMITED, Outcome.LOST])
def test_the_only_prompt_of_a_session_goes_back_to_its_place(
    ledger: Ledger, outcome: Outcome
) -> None:
    how = PromptOptions(recoveries=1)
    key, number = ledger.queue.open(request(prompt=b"Do it."), "Do it.", AT, how)
    run = prepare(ledger, 1, session=key, prompt=b"Do it.", prompt_id=number)

    end(ledger, run, outcome, has_begun=True)

    assert [each.id for each in ledger.queue.waiting(key)] == [number]


def test_a_retried_prompt_brings_back_what_ended_because_of_it(ledger: Ledger) -> None:
    first, second = session(ledger, 1), session(ledger, 2)
    needed = queue(ledger, first.session)
    prompt = add(ledger, second.session, after=(needed,))
    edits.remove(ledger, needed)
    assert state(ledger, prompt)[0] == "failed"

    assert edits.retry(ledger, needed, lambda _: None) == [needed, prompt]

    assert candidates(ledger) == [needed]
    assert word(ledger, prompt) == "dependency"


def test_a_retried_prompt_has_its_own_text_again(ledger: Ledger) -> None:
    run = session(ledger, 1)
    prompt = queue(ledger, run.session, "Do it.")
    again = deliver(ledger, run, prompt, 5)
    ledger.runs.begin_turn(again.run_id)
    end(ledger, again, Outcome.FAILED, has_begun=True)

    with pytest.raises(RefusedPromptError, match="its text is gone with the files"):
        edits.retry(ledger, prompt, lambda _: None)
    edits.retry(ledger, prompt, lambda run_id: b"Do it." if run_id else None)

    assert ledger.queue.waiting(run.session)[0].text == b"Do it."


@pytest.mark.parametrize("begun", [True, False])
def test_the_prompt_of_a_start_is_retried_and_delivered(
    ledger: Ledger,
    begun: bool,  # noqa: FBT001 - both rows
) -> None:
    run = prepare(ledger, 1, prompt=b"Do it.")
    number = run.spec.prompt_id or 0
    end(ledger, run, Outcome.FAILED, has_begun=begun)

    edits.retry(ledger, number, lambda run_id: b"Do it." if run_id else None)

    assert deliver(ledger, run, number, 2).session == run.session


def test_only_what_has_not_succeeded_is_retried(ledger: Ledger) -> None:
    run = session(ledger, 1)
    prompt = queue(ledger, run.session)
    with pytest.raises(RefusedPromptError, match="is queued: only one that has failed"):
        edits.retry(ledger, prompt, lambda _: None)


def test_what_needs_another_cannot_be_retried_before_it(ledger: Ledger) -> None:
    first, second = session(ledger, 1), session(ledger, 2)
    needed = queue(ledger, first.session)
    prompt = add(ledger, second.session, after=(needed,))
    edits.remove(ledger, needed)

    with pytest.raises(RefusedPromptError, match=f"prompt {needed}, which it needs"):
        edits.retry(ledger, prompt, lambda _: None)


def test_a_canceled_prompt_cannot_be_retried_before_what_it_needs(
    ledger: Ledger,
) -> None:
    first, second = session(ledger, 1), session(ledger, 2)
    needed = queue(ledger, first.session)
    prompt = add(ledger, second.session, after=(needed,))
    edits.remove(ledger, prompt)
    edits.remove(ledger, needed)

    with pytest.raises(RefusedPromptError, match=f"prompt {needed}, which it needs"):
        edits.retry(ledger, prompt, lambda _: None)

    assert state(ledger, prompt) == ("canceled", "removed")


def test_a_prompt_moves_to_the_front(ledger: Ledger) -> None:
    run = session(ledger, 1)
    first, second = queue(ledger, run.session), queue(ledger, run.session)

    edits.move_first(ledger, second)

    assert [p.id for p in ledger.queue.waiting(run.session)] == [second, first]


def test_a_quit_stays_behind_what_was_there(ledger: Ledger) -> None:
    run = session(ledger, 0)
    add(ledger, run.session)
    quit_ = add(ledger, run.session, "/quit")

    with pytest.raises(RefusedPromptError, match="it comes after all that waits"):
        edits.move_first(ledger, quit_)


def test_a_move_that_closes_a_cycle_is_refused(ledger: Ledger) -> None:
    a, b = session(ledger, 1), session(ledger, 2)
    b2 = queue(ledger, b.session)
    a1 = add(ledger, a.session, after=(b2,))
    _a2 = queue(ledger, a.session)
    b1 = add(ledger, b.session, after=(a1,))

    with pytest.raises(RefusedPromptError, match="a cycle"):
        edits.move_first(ledger, b1)

    assert [p.id for p in ledger.queue.waiting(b.session)] == [b2, b1]


def test_an_edit_that_closes_a_cycle_is_refused(ledger: Ledger) -> None:
    a, b = session(ledger, 1), session(ledger, 2)
    first = queue(ledger, a.session)
    second = add(ledger, b.session, after=(first,))

    with pytest.raises(RefusedPromptError, match="a cycle"):
        edits.edit(ledger, first, Edit(after=(second,)))


def test_a_waiting_prompt_is_edited(ledger: Ledger) -> None:
    run = session(ledger, 1)
    prompt = queue(ledger, run.session)
    ledger.queue.hold(prompt, "a person has to look")

    edits.edit(ledger, prompt, service.new_text(b"Other words."))

    (found,) = ledger.queue.waiting(run.session)
    assert (found.text, found.word) == (b"Other words.", None)
    deliver(ledger, run, prompt, 5)
    with pytest.raises(RefusedPromptError, match=f"prompt {prompt} is running"):
        edits.edit(ledger, prompt, Edit(priority=1))


def test_a_paused_session_delivers_nothing_and_refuses_runs(ledger: Ledger) -> None:
    run = session(ledger, 1)
    edits.pause(ledger, run.session, is_paused=True)
    prompt = queue(ledger, run.session)

    assert word(ledger, prompt) == "pause"
    edits.remove(ledger, prompt)
    with pytest.raises(NoSlotError, match=r"is paused \(codex-tasks resume"):
        resume(ledger, run, 7)
    edits.pause(ledger, run.session, is_paused=False)
    resume(ledger, run, 8)


def test_a_paused_queue_starts_nothing(ledger: Ledger) -> None:
    prompt = queue(ledger, session(ledger, 1).session)
    edits.pause(ledger, None, is_paused=True)

    assert word(ledger, prompt) == "pause"
    with pytest.raises(NoSlotError, match="the queue is paused"):
        prepare(ledger, 7)


def test_a_known_key_is_the_first_prompt(ledger: Ledger) -> None:
    run = session(ledger, 1)
    first = add(ledger, run.session, "Do it.", key="deploy 7")

    assert add(ledger, run.session, "Do it.", key="deploy 7") == first
    with pytest.raises(RefusedPromptError, match=f"another request, prompt {first}"):
        add(ledger, run.session, "Do that.", key="deploy 7")


def test_a_known_key_is_the_first_prompt_whenever_it_is_given(ledger: Ledger) -> None:
    run = session(ledger, 1)
    hours = [clock.iso(AT + timedelta(hours=n)) for n in (1, 2)]
    first, again = (
        add(ledger, run.session, "Do it.", key="deploy", not_before=hour)
        for hour in hours
    )

    assert again == first
    (found,) = ledger.all("all_waiting")
    assert found["not_before"] == hours[0]


def test_a_known_key_is_the_first_prompt_although_the_session_accepts_no_other(
    ledger: Ledger,
) -> None:
    run = session(ledger, 1)
    first = add(ledger, run.session, key="k")
    quits = ledger.queue.add(run.session, b"/quit", "/quit", AT)
    assert add(ledger, run.session, key="k") == first

    for prompt in (first, quits):
        edits.remove(ledger, prompt)
    found = ledger.sessions.get(run.session)
    ledger.sessions.archive(found, found.exports, found.updated_at)

    assert add(ledger, run.session, key="k") == first
    with pytest.raises(RefusedPromptError, match="--key 'k' has another request"):
        add(ledger, run.session, "Other.", key="k")


def test_a_duplicate_is_refused_while_the_first_waits(ledger: Ledger) -> None:
    run = session(ledger, 1)
    first = add(ledger, run.session, dedup="lint")

    with pytest.raises(RefusedPromptError, match=f"prompt {first} waits with --dedup"):
        add(ledger, run.session, dedup="lint")
    edits.remove(ledger, first)
    add(ledger, run.session, dedup="lint")


def test_the_limits_tell_what_uses_them(ledger: Ledger) -> None:
    edits.set_limits(ledger, "", {"slots": 3, "starts_per_minute": 9})
    edits.set_limits(ledger, "nightly", {"slots": 1})
    run = session(ledger, 1)
    execute(ledger, "update runs set prepared_at = '2026-01-01T00:00:00.000Z'")
    prepare(ledger, 5, group="nightly")
    queue(ledger, run.session)

    whole, group = service.limits(ledger)

    assert (whole["slots"], whole["running"], whole["waiting"]) == (3, 1, 1)
    assert (group["group"], group["running"], group["waiting"]) == ("nightly", 1, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+2h", AT + timedelta(hours=2)),
        ("90m", AT + timedelta(minutes=90)),
        ("2026-12-24T18:00Z", datetime(2026, 12, 24, 18, tzinfo=UTC)),
        ("2026-12-24T18:00+02:00", datetime(2026, 12, 24, 16, tzinfo=UTC)),
    ],
)
def test_a_time_is_an_instant_or_a_delay(text: str, expected: datetime) -> None:
    assert service.when(text, "--not-before", AT) == clock.iso(expected)
