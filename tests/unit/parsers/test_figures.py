import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.accounting.tokens import PARTS, Usage
from parsers.exec_events.transcript import render_tokens
from parsers.text_logs import figures


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7,200", 7200),
        ("7.200", 7200),
        ("1 234", 1234),
        ("1\u202f234\u202f567", 1234567),
        ("1’234", 1234),
        ("12", 12),
        ("1.2k", None),
        ("1.5", None),
        ("12,34", None),
        ("-3", None),
        ("", None),
    ],
)
def test_counts_have_the_separators_of_any_locale(
    text: str, expected: int | None
) -> None:
    assert figures.count(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tokens used", (True, None)),
        ("Tokens used: 7,200", (True, 7200)),
        ("tokens used 9", (True, 9)),
        ("[2025-09-22T19:02:11] tokens used: 1,234", (True, 1234)),
        ("I saw 3 tokens used 5 times", (False, None)),
        ("tokens used: 1.2k", (False, None)),
        ("tokens used up", (False, None)),
    ],
)
def test_codexs_label_is_a_line_of_its_own(
    text: str, expected: tuple[bool, int | None]
) -> None:
    assert figures.tokens_used(text) == expected


def test_the_interactive_codexs_last_line_names_the_parts() -> None:
    text = (
        "Token usage: total=1,234 input=900 (+ 5,000 cached) output=334 (reasoning 120)"
    )

    usage = Usage(
        input_tokens=5900,
        cached_input_tokens=5000,
        output_tokens=334,
        reasoning_output_tokens=120,
        total_tokens=6234,
    )
    assert figures.token_usage(text) == (usage, False)
    assert figures.token_usage("Token usage: total=3 input=1 output=2") == (
        Usage(input_tokens=1, output_tokens=2, total_tokens=3),
        False,
    )
    assert figures.token_usage(f"it said {text}") == (None, False)


def test_this_suites_line_has_cached_input_in_its_total() -> None:
    usage = Usage(
        input_tokens=5900, cached_input_tokens=5000, output_tokens=9, total_tokens=5909
    )
    for sign in ("", "≥ "):
        *_, total, line = render_tokens(usage, sign=sign).splitlines()

        assert total == f"{sign}5,909"
        assert line.startswith(f"Token usage: total={total} input=5,900 (5,000 cached)")
        assert figures.token_usage(line) == (usage, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("input_tokens: 5", {"input_tokens": 5}),
        ("cached_input_tokens: 999", {"cached_input_tokens": 999}),
        ("output_tokens: 5", {"output_tokens": 5}),
        ("reasoning_output_tokens: 77", {"reasoning_output_tokens": 77}),
        ("Input tokens = 1,234", {"input_tokens": 1234}),
        ("prompt_tokens: 3", {"input_tokens": 3}),
        ("completion_tokens=4", {"output_tokens": 4}),
        ('  "output_tokens": 6,', {"output_tokens": 6}),
        (
            "input_tokens=5 output_tokens=6, total_tokens=11",
            {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11},
        ),
        ("in=12 out=34 tok", {"input_tokens": 12, "output_tokens": 34}),
        ("in=12 tok out=34 tok", {"input_tokens": 12, "output_tokens": 34}),
        (
            "done, input = 1,200 tokens, output = 7 tokens",
            {
                "input_tokens": 1200,
                "output_tokens": 7,
            },
        ),
        (
            '{"usage":{"input_tokens":9,"cached_input_tokens":8,"output_tokens":7}}',
            {"input_tokens": 9, "cached_input_tokens": 8, "output_tokens": 7},
        ),
        ('{"prompt_tokens": 3, "model": "x"}', {"input_tokens": 3}),
        ("input_tokens: 1.2k", {}),
        ("total_tokens: 8 tests", {}),
        ("the input_tokens: 5", {}),
        ("{broken", {}),
        ("", {}),
    ],
)
def test_named_figures_are_a_line_of_their_own(
    text: str, expected: dict[str, int]
) -> None:
    assert figures.parts(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Cost : 1,234.50", 1234.5),
        ('"cost_usd": 0.5', 0.5),
        ("total_cost_usd: 2", 2.0),
        ("cost: .5", 0.5),
        ("cost=$0.0123", 0.0123),
        ("estimated_cost_usd=3", 3.0),
        ("Total cost: $1.25 USD", 1.25),
        ("usd: 4", 4.0),
        ('{"type":"result","total_cost_usd":0.25}', 0.25),
        ("the cost: 9 apples", None),
        ("cost: 9 apples", None),
        ("cost:", None),
        ("cost: 1.2.3", None),
        ("", None),
    ],
)
def test_a_cost_is_a_line_of_its_own(text: str, expected: float | None) -> None:
    assert figures.cost(text) == expected


@pytest.mark.parametrize(
    "text", ["cost: " + "9" * 400, '{"cost": 1e999}', '{"cost": NaN}']
)
def test_a_cost_is_finite(text: str) -> None:
    assert figures.cost(text) is None


TEXTS = st.text() | st.text("0123456789., :='$\u202f\"{}")
BEGINNINGS = st.sampled_from(
    [
        *("", "{", "cost: ", "usd=$", '{"cost": ', "tokens used ", "tokens used: "),
        *("input_tokens: ", "in=1 out=", '{"output_tokens": ', '{"usage": {"total'),
        "Token usage: total=1 input=2 output=",
    ]
)


@given(BEGINNINGS, TEXTS)
def test_any_text_gives_bounded_figures_or_none(beginning: str, text: str) -> None:
    line = beginning + text
    is_label, used = figures.tokens_used(line)
    usage, _ = figures.token_usage(line)
    parts = figures.parts(line)
    cost = figures.cost(line)

    digits = "".join(char for char in line if char in "0123456789")
    assert figures.count(line) in {None, int(digits or "0")}
    assert used is None or (is_label and 0 <= used < 10**18)
    assert usage is None or not usage.is_negative
    assert usage is None or usage.total_tokens == (
        usage.input_tokens + usage.output_tokens
    )
    assert parts.keys() <= set(PARTS)
    assert all(abs(figure) < 2**63 for figure in parts.values())
    assert cost is None or math.isfinite(cost)
    assert usage is None or not (is_label or parts or cost)


MANY = " " * 60_000


@pytest.mark.parametrize(
    "text", [f"Cost:{MANY}x", f"Cost: $1{MANY}x", f"in=3{MANY}x", f"in=3 tok{MANY}x"]
)
def test_a_line_of_spaces_takes_linear_time(text: str) -> None:
    assert figures.cost(text) is None
    assert figures.parts(text) == {}
