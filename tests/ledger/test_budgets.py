"""What a prompt and a day may cost: what counts, and what happens above it."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support import ledgers
from support.ledgers import end, execute, launch, prepare, queue, session_of
from support.runs import AT, SESSION, run, settings

from parsers.exec_events.summary import EventSummary
from parsers.struct import replace
from runner import clock
from runner.accounting import budgets
from runner.accounting.budgets import Spent
from runner.accounting.live import LiveUsage
from runner.accounting.rollouts import Rollouts
from runner.errors import NoSlotError, UnpricedError, UsageError
from runner.ledger import edits
from runner.ledger.ledger import Ledger
from runner.ledger.settings import OwnSettings, read_own
from runner.lifecycle.queue import deliver_all
from runner.model import CodexOptions, Outcome, Run
from runner.service import budget
from runner.service import queue as service
from runner.supervisor.budget import refusal
from runner.terms import Terms, money

AGENT = "01a1f000-0000-7000-8000-000000000002"


def used(tokens: int, usd: float | None) -> dict[str, Any]:
    """Build the accounts of a run."""
    usage = {"input_tokens": tokens, "output_tokens": 0, "total_tokens": tokens}
    return {"token_usage": usage, "cost": {"usd": usd, "model": "gpt-5.5"}}


def attempt(ledger: Ledger, first: Run, number: int, tokens: int, usd: float) -> Run:
    """Put another attempt of a run's prompt on record."""
    made = ledgers.resume(ledger, first, number)
    execute(
        ledger,
        "update runs set prompt = ? where run_id = ?",
        *(first.spec.prompt_id, made.run_id),
    )
    launch(ledger, made)
    end(ledger, made, Outcome.FAILED, has_begun=True, **used(tokens, usd))
    return ledger.runs.find(made.run_id)


def test_a_budget_is_exceeded_above_it_and_used_up_at_it() -> None:
    terms = Terms(max_usd=1.0, max_tokens=50)

    assert Spent(tokens=50, usd=1.0).over(terms) is None
    assert Spent(tokens=51).over(terms) == (
        "the prompt has used 51 of 50 tokens (--max-tokens)"
    )
    assert Spent(usd=1.0675).over(terms) == (
        "the prompt has cost $1.0675 of $1.00 (--max-usd)"
    )
    assert Spent(tokens=50).over(terms, or_at=True)
    assert Spent(tokens=10**9, usd=1e9).over(Terms()) is None


@pytest.mark.parametrize(
    ("usd", "text"),
    [(0, "$0.00"), (0.42, "$0.42"), (0.0675, "$0.0675"), (1234.5, "$1234.50")],
)
def test_money_is_written_with_the_digits_that_it_needs(usd: float, text: str) -> None:
    assert money(usd) == text


def test_every_attempt_of_a_prompt_counts_and_no_other_prompt(ledger: Ledger) -> None:
    first = session_of(ledger, Outcome.FAILED, accounts=used(100, 0.5))
    attempt(ledger, first, 2, 10, 0.25)
    third = attempt(ledger, first, 3, 1, 0.125)
    session_of(ledger, thread=AGENT, number=4, accounts=used(7000, 70.0))

    assert budgets.spent_before(first, ledger) == Spent(tokens=11, usd=0.375)
    assert budgets.spent_before(third, ledger) == Spent(tokens=110, usd=0.75)


def test_a_person_who_queues_a_prompt_again_begins_a_new_budget(
    ledger: Ledger,
) -> None:
    first = session_of(ledger, Outcome.FAILED, accounts=used(100, 0.5))
    again = replace(first, spec=replace(first.spec, run_id=ledgers.run_id(9)))
    assert budgets.spent_before(again, ledger).tokens == 100

    edits.retry(ledger, first.spec.prompt_id or 0, lambda _: b"Do it.")

    assert budgets.spent_before(again, ledger) == Spent()


