from decimal import Decimal

import pytest

from parsers.accounting.prices import PriceUnknownError, Rates, from_table
from parsers.accounting.run import RunUsage, cost_of_run
from parsers.accounting.tokens import Usage, sum_usage
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
SOURCE = {"name": "prices.toml", "version": None, "date": None}


def rates_of(model: str) -> Rates:
    return from_table(TABLE, model)


def call(model: str | None, usage: Usage = MILLION) -> Call:
    return Call(at="", turn_id=None, root_turn_id=None, model=model, usage=usage)


def used(*calls: Call) -> RunUsage:
    total = sum_usage(each.usage for each in calls)
    return RunUsage(usage=total, source="rollout", calls=calls)


def test_each_call_is_priced_by_itself() -> None:
    both = cost_of_run(used(call("long"), call("long")), None, rates_of)

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

    assert cost_of_run(used(call("long", longer)), None, rates_of).usd == Decimal(
        "2.000002"
    )


def test_parts_are_grouped_by_model_when_there_are_several() -> None:
    block = cost_of_run(
        used(call("cheap"), call("dear"), call("cheap")), None, rates_of
    ).to_json()

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
    block = cost_of_run(run, None, rates_of).to_json()

    assert (block["usd"], block["subagents_usd"]) == (11.0, 10.0)


def test_a_sum_is_priced_as_short_requests_and_called_an_estimate() -> None:
    run = RunUsage(usage=sum_usage([MILLION] * 3), source="events")
    long = cost_of_run(run, Facts(kind="events", model="long"), rates_of)
    plain = cost_of_run(run, None, rates_of, model="cheap")

    assert long.usd == 3
    assert long.to_json()["estimate"] == (
        "no call is priced as a long one: only their sum is known"
    )
    assert plain.usd == 3
    assert plain.estimate is None


def test_a_run_that_called_no_model_costs_nothing() -> None:
    cost = cost_of_run(used(), Facts(kind="events"), rates_of)

    assert cost.usd == 0
    assert cost.to_json()["parts"] is None


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (used(call("novel")), "no price for the model 'novel': prices.toml does not"),
        (used(call("cheap"), call("novel")), "no price for the model 'novel'"),
        (used(call(None)), "neither the run's output nor its record names one"),
        (RunUsage(usage=MILLION, source="events"), "names one"),
        (RunUsage(reason="nobody knows"), "nobody knows"),
        (RunUsage(total_tokens=7, source="log", reason="only a total"), "only a total"),
    ],
)
def test_an_unknown_cost_is_null_with_a_reason(run: RunUsage, reason: str) -> None:
    cost = cost_of_run(run, None, rates_of)

    assert cost.usd is None
    assert cost.to_json()["usd"] is cost.to_json()["parts"] is None
    assert reason in str(cost.to_json()["reason"])


def test_a_cost_in_a_log_is_used_when_no_usage_is_known() -> None:
    facts = Facts(kind="log", cost_usd=0.5, model="cheap")
    cost = cost_of_run(RunUsage(reason="unknown"), facts, rates_of)

    assert cost.to_json() == {
        "usd": 0.5,
        "model": "cheap",
        "price_source": None,
        "parts": None,
        "estimate": "the figure that the log names",
    }


def test_the_error_of_the_price_table_has_the_models_name() -> None:
    with pytest.raises(PriceUnknownError) as caught:
        rates_of("novel")

    assert caught.value.model == "novel"


def test_the_cost_that_a_log_names_is_not_dropped() -> None:
    million = RunUsage(usage=MILLION, source="log")
    events = replace(million, source="events")
    named = Facts(kind="log", cost_usd=0.5)

    def usd(run: RunUsage, model: str) -> Decimal | None:
        return cost_of_run(run, named, rates_of, model=model).usd

    assert usd(million, "cheap") == usd(million, "none") == Decimal("0.5")
    assert usd(events, "none") == Decimal("0.5")
    assert (
        usd(events, "cheap") == cost_of_run(events, None, rates_of, model="cheap").usd
    )


def test_a_doubt_about_the_usage_is_one_about_the_cost() -> None:
    run = RunUsage(usage=MILLION, source="events", reason="thread total")

    assert cost_of_run(run, None, rates_of, model="cheap").estimate == "thread total"
