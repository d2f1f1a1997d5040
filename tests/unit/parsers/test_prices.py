import contextlib
import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from itertools import product

import pytest
from genai_prices import Usage as LibraryUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from parsers import loose_json
from parsers.accounting import price_table, prices
from parsers.accounting.prices import Price, PriceSource, PriceUnknownError, Rates
from parsers.accounting.tokens import Usage

DAYS = [
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 8, 1, tzinfo=UTC),
    datetime(2026, 11, 20, 23, 59, tzinfo=UTC),
]
TODAY = DAYS[-1]
TIERS = ["", "flex", "priority"]
# From this day on the library has the prices of service tiers.
TIERS_FROM = datetime(2026, 10, 12, tzinfo=UTC)
MODELS = [
    "codex-mini-latest",
    "gpt-5-codex",
    "gpt-5.1-codex",
    "gpt-5.1-codex-max",
    "gpt-5.1-codex-mini",
    "gpt-5.2-codex",
    "gpt-5.3-codex",
    "gpt-5.5-codex",
    *(
        model.id
        for provider in get_snapshot().providers
        if provider.id == "openai"
        for model in provider.models
        if model.id.startswith(("gpt-5", "codex", "o3", "o4", "gpt-4.1"))
    ),
]
TABLE = """
[models."gpt-5.3-codex-spark"]
input = 1.75
cached_input = 0.175
cache_write = 2.1875
output = 14

[[models."gpt-5.3-codex-spark".tiers]]
above = 272_000
input = 3.5
output = 21

[models.plain]
input = 1
output = 2
"""


def look_up(model: str, at: datetime, tier: str = "") -> Rates:
    found, day = price_table.look_up(model), at.date().isoformat()
    version = loose_json.text(found["version"])
    source = PriceSource(name="genai-prices", version=version, date=day)
    return prices.rates_on(found["entries"], model, source, tier, str(found["id"]))


@pytest.mark.parametrize("model", MODELS)
def test_every_codex_model_costs_what_the_library_says(model: str) -> None:
    grid = product(
        (0, 1, 999, 272_000, 272_001, 900_000), (0, 0.6, 1), (0, 0.4), (0, 7)
    )
    times = [(day, "") for day in DAYS] + [(TODAY, tier) for tier in TIERS[1:]]
    rates = {each: look_up(model, *each) for each in times}
    for (size, cached_share, write_share, output), (day, tier) in product(grid, times):
        if rates[day, tier].estimate or "times" in str(rates[day, tier].source):
            continue
        cached = int(size * cached_share)
        written = int((size - cached) * write_share)
        theirs = calc_price(
            LibraryUsage(
                input_tokens=size,
                cache_read_tokens=cached,
                cache_write_tokens=written,
                output_tokens=output,
            ),
            model,
            provider_id="openai",
            genai_request_timestamp=day,
            price_context={"service_tier": tier} if tier else None,
        )
        usage = Usage(
            input_tokens=size,
            cached_input_tokens=cached,
            cache_write_input_tokens=written,
            output_tokens=output,
        )
        ours = prices.cost(usage, rates[day, tier])

        assert ours.total == theirs.total_price
        assert ours.output == theirs.output_price
        assert ours.input + ours.cached_input + ours.cache_write == theirs.input_price


def test_reasoning_is_part_of_the_output() -> None:
    rates = look_up("gpt-5-codex", TODAY)
    usage = Usage(
        input_tokens=1_000_000,
        cached_input_tokens=900_000,
        output_tokens=50_000,
        reasoning_output_tokens=49_000,
    )

    assert prices.cost(usage, rates).total == Decimal("0.7375")


def test_the_price_is_that_of_the_day() -> None:
    before, after = (look_up("gpt-5.6-luna", day) for day in DAYS[:2])

    assert before.input.base == 5 * after.input.base
    assert (before.source.date, after.source.date) == ("2026-01-01", "2026-08-01")
    assert after.source.name == "genai-prices"
    assert after.source.version


@pytest.mark.parametrize(
    "model", ["", "gpt-6", "gpt-5.3-codex-spark", "claude-opus-4-6"]
)
def test_a_model_without_a_price_has_a_reason_and_no_zero(model: str) -> None:
    with pytest.raises(PriceUnknownError, match=r"genai-prices .* does not know it"):
        look_up(model, TODAY)


def test_more_cached_and_written_tokens_than_input_are_not_billed() -> None:
    rates = look_up("gpt-5.6", TODAY)
    odd = Usage(input_tokens=100, cached_input_tokens=70, cache_write_input_tokens=50)
    even = Usage(input_tokens=100, cached_input_tokens=70, cache_write_input_tokens=30)

    assert prices.cost(odd, rates) == prices.cost(even, rates)
    assert prices.cost(Usage(cached_input_tokens=9), rates).total == 0
    assert prices.cost(Usage(input_tokens=-9), rates).total == 0


def test_a_users_table_adds_models() -> None:
    rates = prices.from_table(tomllib.loads(TABLE), "gpt-5.3-codex-spark", "2026-11-20")

    assert rates.input == Price(
        base=Decimal("1.75"), tiers=((272_000, Decimal("3.5")),)
    )
    assert rates.cached_input == Price(base=Decimal("0.175"))
    assert rates.cache_write == Price(base=Decimal("2.1875"))
    assert rates.source.to_json() == {
        "name": "prices.toml",
        "version": None,
        "date": "2026-11-20",
    }
    assert rates.starts == {272_000}


