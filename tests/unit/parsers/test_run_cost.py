import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from parsers.accounting.cost import (
    Charge,
    RunCost,
    billed,
    charges_in,
    cost_of_run,
    priced,
)
from parsers.accounting.prices import PriceUnknownError, Rates, from_table
from parsers.accounting.run import RunUsage
from parsers.accounting.tokens import Usage, quarter_of, sum_usage
from parsers.facts import Facts
from parsers.rollouts.thread import Call, Rollout
from parsers.struct import replace

TABLE = {
    "models": {
        "cheap": {"input": 1, "cached_input": 0.1, "output": 10},
        "dear": {"input": 10, "output": 100},
        "long": {
            "input": 1,
            "output": 10,
            "tiers": [{"above": 1_000_000, "input": 2, "output": 20}],
        },
    }
}
MILLION = Usage(input_tokens=1_000_000, total_tokens=1_000_000)
SOURCE = {"name": "prices.toml", "version": None, "date": "2026-11-20"}
AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def rates_of(model: str, day: str, tier: str) -> Rates:
    return from_table(TABLE, model, day, tier)


def blank(model: str | None = None) -> Charge:
    return Charge(model=model or "", quarter=quarter_of(AT))


def price(
    run: RunUsage, facts: Facts | None = None, model: str | None = None
) -> RunCost:
    return cost_of_run(run, facts, rates_of, blank(model))


def call(
    model: str | None, usage: Usage = MILLION, at: str = "", tier: str | None = None
) -> Call:
    return Call(
        at=at, turn_id=None, root_turn_id=None, model=model, usage=usage, tier=tier
    )


def used(*calls: Call) -> RunUsage:
    total = sum_usage(each.usage for each in calls)
    return RunUsage(usage=total, source="rollout", calls=calls)


def test_each_call_is_priced_by_itself() -> None:
    both = price(used(call("long"), call("long")))

    assert both.usd == 2  # as one request they would be in the tier, and cost 4
    assert both.to_json() == {
        "usd": 2.0,
        "model": "long",
        "price_source": SOURCE,
        "parts": {
            "input": 2.0,
            "cached_input": 0.0,
            "cache_write": 0.0,
            "output": 0.0,
        },
    }


def test_a_long_call_has_its_tier() -> None:
    longer = Usage(input_tokens=1_000_001)

    assert price(used(call("long", longer))).usd == Decimal("2.000002")


def test_parts_are_grouped_by_model_when_there_are_several() -> None:
    block = price(used(call("cheap"), call("dear"), call("cheap"))).to_json()

    assert block["usd"] == 12.0
    assert block["model"] == "cheap"
    assert block["price_source"] == SOURCE
    assert isinstance(block["parts"], dict)
    assert block["parts"].keys() == {"cheap", "dear"}
    assert block["parts"]["dear"] == {
        "input": 10.0,
        "cached_input": 0.0,
        "cache_write": 0.0,
        "output": 0.0,
        "price_source": SOURCE,
    }


def test_sub_agents_are_priced_too_and_shown_apart() -> None:
    agent = Rollout(thread_id="t", calls=(call("dear"),))
    run = RunUsage(
        usage=MILLION, source="rollout", calls=(call("cheap"),), subagents=(agent,)
    )
    block = price(run).to_json()

    assert (block["usd"], block["subagents_usd"]) == (11.0, 10.0)


def test_sub_agents_may_cost_nothing() -> None:
    """A price of 0 is that of a local model."""
    table = {"models": {"local": {"input": 0, "output": 0}}}
    agent = Rollout(thread_id="t", calls=(call("local"),))
    run = replace(used(call("local")), subagents=(agent,))

    found = cost_of_run(
        run, None, lambda model, day, tier: from_table(table, model, day, tier), blank()
    )

    assert json.loads(json.dumps(found.to_json()))["subagents_usd"] == 0


def test_a_sum_is_priced_as_short_requests_and_called_an_estimate() -> None:
    run = RunUsage(usage=sum_usage([MILLION] * 3), source="events")
    long = price(run, Facts(kind="events", model="long"))
    plain = price(run, model="cheap")

    assert long.usd == 3
    assert long.to_json()["estimate"] == (
        "no call is priced as a long one: only their sum is known"
    )
    assert plain.usd == 3
    assert plain.estimate is None


def test_a_run_that_called_no_model_costs_nothing() -> None:
    cost = price(used(), Facts(kind="events"))

    assert cost.usd == 0
    assert cost.to_json()["parts"] is None


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (used(call("novel")), "no price for the model 'novel': prices.toml does not"),
        (used(call(None)), "for an unknown model: neither the run's output nor"),
        (RunUsage(usage=MILLION, source="events"), "names one"),
        (RunUsage(reason="nobody knows"), "nobody knows"),
        (RunUsage(total_tokens=7, source="log", reason="only a total"), "only a total"),
    ],
)
def test_an_unknown_cost_is_null_with_a_reason(run: RunUsage, reason: str) -> None:
    cost = price(run)

    assert cost.usd is None
    assert cost.to_json()["usd"] is cost.to_json()["parts"] is None
    assert reason in str(cost.to_json()["reason"])