def test_an_attempt_for_which_nothing_is_left_is_refused(ledger: Ledger) -> None:
    first = session_of(ledger, Outcome.FAILED, accounts=used(100, 0.5))
    terms = Terms(max_tokens=100)
    spec = replace(first.spec, run_id=ledgers.run_id(9), terms=terms)

    why = refusal(replace(first, spec=spec), ledger)
    more = replace(spec, terms=Terms(max_tokens=101))

    assert why is not None
    assert (why.outcome, why.exit_code) == (Outcome.OVER_BUDGET, 1)
    assert why.error == (
        "the prompt has used 100 of 100 tokens (--max-tokens), before this run"
    )
    assert refusal(replace(first, spec=more), ledger) is None


# Prices.


def codex(**changes: Any) -> CodexOptions:  # noqa: ANN401 - any field
    return CodexOptions(bin="codex", **changes)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"model": "gpt-5.5"}, ""),
        ({"overrides": ('model="gpt-5.5"',)}, ""),
        ({}, 'model = "gpt-5.5"\n'),
        ({}, ""),
        ({"model": "gpt-5.5", "overrides": ("service_tier=fast",)}, ""),
    ],
)
def test_a_model_with_a_price_or_an_unknown_one_is_no_reason_to_refuse(
    tmp_path: Path, options: dict[str, Any], text: str
) -> None:
    (tmp_path / "config.toml").write_text(text)

    budgets.refuse_unpriced(1.0, codex(**options), tmp_path, settings(tmp_path))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"model": "nobody"}, 'model = "gpt-5.5"\n'),
        ({"overrides": ("model=nobody",)}, 'model = "gpt-5.5"\n'),
        ({"extra": ("-c", "model=nobody")}, 'model = "gpt-5.5"\n'),
        ({}, 'model = "nobody"\n'),
        ({"model": "gpt-5.5", "overrides": ("service_tier=odd",)}, ""),
        ({"model": "gpt-5.5"}, 'service_tier = "odd"\n'),
    ],
)
def test_a_model_or_tier_without_a_price_is_refused(
    tmp_path: Path, options: dict[str, Any], text: str
) -> None:
    (tmp_path / "config.toml").write_text(text)

    with pytest.raises(UnpricedError, match=r"--max-tokens N.*prices\.toml.*--model"):
        budgets.refuse_unpriced(1.0, codex(**options), tmp_path, settings(tmp_path))


def test_a_queued_prompt_whose_price_is_gone_is_held_with_the_reason(
    ledger: Ledger, tmp_path: Path
) -> None:
    first = session_of(ledger, codex=codex(model="nobody"), repo=str(tmp_path))
    own = OwnSettings(terms=Terms(max_usd=1.0)).to_json()
    number = queue(ledger, first.session)
    execute(ledger, "update prompts set settings = ? where id = ?", own, number)

    here = replace(settings(tmp_path), state_home=ledger.home)
    assert deliver_all(ledger, here) == {}

    (prompt,) = ledger.queue.waiting(first.session)
    assert prompt.word == "held"
    assert "--max-usd 1: no price for the model 'nobody'" in str(prompt.detail)


# The calls of a run while it works.


class Rollout:
    """A rollout file that Codex writes to."""

    def __init__(self, home: Path, thread: str, at: datetime) -> None:
        directory = home / "sessions" / f"{at.astimezone():%Y/%m/%d}"
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / f"rollout-2026-12-01T00-00-00-{thread}.jsonl"
        self.thread, self.at, self._calls = thread, at, 0
        self.write("session_meta", id=thread)

    def write(self, kind: str, **payload: object) -> None:
        told = {"timestamp": clock.iso(self.at), "type": kind, "payload": payload}
        with self.path.open("a") as file:
            file.write(json.dumps(told, separators=(",", ":")) + "\n")

    def turn(self, turn: str, model: str = "gpt-5.5") -> None:
        self.write("event_msg", type="task_started", turn_id=turn)
        self.write("turn_context", turn_id=turn, model=model)

    def call(self, tokens: int, turn: str, root: str | None = None) -> None:
        self._calls += 1
        self.write(
            "token_usage_record",
            thread_id=self.thread,
            turn_id=turn,
            root_turn_id=root or turn,
            response_id=f"{self.thread} {self._calls}",
            usage={"input_tokens": tokens, "output_tokens": 0, "total_tokens": tokens},
        )