def test_prices_that_are_left_out_are_the_inputs() -> None:
    rates = prices.from_table(tomllib.loads(TABLE), "plain", "2026-11-20")
    usage = Usage(
        input_tokens=1_000_000,
        cached_input_tokens=500_000,
        cache_write_input_tokens=200_000,
        output_tokens=1_000_000,
    )

    assert not rates.starts
    assert prices.cost(usage, rates).total == 3


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (None, "does not name it"),
        ([], "does not name it"),
        ({"models": 7}, "does not name it"),
        ({"models": {"m": 7}}, "no input or no output price"),
        ({"models": {"m": {"input": 1}}}, "no input or no output price"),
        ({"models": {"m": {"input": "x", "output": 1}}}, "'x' is no price"),
        ({"models": {"m": {"input": True, "output": 1}}}, "True is no price"),
        ({"models": {"m": {"input": -1, "output": 1}}}, "-1 is no price"),
        ({"models": {"m": {"input": float("nan"), "output": 1}}}, "nan is no price"),
        (
            {"models": {"m": {"input": 1, "output": 1, "tiers": [{"input": 2}]}}},
            "a tier begins above None",
        ),
        (
            {"models": {"m": {"input": 1, "output": 1, "cached": 2}}},
            r"unknown key 'cached' \(known: input, cached_input, .*\)",
        ),
        (
            {"models": {"m": {"input": 1, "output": 1, "tiers": [{"over": 2}]}}},
            "unknown key 'over'",
        ),
        (
            {"models": {"m": {"input": 1, "output": 1, "from": "July"}}},
            "from = 'July' is no day",
        ),
        (
            {"models": {"m": {"input": 1, "output": 1, "tiers": 7}}},
            "tiers = 7 has a wrong type",
        ),
        (
            {"models": {"m": {"input": 1, "output": 1, "service_tiers": 0.5}}},
            "service_tiers = 0.5 has a wrong type",
        ),
        (
            {"models": {"other": {"input": 1, "output": 1, "aliases": "m"}}},
            "aliases = 'm' has a wrong type",
        ),
        (
            {"models": {"other": {"input": 1, "output": 1, "alias": ["m"]}}},
            "unknown key 'alias'",
        ),
        (
            {"models": {"m": [{"input": 1, "output": 1}, {"input": 2, "output": 1}]}},
            "two prices from 1970-01-01",
        ),
    ],
)
def test_a_damaged_table_says_what_is_wrong(table: object, reason: str) -> None:
    with pytest.raises(PriceUnknownError, match=reason):
        prices.from_table(table, "m", "2026-11-20")


def test_a_users_price_has_a_first_day_and_other_names() -> None:
    table = tomllib.loads("""
        [[models.m]]
        from = 2026-07-01
        input = 5
        output = 10
        aliases = ["m-latest"]

        [[models.m]]
        from = "2026-08-21"
        input = 4
        output = 8
    """)

    def base(model: str, day: str) -> Decimal:
        return prices.from_table(table, model, day).input.base

    assert [base("m", day) for day in ("2026-07-01", "2026-08-20")] == [5, 5]
    assert base("m-latest", "2026-08-21") == 4
    with pytest.raises(prices.NotInTableError, match="has none for 2026-06-30"):
        base("m", "2026-06-30")


def test_a_service_tier_has_a_factor_or_prices_of_its_own() -> None:
    table = {
        "models": {
            "m": {
                "input": 2,
                "output": 8,
                "service_tiers": {"flex": 0.5, "priority": {"input": 5, "output": 9}},
            },
            "gpt-5.5": {"input": 2, "output": 8},
        }
    }

    def rates(model: str, tier: str) -> Rates:
        return prices.from_table(table, model, "2026-11-20", tier)

    flex, fast = rates("m", "flex"), rates("m", "fast")
    bases = [
        each.base for rates in (flex, fast) for each in (rates.input, rates.output)
    ]
    assert [*map(int, bases)] == [1, 4, 5, 9]
    assert (fast.source.service_tier, fast.estimate) == ("priority", None)
    assert rates("gpt-5.5", "priority").input.base == 5  # the factor of OpenAI's list


@pytest.mark.parametrize("tier", TIERS[1:])
@pytest.mark.parametrize("model", MODELS)
def test_before_the_library_has_a_tier_the_factor_is_the_same(
    model: str, tier: str
) -> None:
    after = look_up(model, TIERS_FROM, tier)
    before = look_up(model, DAYS[1], tier)
    factors = [
        rates.output.base / look_up(model, day).output.base
        for rates, day in ((before, DAYS[1]), (after, TIERS_FROM))
    ]

    assert before.estimate == after.estimate
    assert factors[0] == pytest.approx(factors[1], rel=Decimal("1e-6"))


def test_a_tier_without_a_price_is_an_estimate_at_the_standard_price() -> None:
    rates = look_up("gpt-5-pro", TODAY, "priority")

    assert rates.input == look_up("gpt-5-pro", TODAY).input
    assert rates.estimate == (
        "no price of gpt-5-pro for the service tier priority: the standard price"
    )


def test_a_fast_call_of_gpt_5_5_costs_two_and_a_half_times_as_much() -> None:
    for day in DAYS:
        fast, standard = look_up("gpt-5.5", day, "fast"), look_up("gpt-5.5", day)

        assert fast.input.base == standard.input.base * Decimal("2.5")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["from", "input", "output", "service_tiers", "flex", "tiers", "above"]
            ),
            inner,
        )
    ),
    max_leaves=8,
)


@given(JSON_VALUES, st.sampled_from(TIERS))
def test_any_json_value_gives_rates_or_their_error(value: object, tier: str) -> None:
    with contextlib.suppress(PriceUnknownError):
        found = prices.from_table({"models": {"m": value}}, "m", "2026-11-20", tier)
        assert isinstance(found, Rates)
    assert list(prices.mistakes({"models": {"m": value}}).values()) in ([], [["m"]])
