import contextlib
import json
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

from parsers.accounting import prices
from parsers.accounting.prices import Price, PriceUnknownError, Rates
from parsers.accounting.tokens import Usage

DAYS = [
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 8, 1, tzinfo=UTC),
    datetime(2026, 11, 20, 23, 59, tzinfo=UTC),
]
TODAY = DAYS[-1]
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


@pytest.mark.parametrize("model", MODELS)
def test_every_codex_model_costs_what_the_library_says(model: str) -> None:
    grid = product(
        (0, 1, 999, 272_000, 272_001, 900_000), (0, 0.6, 1), (0, 0.4), (0, 7)
    )
    for (size, cached_share, write_share, output), day in product(grid, DAYS):
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
        )
        usage = Usage(
            input_tokens=size,
            cached_input_tokens=cached,
            cache_write_input_tokens=written,
            output_tokens=output,
        )
        ours = prices.cost(usage, prices.look_up(model, day))

        assert ours.total == theirs.total_price
        assert ours.output == theirs.output_price
        assert ours.input + ours.cached_input + ours.cache_write == theirs.input_price


def test_reasoning_is_part_of_the_output() -> None:
    rates = prices.look_up("gpt-5-codex", TODAY)
    usage = Usage(
        input_tokens=1_000_000,
        cached_input_tokens=900_000,
        output_tokens=50_000,
        reasoning_output_tokens=49_000,
    )

    assert prices.cost(usage, rates).total == Decimal("0.7375")


def test_the_price_is_that_of_the_day() -> None:
    before, after = (prices.look_up("gpt-5.6-luna", day) for day in DAYS[:2])

    assert before.input.base == 5 * after.input.base
    assert (before.source.date, after.source.date) == ("2026-01-01", "2026-08-01")
    assert after.source.name == "genai-prices"
    assert after.source.version


@pytest.mark.parametrize(
    "model", ["", "gpt-6", "gpt-5.3-codex-spark", "claude-opus-4-6"]
)
def test_a_model_without_a_price_has_a_reason_and_no_zero(model: str) -> None:
    with pytest.raises(PriceUnknownError, match=r"genai-prices .* does not know it"):
        prices.look_up(model, TODAY)


def test_more_cached_and_written_tokens_than_input_are_not_billed() -> None:
    rates = prices.look_up("gpt-5.6", TODAY)
    odd = Usage(input_tokens=100, cached_input_tokens=70, cache_write_input_tokens=50)
    even = Usage(input_tokens=100, cached_input_tokens=70, cache_write_input_tokens=30)

    assert prices.cost(odd, rates) == prices.cost(even, rates)
    assert prices.cost(Usage(cached_input_tokens=9), rates).total == 0
    assert prices.cost(Usage(input_tokens=-9), rates).total == 0


def test_a_users_table_adds_models() -> None:
    rates = prices.from_table(
        tomllib.loads(TABLE), "gpt-5.3-codex-spark", date="2026-11-20"
    )

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
    assert rates.has_tiers
    assert not rates.without_tiers().has_tiers


def test_prices_that_are_left_out_are_the_inputs() -> None:
    rates = prices.from_table(tomllib.loads(TABLE), "plain")
    usage = Usage(
        input_tokens=1_000_000,
        cached_input_tokens=500_000,
        cache_write_input_tokens=200_000,
        output_tokens=1_000_000,
    )

    assert not rates.has_tiers
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
    ],
)
def test_a_damaged_table_says_what_is_wrong(table: object, reason: str) -> None:
    with pytest.raises(PriceUnknownError, match=reason):
        prices.from_table(table, "m")


@pytest.mark.parametrize("model", ["gpt-5.6", "gpt-5.1-codex", "gpt-5-pro"])
def test_rates_are_kept_without_loss(model: str) -> None:
    rates = prices.look_up(model, TODAY)

    assert prices.rates_from_json(json.loads(json.dumps(rates.to_json()))) == rates


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["model", "input", "output", "base", "tiers", "above", "source"]
            ),
            inner,
        )
    ),
    max_leaves=8,
)


@given(JSON_VALUES)
def test_any_json_value_gives_rates_or_their_error(value: object) -> None:
    with contextlib.suppress(PriceUnknownError):
        assert isinstance(prices.rates_from_json(value), Rates)
    with contextlib.suppress(PriceUnknownError):
        assert isinstance(prices.from_table({"models": {"m": value}}, "m"), Rates)
