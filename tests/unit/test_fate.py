"""What becomes of a prompt: each row of the table in DESIGN rule 5."""

from typing import Any

import pytest
from support.runs import AT, run

from parsers.struct import replace
from runner import clock
from runner.ledger.fate import (
    BACK_OFF,
    WRITER_SECONDS,
    Counters,
    Delivery,
    Ends,
    GoesBack,
    fate_of,
    hold_of,
    limit_seconds,
    resets_of,
)
from runner.lifecycle.judge import KILLED
from runner.model import OUTCOMES, Finished, Outcome, Run, Verdict
from runner.terms import VERIFY_FAILED

AT_ONCE = 0.0
FOR_A_PERSON = ["configuration", "thread_gone", "untrusted", "option"]


def verdict(outcome: Outcome, error_class: str | None = None) -> Verdict:
    return Verdict(outcome=outcome, exit_code=1, error="No.", error_class=error_class)


def delivery(*, direct: bool = False, stop: bool = False, **counters: int) -> Delivery:
    return Delivery(
        is_direct=direct, is_stop_asked=stop, may_park=not direct, **counters
    )


def goes_back(given: Delivery, ended: Verdict) -> GoesBack:
    fate = fate_of(given, ended, has_begun=False)

    assert isinstance(fate, GoesBack)
    return fate


@pytest.mark.parametrize("outcome", [Outcome.NOT_STARTED, Outcome.LOST])
@pytest.mark.parametrize(
    ("killed_before", "wait", "why"),
    [
        (0, AT_ONCE, None),
        (1, AT_ONCE, None),
        (2, 10, "start"),
        (3, 60, "start"),
        (4, 600, "start"),
        (40, 600, "start"),
    ],
)
def test_a_prompt_whose_launch_was_killed_is_tried_at_once_twice_then_later(
    outcome: Outcome, killed_before: int, wait: float, why: str | None
) -> None:
    fate = goes_back(delivery(starts=killed_before), verdict(outcome, KILLED))

    assert (fate.wait, fate.why, fate.hold) == (wait, why, None)
    assert fate.counters.starts == killed_before + 1


@pytest.mark.parametrize(
    ("failed_before", "wait"), [(0, 10), (1, 60), (2, 600), (3, 600), (40, 600)]
)
def test_a_codex_that_cannot_be_executed_is_tried_later_from_the_first(
    failed_before: int, wait: float
) -> None:
    fate = goes_back(delivery(starts=failed_before), verdict(Outcome.NOT_STARTED))

    assert (fate.wait, fate.why, fate.hold) == (wait, "start", None)
    assert fate.counters.starts == failed_before + 1


@pytest.mark.parametrize("before", range(7))
def test_a_thread_that_another_program_writes_is_looked_at_again(before: int) -> None:
    fate = goes_back(delivery(unbegun=before), verdict(Outcome.FAILED, "writer"))

    assert (fate.why, fate.hold) == ("refused", None)
    assert (fate.wait, fate.counters.unbegun) == (WRITER_SECONDS, before)


@pytest.mark.parametrize("error_class", FOR_A_PERSON)
def test_what_only_a_person_can_change_holds_the_prompt_at_once(
    error_class: str,
) -> None:
    fate = goes_back(delivery(), verdict(Outcome.FAILED, error_class))

    assert fate.hold == "No."
    assert (fate.counters.starts, fate.counters.unbegun) == (0, 0)


def test_a_hold_without_a_message_is_named_by_the_class_of_the_error() -> None:
    silent = Verdict(outcome=Outcome.FAILED, exit_code=1, error_class="untrusted")

    assert goes_back(delivery(), silent).hold == "untrusted"


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.LOST])
def test_any_other_end_before_the_turn_is_tried_three_times_later_then_held(
    outcome: Outcome,
) -> None:
    given, waits = delivery(starts=2), []
    for _ in BACK_OFF:
        fate = goes_back(given, verdict(outcome))
        assert (fate.why, fate.hold, fate.counters.starts) == ("unbegun", None, 0)
        waits.append(fate.wait)
        given = delivery(unbegun=fate.counters.unbegun)

    assert waits == [10, 60, 600]
    assert goes_back(given, verdict(outcome)).hold == "No."


