import json

import pytest
from support.model_calls import assistant, call, output, request_of, user

from runner.loopback.request import MalformedRequestError, decode

CONTEXT = "<environment_context>\n<cwd>/x</cwd></environment_context>"


def test_the_prompt_is_the_last_thing_a_person_said() -> None:
    request = request_of(
        user(CONTEXT), user("first"), assistant("one"), user(CONTEXT), user("second")
    )

    assert request.prompt == "second"


@pytest.mark.parametrize(
    "injected",
    [
        CONTEXT,
        "<subagent_notification>\n{}\n</subagent_notification>",
        "<turn_aborted>\nx\n</turn_aborted>",
        "# AGENTS.md instructions for /repo",
    ],
)
def test_what_codex_says_in_the_users_name_is_no_prompt(injected: str) -> None:
    assert request_of(user("task"), call(), user(injected)).prompt == "task"


def test_a_prompt_may_begin_with_a_tag_of_its_own() -> None:
    assert request_of(user("<task>do it</task>")).prompt == "<task>do it</task>"


def test_outputs_are_those_since_the_prompt() -> None:
    request = request_of(
        user("a"), call(1), output("old", 1), user("b"), call(2), output("new", 2)
    )

    assert [(o.call_id, o.text) for o in request.outputs] == [("call_2", "new")]


def test_an_output_in_parts_is_joined() -> None:
    parts: list[object] = [{"type": "input_text", "text": "a"}, {"text": "b"}, 3]
    request = request_of(
        user("x"),
        {"type": "function_call_output", "call_id": "c", "output": parts},
    )

    assert request.outputs[0].text == "ab"


@pytest.mark.parametrize(
    ("items", "number"),
    [
        ([user("a")], 1),
        ([user("a"), call(), output("x")], 2),
        ([user("a"), call(1), call(2), output("x", 1), output("y", 2)], 2),
        ([user("a"), assistant("I look"), call(), output("x")], 2),
        ([user("a"), assistant("done"), user("b")], 2),
        ([user("a"), call(), output("x"), assistant("done"), user("b")], 3),
    ],
)
def test_calls_are_counted_by_the_replies_in_the_history(
    items: list[dict[str, object]], number: int
) -> None:
    assert request_of(*items).call_number == number


def test_the_thread_is_named_by_its_header_or_by_the_metadata() -> None:
    metadata = {"x-codex-turn-metadata": json.dumps({"thread_id": "t2"})}

    assert request_of(user("x"), headers={"thread-id": "t1"}).thread_id == "t1"
    assert request_of(user("x"), headers=metadata).thread_id == "t2"
    assert request_of(user("x"), headers={"other": "x"}).thread_id == "unknown"


def test_broken_metadata_is_no_metadata() -> None:
    headers = {"x-codex-turn-metadata": "{oops"}

    assert request_of(user("x"), headers=headers).turn == {}


def test_a_parent_is_known_by_its_header() -> None:
    headers = {"x-codex-parent-thread-id": "p"}

    assert request_of(user("x"), headers=headers).parent_thread_id == "p"
    assert request_of(user("x")).parent_thread_id is None


def test_input_may_be_a_plain_text() -> None:
    assert decode(b'{"model": "m", "input": "hello"}', {}).prompt == "hello"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"3", b"\xff\xfe\x00"])
def test_a_body_that_is_no_object_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedRequestError):
        decode(body, {})


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"input": 3, "tools": 4}', b'{"input": [1, null, {"role": "user"}]}'],
)
def test_strange_fields_are_borne(body: bytes) -> None:
    assert decode(body, {}).prompt == ""
