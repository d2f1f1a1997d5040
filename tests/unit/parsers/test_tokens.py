import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.accounting.tokens import PARTS, Usage, read_usage, sum_usage

FIGURES = st.builds(Usage, **{part: st.integers(0, 10**12) for part in PARTS})
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(PARTS), inner),
    max_leaves=12,
)


@given(FIGURES, FIGURES, FIGURES)
def test_figures_add_up_in_any_order(one: Usage, two: Usage, three: Usage) -> None:
    assert one + two == two + one
    assert (one + two) + three == one + (two + three)
    assert one + Usage() == one
    assert sum_usage([one, two, three]) == three + two + one


@given(FIGURES, FIGURES)
def test_a_difference_takes_back_what_was_added(one: Usage, two: Usage) -> None:
    assert (one + two) - two == one
    assert (one - one) == Usage()


def test_a_difference_across_a_restart_is_negative() -> None:
    assert (Usage(input_tokens=1) - Usage(input_tokens=2)).is_negative
    assert not (Usage(input_tokens=2) - Usage(input_tokens=2)).is_negative


@given(FIGURES)
def test_what_was_written_is_read_back(usage: Usage) -> None:
    assert read_usage(json.loads(json.dumps(usage.to_json()))) == usage


@given(JSON_VALUES)
def test_any_json_value_gives_a_usage_of_whole_positive_figures_or_none(
    value: object,
) -> None:
    usage = read_usage(value)

    assert usage is None or not usage.is_negative


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ([], None),
        ({}, None),
        ({"input_tokens": None}, None),
        ({"input_tokens": True}, None),
        ({"input_tokens": "12"}, Usage(input_tokens=12, total_tokens=12)),
        ({"input_tokens": 12.0}, Usage(input_tokens=12, total_tokens=12)),
        ({"input_tokens": 12.5}, None),
        ({"output_tokens": -3}, Usage()),
        ({"input_tokens": 2**63}, None),
        ({"input_tokens": float("nan")}, None),
        (
            {"input_tokens": 5, "output_tokens": 2, "total_tokens": 9},
            Usage(input_tokens=5, output_tokens=2, total_tokens=9),
        ),
    ],
)
def test_parts_that_are_nonsense_count_nothing(
    value: object, expected: Usage | None
) -> None:
    assert read_usage(value) == expected
