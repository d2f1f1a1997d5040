import json

from support.model_calls import asked

from runner.loopback import (
    Answer,
    Drop,
    FunctionCall,
    Message,
    Reasoning,
    Stall,
    StreamFailure,
    Usage,
    usage_of_call,
)
from runner.loopback.reply import Stream, events


def written(reply: Stream) -> list[dict[str, object]]:
    chunks = [chunk.decode() for chunk in events(reply, asked("x", "out"))]
    for chunk in chunks:
        first, second, *rest = chunk.split("\n")
        assert rest == ["", ""]
        kind = json.loads(second.removeprefix("data: "))["type"]
        assert first == f"event: {kind}"
    return [json.loads(chunk.split("\n")[1].removeprefix("data: ")) for chunk in chunks]


def test_an_answer_is_created_itemised_and_completed() -> None:
    answer = Answer(
        items=(Reasoning("r"), Message("m"), FunctionCall("tool", {"a": 1}, "space"))
    )

    created, *done, completed = written(answer)
    assert created == {"type": "response.created", "response": {"id": "resp_t1_2"}}
    items = [event["item"] for event in done]
    assert items[0] == {
        "type": "reasoning",
        "id": "rs_2_1",
        "summary": [{"type": "summary_text", "text": "r"}],
    }
    assert items[1] == {
        "type": "message",
        "id": "msg_2_2",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "m"}],
    }
    assert items[2] == {
        "type": "function_call",
        "id": "fc_2_3",
        "call_id": "call_2_3",
        "name": "tool",
        "arguments": '{"a": 1}',
        "namespace": "space",
    }
    assert completed["type"] == "response.completed"


def test_usage_is_written_with_its_parts() -> None:
    usage = Usage(
        input_tokens=10,
        cached_input_tokens=4,
        cache_write_input_tokens=3,
        output_tokens=7,
        reasoning_output_tokens=2,
    )

    *_, completed = written(Answer(items=(), usage=usage))
    response = completed["response"]
    assert isinstance(response, dict)
    assert response["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 17,
    }


def test_a_failed_stream_says_why_at_its_end() -> None:
    *_, last = written(StreamFailure(code="c", message="m"))

    assert last["type"] == "response.failed"


def test_a_broken_stream_has_no_end() -> None:
    kinds = [event["type"] for event in written(Drop(items=(Message("half"),)))]

    assert kinds == ["response.created", "response.output_item.done"]
    assert [event["type"] for event in written(Stall(seconds=1))] == kinds[:1]


def test_usage_differs_from_call_to_call_and_adds_up() -> None:
    assert usage_of_call(1) == Usage(
        input_tokens=1100,
        cached_input_tokens=510,
        output_tokens=57,
        reasoning_output_tokens=11,
    )
    sums = {
        sum(usage_of_call(n).input_tokens for n in calls)
        for calls in ((1, 2, 3), (1, 2), (2, 3), (1, 3), (1, 1, 2, 3), (1, 2, 3, 3))
    }
    assert len(sums) == 6