@pytest.mark.parametrize("has_begun", [True, False])
def test_a_prompt_that_hits_a_limit_is_parked_until_its_reset(
    has_begun: bool,  # noqa: FBT001 - both rows
) -> None:
    ended = verdict(Outcome.USAGE_LIMITED)
    fate = fate_of(delivery(parks=1), ended, has_begun=has_begun, reset=777)

    assert isinstance(fate, GoesBack)
    assert (fate.is_parked, fate.wait, fate.why) == (True, 777, "limit")
    assert fate.counters.parks == 2


@pytest.mark.parametrize("has_begun", [True, False])
def test_a_prompt_whose_login_is_refused_is_parked_without_a_time(
    has_begun: bool,  # noqa: FBT001 - both rows
) -> None:
    ended = verdict(Outcome.AUTH_FAILED)
    fate = fate_of(delivery(), ended, has_begun=has_begun)

    assert fate == GoesBack(counters=Counters(), is_parked=True)


def test_a_prompt_that_does_not_park_ends_at_a_limit() -> None:
    given = replace(delivery(), may_park=False)
    fate = fate_of(given, verdict(Outcome.USAGE_LIMITED), has_begun=True)

    assert fate == Ends(state="failed", reason="usage_limited")


@pytest.mark.parametrize(
    ("outcome", "error_class"),
    [(Outcome.FAILED, "server_overloaded"), (Outcome.STALLED, "stalled")],
)
def test_a_turn_that_failed_for_a_passing_reason_is_retried_later_each_time(
    outcome: Outcome, error_class: str
) -> None:
    for failures, longest in ((0, 5), (1, 10), (7, 600), (9, 600)):
        given = delivery(retries=10, failures=failures)
        fate = fate_of(given, verdict(outcome, error_class), has_begun=True)

        assert isinstance(fate, GoesBack)
        assert longest / 2 <= fate.wait <= longest
        assert (fate.why, fate.counters.failures) == ("retry", failures + 1)


@pytest.mark.parametrize(
    ("error_class", "counters"),
    [("bad_request", {"retries": 3}), ("server_overloaded", {})],
)
def test_a_turn_is_not_retried_in_vain_or_unasked(
    error_class: str, counters: dict[str, Any]
) -> None:
    ended = verdict(Outcome.FAILED, error_class)
    fate = fate_of(delivery(**counters), ended, has_begun=True)

    assert fate == Ends(state="failed", reason="failed")


def test_a_lost_turn_is_continued_as_often_as_was_asked_for() -> None:
    ended = verdict(Outcome.LOST)

    again = fate_of(delivery(recoveries=1), ended, has_begun=True)
    last = fate_of(delivery(recoveries=1, crashes=1), ended, has_begun=True)

    assert again == GoesBack(counters=Counters(crashes=1))
    assert last == Ends(state="failed", reason="poisoned")


@pytest.mark.parametrize(
    ("ended", "counters"),
    [
        (verdict(Outcome.USAGE_LIMITED), Counters(parks=1)),
        (verdict(Outcome.AUTH_FAILED), Counters()),
        (verdict(Outcome.LOST), Counters(crashes=1)),
        (verdict(Outcome.STALLED, "stalled"), Counters(failures=1)),
    ],
)
def test_what_is_counted_in_a_row_begins_anew_when_a_turn_has_begun(
    ended: Verdict, counters: Counters
) -> None:
    given = delivery(starts=2, unbegun=3, retries=1, recoveries=1)
    fate = fate_of(given, ended, has_begun=True)

    assert isinstance(fate, GoesBack)
    assert fate.counters == counters


PARKED = {Outcome.USAGE_LIMITED, Outcome.AUTH_FAILED}


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - PARKED))
def test_a_prompt_whose_turn_had_begun_ends_as_its_outcome_says(
    outcome: Outcome,
) -> None:
    fate = fate_of(delivery(), verdict(outcome), has_begun=True)

    assert fate == Ends(state=OUTCOMES[outcome].prompt, reason=str(outcome))


@pytest.mark.parametrize("outcome", Outcome)
def test_a_prompt_that_came_with_its_command_ends_with_its_run(
    outcome: Outcome,
) -> None:
    fate = fate_of(delivery(direct=True), verdict(outcome), has_begun=False)

    assert isinstance(fate, Ends)


NEVER_AGAIN = set(Outcome) - {
    *PARKED,
    Outcome.FAILED,
    Outcome.LOST,
    Outcome.STALLED,
    Outcome.NOT_STARTED,
}