class Place:
    """A run that works, and its rollouts."""

    def __init__(self, home: Path, offset: int = 0, *, is_priced: bool = True) -> None:
        self.home, self.at, self.found = home, clock.now(), list[Path]()
        self.summary = EventSummary()
        self.live = LiveUsage(
            replace(run(prepared_at=self.at), rollout_offset=offset),
            Rollouts(home),
            settings(home),
            self.found.append,
            is_priced=is_priced,
        )

    def rollout(self, thread: str) -> Rollout:
        return Rollout(self.home, thread, self.at + timedelta(milliseconds=1))

    def look(self, *agents: str, is_thorough: bool = False) -> bool:
        facts = self.summary.facts
        return self.live.look(SESSION, agents, facts, is_thorough=is_thorough)


def test_each_call_is_counted_once_as_it_comes(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert not place.look()
    rollout = place.rollout(SESSION)
    rollout.turn("t1")

    for number in range(1, 4):
        rollout.call(1_000_000, "t1")
        assert place.look()
        assert place.look()
        tokens, usd = 1_000_000 * number, 10.0 * number  # it is a long call
        assert place.live.spent == Spent(tokens=tokens, usd=usd)

    assert place.found == [rollout.path]


def test_what_a_thread_used_before_the_run_does_not_count(tmp_path: Path) -> None:
    before = Place(tmp_path).rollout(SESSION)
    before.turn("t1")
    before.call(5, "t1")
    place = Place(tmp_path, offset=before.path.stat().st_size)
    before.turn("t2")
    before.call(7, "t2")

    place.look()

    assert place.live.spent.tokens == 7


def test_sub_agents_count_with_the_calls_that_are_made_for_this_run(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path, is_priced=False)
    rollout, agent = place.rollout(SESSION), place.rollout(AGENT)
    rollout.turn("t1")
    agent.turn("a1")
    agent.call(100, "a1", root="t1")
    agent.call(1_000, "a2", root="of another run")
    rollout.call(1, "t1")

    place.look()
    assert place.live.spent == Spent(tokens=1)
    place.look(AGENT)
    assert place.live.spent == Spent(tokens=101)
    agent.call(10, "a1", root="t1")
    place.look()
    assert place.live.spent == Spent(tokens=111)


def test_a_call_without_a_price_is_told(tmp_path: Path) -> None:
    place = Place(tmp_path)
    rollout = place.rollout(SESSION)
    rollout.turn("t1", model="nobody")
    rollout.call(5, "t1")

    place.look()

    assert place.live.spent == Spent(tokens=5, unpriced=1)
    assert "no price for the model 'nobody'" in str(place.live.reason)


def test_a_service_tier_without_a_price_is_told(tmp_path: Path) -> None:
    place = Place(tmp_path)
    rollout = place.rollout(SESSION)
    rollout.turn("t1")
    settled = {"service_tier": "odd"}
    rollout.write("event_msg", type="thread_settings_applied", thread_settings=settled)
    rollout.call(1_000_000, "t1")

    place.look()

    assert place.live.spent.usd == 10.0
    assert "service tier odd" in str(place.live.reason)


# A day.


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield
    monkeypatch.undo()
    time.tzset()


def at_noon(ledger: Ledger, day: str = "2026-11-20") -> None:
    """Set the clock of the views to a noon in UTC."""
    ledger._db.executescript(
        f"""drop view if exists clock; drop table if exists clock;
        create table clock as select '{day}T12:00:00.000Z' as now,
        date('{day}T12:00', 'localtime') as today,
        strftime('%Y-%m-%dT%H:%M:%fZ', '{day}T12:00', 'localtime',
            'start of day', '+1 day', 'utc') as midnight,
        '{day}T11:59:00.000Z' as minute_ago"""
    )


def test_above_the_budget_of_the_day_nothing_is_started(ledger: Ledger) -> None:
    at_noon(ledger)
    first = session_of(ledger, accounts=used(100, 1.25))
    number = queue(ledger, first.session)
    budget.set_per_day("1.25", ledger)

    (waits,) = service.waiting(ledger, None, settings(ledger.home))
    assert (waits["id"], waits["why"]) == (number, "budget")
    assert waits["detail"] == "spent today $1.25 of $1.25"
    assert waits["until"] == budget.of_day(ledger)["until"]
    assert ledger.queue.candidates() == []
    with pytest.raises(NoSlotError, match=r"\(\$1\.25 of \$1\.25\): wait until 2026"):
        prepare(ledger, 5)

    budget.set_per_day("1.26", ledger)
    assert [each.prompt for each in ledger.queue.candidates()] == [number]
    budget.set_per_day("0", ledger)
    assert ledger.queue.candidates() == []
    budget.set_per_day("none", ledger)
    assert [each.prompt for each in ledger.queue.candidates()] == [number]


def test_the_next_day_has_a_budget_of_its_own(ledger: Ledger) -> None:
    first = session_of(ledger, accounts=used(100, 1.25))
    number = queue(ledger, first.session)
    budget.set_per_day("1", ledger)

    at_noon(ledger, "2026-11-21")

    assert budget.of_day(ledger)["spent_usd"] == 0
    assert [each.prompt for each in ledger.queue.candidates()] == [number]


def test_the_timer_looks_at_midnight_and_once_an_hour(ledger: Ledger) -> None:
    at_noon(ledger)
    queue(ledger, session_of(ledger, accounts=used(100, 1.25)).session)
    assert ledger.value("next_deadline") is None

    budget.set_per_day("1", ledger)

    assert ledger.value("next_deadline") == "2026-11-20T13:00:00.000Z"
    assert ledger.value("needs_timer")


@pytest.mark.parametrize(
    ("name", "day", "spent"),
    [
        ("UTC", "2026-11-20", 1.25),
        ("Asia/Tokyo", "2026-11-20", 1.25),
        # Noon in UTC is the next day there, and the run was on the day before.
        ("Pacific/Kiritimati", "2026-11-21", 0.0),
        ("America/Los_Angeles", "2026-11-20", 1.25),
    ],
)
@pytest.mark.usefixtures("zone")
def test_the_day_is_that_of_the_time_zone_now(
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    day: str,
    spent: float,
) -> None:
    session_of(ledger, accounts=used(100, 1.25), prepared_at=AT - timedelta(hours=1))
    monkeypatch.setenv("TZ", name)
    clock.renew_zone()
    at_noon(ledger)

    told = budget.of_day(ledger)

    assert (told["day"], told["spent_usd"]) == (day, spent)
    assert clock.parse_iso(told["until"]).astimezone().strftime("%H:%M") == "00:00"
    assert told["time_zone"].endswith(f"(UTC{datetime.now(UTC).astimezone():%z})")


def test_a_removed_run_and_a_later_price_count(ledger: Ledger) -> None:
    at_noon(ledger)
    first = session_of(ledger, accounts=used(100, None))
    assert budget.of_day(ledger)["spent_usd"] == 0
    assert budget.of_day(ledger)["unpriced"] == 0

    priced = replace(first, state=replace(first.state, accounts=used(100, 2.5)))
    with ledger.transaction():
        ledger.usage.record_run(priced)
    assert budget.of_day(ledger)["spent_usd"] == 2.5
    with ledger.transaction():
        ledger.change("remove_session", session=first.session)

    assert budget.of_day(ledger)["spent_usd"] == 2.5


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "much", "1,5"])
def test_what_is_no_amount_is_refused(ledger: Ledger, text: str) -> None:
    with pytest.raises(UsageError, match="USD-PER-DAY"):
        budget.set_per_day(text, ledger)


def test_the_terms_of_a_run_are_those_of_its_prompt(ledger: Ledger) -> None:
    """A retry of it has them too, and they leave the session's settings alone."""
    terms = Terms(max_tokens=100)
    first = session_of(ledger, Outcome.FAILED, terms=terms, codex=codex(model="a"))

    edits.retry(ledger, first.spec.prompt_id or 0, lambda _: b"Do it.")

    (waits,) = ledger.queue.waiting(first.session)
    assert read_own(waits.settings).terms == terms
    kept = ledger.sessions.get(first.session).settings
    assert kept is not None
    assert kept.codex.model == "a"