def test_a_cost_in_a_log_is_used_when_no_usage_is_known() -> None:
    facts = Facts(kind="log", cost_usd=0.5, model="cheap")
    cost = price(RunUsage(reason="unknown"), facts)

    assert cost.to_json() == {
        "usd": 0.5,
        "model": "cheap",
        "price_source": None,
        "parts": None,
        "estimate": "the figure that the log names",
    }


def test_the_error_of_the_price_table_has_the_models_name() -> None:
    with pytest.raises(PriceUnknownError) as caught:
        rates_of("novel", "2026-11-20", "")

    assert caught.value.model == "novel"


def test_one_call_without_a_price_leaves_a_floor() -> None:
    block = price(used(call("cheap"), call("novel"))).to_json()

    assert (block["usd"], block["unpriced"]) == (1.0, 1)
    assert "no price for the model 'novel'" in str(block["reason"])


def test_a_call_has_the_price_of_its_own_day_and_tier() -> None:
    table = {
        "models": {
            "m": [
                {"input": 10, "output": 1, "service_tiers": {"priority": 2.5}},
                {"from": "2026-08-21", "input": 8, "output": 1},
            ]
        }
    }

    def rates_in(model: str, day: str, tier: str) -> Rates:
        return from_table(table, model, day, tier)

    calls = (
        call("m", at="2026-08-20T23:59:59.9Z"),
        call("m", at="2026-08-21T02:00:00+02:00"),
        call("m", at="2026-08-20T12:00:00Z", tier="priority"),
    )
    cost = cost_of_run(used(*calls), None, rates_in, blank())

    block = cost.to_json()
    assert block["usd"] == 10 + 8 + 25
    assert isinstance(block["parts"], dict)
    assert block["parts"]["m"]["price_source"] == {
        **SOURCE,
        "date": "2026-08-20/2026-08-21",
    }
    assert block["parts"]["m (priority)"]["input"] == 25


def test_a_call_is_billed_as_the_model_that_answered() -> None:
    facts = Facts(
        kind="events",
        reroutes={"dear": "cheap"},
        omitted_tiers=frozenset({("long", "priority")}),
    )
    calls = (call("dear"), call("long"), call("dear", tier=""))

    own = billed(Rollout(calls=calls), "fast", facts)
    agents = billed(Rollout(calls=calls), "fast")

    assert [(each.model, each.tier) for each in own.calls] == [
        ("cheap", "priority"),
        ("long", ""),
        ("cheap", ""),
    ]
    assert [each.model for each in agents.calls] == ["dear", "long", "dear"]


def test_a_reroute_in_the_middle_of_a_turn_is_an_estimate() -> None:
    facts = Facts(
        kind="events",
        model="dear",
        reroutes={"dear": "cheap"},
        has_late_reroute=True,
    )
    cost = price(RunUsage(usage=MILLION, source="events"), facts)

    assert cost.usd == 1
    assert cost.model == "cheap"
    assert "another model answered" in str(cost.estimate)


def test_what_has_no_price_is_priced_later_and_what_has_one_stays() -> None:
    longer = Usage(input_tokens=1_000_001)
    first = price(used(call("cheap"), call("new"), call("new", longer)))
    told = {"charges": [each.to_json() for each in first.charges]}
    table = {"models": {**TABLE["models"], "new": TABLE["models"]["long"]}}
    table["models"]["cheap"] = {"input": 7, "output": 7}

    def rates_now(model: str, day: str, tier: str) -> Rates:
        return from_table(table, model, day, tier)

    later = priced(charges_in(told), rates_now)
    forced = priced(charges_in(told), rates_now, is_forced=True)

    assert charges_in(told) == [*first.charges]
    assert first.usd == 1
    assert first.unpriced == 2
    assert later.usd == 1 + 1 + Decimal("2.000002")
    assert (later.unpriced, later.reason) == (0, None)
    assert forced.usd == 7 + 1 + Decimal("2.000002")


def test_the_cost_that_a_log_names_is_not_dropped() -> None:
    million = RunUsage(usage=MILLION, source="log")
    events = replace(million, source="events")
    named = Facts(kind="log", cost_usd=0.5)

    def usd(run: RunUsage, model: str) -> Decimal | None:
        return price(run, named, model).usd

    assert usd(million, "cheap") == usd(million, "none") == Decimal("0.5")
    assert usd(events, "none") == Decimal("0.5")
    assert usd(events, "cheap") == price(events, model="cheap").usd


def test_a_doubt_about_the_usage_is_one_about_the_cost() -> None:
    run = RunUsage(usage=MILLION, source="events", reason="thread total")

    assert price(run, model="cheap").estimate == "thread total"
