"""Each model call is counted once, whatever its record holds."""

import pytest

from parsers.rollouts.model_calls import CallCounter

USAGE = {"input_tokens": 3, "output_tokens": 2}


def test_a_response_counts_once() -> None:
    counter = CallCounter()

    found = [
        counter.take_record({"response_id": "resp_1", "usage": USAGE}) for _ in "ab"
    ]

    assert [used.total_tokens if used else None for used in found] == [5, None]


@pytest.mark.parametrize("nonsense", [["resp_1"], {"id": "resp_1"}, 7, None])
def test_a_response_whose_id_is_no_text_counts_each_time(nonsense: object) -> None:
    counter = CallCounter()

    found = [
        counter.take_record({"response_id": nonsense, "usage": USAGE}) for _ in "ab"
    ]

    assert [used.total_tokens if used else None for used in found] == [5, 5]


def test_an_id_that_a_provider_uses_again_is_another_call() -> None:
    counter = CallCounter()
    totals = [1, 2, 1, 2, 3]  # the third and fourth are repeats

    found = [
        counter.take_record(
            {
                "response_id": "resp_1",
                "usage": USAGE,
                "thread_token_usage": times(total),
            }
        )
        for total in totals
    ]

    assert [used.total_tokens if used else None for used in found] == [
        *(5, 5, None, None, 5)
    ]


def times(number: int) -> dict[str, int]:
    return {name: figure * number for name, figure in USAGE.items()}
