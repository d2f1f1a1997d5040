"""A record of a model call may hold anything: nothing of it raises."""

import pytest

from parsers.calls import CallCounter

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