@pytest.mark.parametrize("outcome", sorted(NEVER_AGAIN))
def test_an_end_that_was_meant_never_brings_a_prompt_back(
    outcome: Outcome,
) -> None:
    assert isinstance(fate_of(delivery(), verdict(outcome), has_begun=False), Ends)


@pytest.mark.parametrize("has_begun", [True, False])
@pytest.mark.parametrize("outcome", Outcome)
def test_after_a_stop_no_prompt_is_parked_retried_or_put_back(
    outcome: Outcome,
    has_begun: bool,  # noqa: FBT001 - a row of the table
) -> None:
    fate = fate_of(delivery(stop=True), verdict(outcome), has_begun=has_begun)

    assert isinstance(fate, Ends)
    state = "done" if outcome is Outcome.SUCCEEDED else "canceled"
    assert fate.state == state


@pytest.mark.parametrize("direct", [True, False])
def test_a_prompt_whose_check_fails_gets_its_next_turn_at_once_until_the_last(
    direct: bool,  # noqa: FBT001 - both doors
) -> None:
    failed = verdict(Outcome.SUCCEEDED, VERIFY_FAILED)
    fates = [
        fate_of(delivery(direct=direct, turns=3, checks=n), failed, has_begun=True)
        for n in range(3)
    ]

    assert fates[:2] == [
        GoesBack(counters=Counters(checks=1)),
        GoesBack(counters=Counters(checks=2)),
    ]
    assert fates[2] == Ends(state="failed", reason="verify_failed")


def test_a_next_turn_that_does_not_begin_goes_back_also_of_a_direct_prompt() -> None:
    killed = verdict(Outcome.NOT_STARTED, KILLED)

    fate = goes_back(delivery(direct=True, checks=1), killed)

    assert fate.counters == Counters(checks=1, starts=1)


def test_a_stopped_prompt_gets_no_next_turn() -> None:
    failed = verdict(Outcome.SUCCEEDED, VERIFY_FAILED)

    fate = fate_of(delivery(stop=True, turns=3), failed, has_begun=True)

    assert fate == Ends(state="canceled", reason="stopped")


def limited(outcome: Outcome = Outcome.USAGE_LIMITED, **windows: Any) -> Run:  # noqa: ANN401 - JSON
    return run(
        Finished(
            verdict=verdict(outcome),
            started_at=AT,
            ended_at=AT,
            accounts={"rate_limits": windows},
        )
    )


def window(used_percent: float | None, resets_at: object = 1_800_000_000) -> object:
    return {"used_percent": used_percent, "resets_at": resets_at}


def test_a_limit_lasts_until_the_last_full_window_is_reset() -> None:
    both = limited(primary=window(100, 1000), secondary=window(100.0, 2000))
    swapped = limited(primary=window(100, 2000), secondary=window(100, 1000))

    assert resets_of(both) == resets_of(swapped) == 2000


def test_without_a_full_window_the_first_reset_is_the_end() -> None:
    first = limited(primary=window(99.9, 2000), secondary=window(None, 1000))
    assert resets_of(first) == 1000


@pytest.mark.parametrize(
    ("resets_at", "parks", "seconds"),
    [
        (1_000_600, 0, 600),  # as Codex says
        (900_000, 0, 60),  # in the past: not at once
        (900_000, 2, 240),
        (900_000, 9, 3600),
        (1_000_000 + 9 * 86_400, 0, 3600),  # nonsense
        (None, 0, 3600),
    ],
)
def test_a_limit_lasts_a_time_that_makes_no_loop(
    resets_at: object, parks: int, seconds: float
) -> None:
    ended = limited(primary=window(100, resets_at))

    assert limit_seconds(ended, parks, 1_000_000) == seconds


@pytest.mark.parametrize(
    "windows",
    [
        {},
        {"primary": window(100, None)},
        {"primary": window(100, "soon")},
        {"primary": None, "secondary": 7},
    ],
)
def test_a_window_that_is_unknown_tells_no_end(
    windows: dict[str, Any],
) -> None:
    assert resets_of(limited(**windows)) is None


def test_a_hold_names_the_end_of_the_limit_where_it_is_known() -> None:
    until = clock.iso(clock.at(1_800_000_000))

    known = hold_of(limited(primary=window(100)))
    unknown = hold_of(limited())
    login = hold_of(limited(Outcome.AUTH_FAILED, primary=window(100)))

    assert known == (f"the usage limit lasts until {until}", until)
    assert unknown == ("the last run ended usage_limited", None)
    assert login == ("the last run ended auth_failed", None)
