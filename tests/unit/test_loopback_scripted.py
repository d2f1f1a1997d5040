import json

import pytest
from support.model_calls import asked, request_of, user

from runner.loopback import (
    Answer,
    Delay,
    Drop,
    FunctionCall,
    HttpFailure,
    Message,
    Reasoning,
    Stall,
    StreamFailure,
    Usage,
    demo,
    scripted,
)
from runner.loopback.reply import Item, Reply
from runner.loopback.scripted import directives

RUNNING = "Chunk ID: 1\nProcess running with session ID 77\nOutput:\n"
ENDED = "Chunk ID: 2\nProcess exited with code 0\nOutput:\n"


def items(reply: Reply) -> tuple[Item, ...]:
    assert isinstance(reply, Answer)
    return reply.items


def only_call(reply: Reply) -> FunctionCall:
    (call,) = items(reply)
    assert isinstance(call, FunctionCall)
    return call


def test_directives_are_found_at_the_start_of_lines_only() -> None:
    prompt = "Please run: x\n run: y\nrun: z\ndrop\nrunner: no\nsay:hi\ndropped"

    found = [(d.name, d.text) for d in directives(prompt)]
    assert found == [("run", "z"), ("drop", ""), ("say", "hi")]


def test_a_prompt_without_directives_is_answered() -> None:
    assert items(scripted(asked("Hello\nthere"))) == (Message("Done: Hello"),)


def test_a_request_without_tools_only_wants_a_title() -> None:
    request = request_of(user("Make a title for: \nrun: rm x"), tools=())

    assert items(scripted(request)) == (Message("Loopback"),)


def test_a_command_is_called_and_then_done() -> None:
    call = only_call(scripted(asked("run: echo hi")))

    assert call.name == "exec_command"
    assert call.arguments["cmd"] == "echo hi"
    assert items(scripted(asked("run: echo hi\nsay: ok", ENDED))) == (Message("ok"),)


def test_a_command_that_still_runs_is_polled() -> None:
    call = only_call(scripted(asked("run: sleep 99", RUNNING)))

    assert call.name == "write_stdin"
    assert call.arguments["session_id"] == 77
    again = only_call(scripted(asked("run: sleep 99", RUNNING, RUNNING)))
    assert again == call
    done = scripted(asked("run: sleep 99\nsay: ok", RUNNING, ENDED))
    assert items(done) == (Message("ok"),)


def test_a_started_command_is_left_alone() -> None:
    reply = scripted(asked("start: sleep 99\nsay: ok", RUNNING))

    assert items(reply) == (Message("ok"),)


def test_what_is_said_before_a_command_goes_with_its_first_call() -> None:
    prompt = "say: I look\nthink: hm\nrun: ls"

    first = items(scripted(asked(prompt)))
    assert first[:2] == (Message("I look"), Reasoning("hm"))
    assert len(items(scripted(asked(prompt, RUNNING)))) == 1


def test_several_calls_are_made_one_by_one() -> None:
    assert only_call(scripted(asked("calls: 2"))).arguments["cmd"] == "echo call 1 of 2"
    second = only_call(scripted(asked("calls: 2", "x")))
    assert second.arguments["cmd"] == "echo call 2 of 2"
    assert items(scripted(asked("calls: 2\nsay: ok", "x", "y"))) == (Message("ok"),)


def test_several_calls_are_made_together() -> None:
    assert len(items(scripted(asked("together: 3")))) == 3
    done = scripted(asked("together: 3\nsay: ok", "x", "y", "z"))
    assert items(done) == (Message("ok"),)


def test_a_file_is_added_by_apply_patch() -> None:
    call = only_call(scripted(asked(r"patch: a/b.txt one\ntwo")))

    cmd = str(call.arguments["cmd"])
    assert cmd.startswith("apply_patch <<'EOF'\n")
    assert "*** Add File: a/b.txt\n+one\n+two\n*** End Patch" in cmd


def test_a_sub_agent_is_spawned_waited_for_and_done() -> None:
    spawned = json.dumps({"agent_id": "a1"})
    waited, still = json.dumps({"status": {}}), json.dumps({"timed_out": True})
    prompt = r"spawn: run: ls\nsay: sub" + "\nsay: ok"

    call = only_call(scripted(asked(prompt)))
    assert (call.name, call.namespace) == ("spawn_agent", "multi_agent_v1")
    assert call.arguments == {"message": "run: ls\nsay: sub"}
    wait = only_call(scripted(asked(prompt, spawned)))
    assert (wait.name, wait.arguments) == ("wait_agent", {"targets": ["a1"]})
    assert only_call(scripted(asked(prompt, spawned, still))) == wait
    assert items(scripted(asked(prompt, spawned, waited))) == (Message("ok"),)


def test_a_sub_agent_that_cannot_be_spawned_is_given_up() -> None:
    assert items(scripted(asked("spawn: x\nsay: ok", "no"))) == (Message("ok"),)


def test_usage_holds_for_the_calls_that_follow() -> None:
    prompt = "run: a\nusage: input=5 output=2\nrun: b"

    first, second = scripted(asked(prompt)), scripted(asked(prompt, ENDED))
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert first.usage is None
    assert second.usage == Usage(input_tokens=5, output_tokens=2)


def test_limits_become_headers() -> None:
    reply = scripted(asked("limits: primary=42 secondary=9 resets=1900000000"))

    assert isinstance(reply, Answer)
    assert reply.headers["x-codex-primary-used-percent"] == "42"
    assert reply.headers["x-codex-secondary-reset-at"] == "1900000000"


def test_a_reply_can_be_slow_once() -> None:
    prompt = "slow: 2.5\nrun: a\nsay: ok"

    slow = scripted(asked(prompt))
    assert isinstance(slow, Delay)
    assert slow.seconds == 2.5
    assert only_call(slow.reply).arguments["cmd"] == "a"
    assert items(scripted(asked(prompt, ENDED))) == (Message("ok"),)


def test_a_stream_can_stall_or_break_off() -> None:
    assert scripted(asked("stall: 3")) == Stall(seconds=3)
    assert scripted(asked("drop")) == Drop()
    assert scripted(asked("say: half\ndrop")) == Drop(items=(Message("half"),))


def test_a_usage_limit_says_when_it_ends() -> None:
    reply = scripted(asked("fail: 429 resets=1900000000 primary=99"))

    assert isinstance(reply, HttpFailure)
    assert reply.status == 429
    error = reply.body["error"]
    assert isinstance(error, dict)
    assert error["type"] == "usage_limit_reached"
    assert error["resets_at"] == 1900000000
    assert reply.headers["x-codex-primary-used-percent"] == "99"


@pytest.mark.parametrize("status", [400, 401, 404, 500, 503])
def test_other_statuses_are_plain_errors(status: int) -> None:
    reply = scripted(asked(f"fail: {status}"))

    assert isinstance(reply, HttpFailure)
    assert reply.status == status
    assert reply.headers == {}


def test_a_code_fails_after_the_request_was_accepted() -> None:
    reply = scripted(asked("fail: context_length_exceeded"))

    assert isinstance(reply, StreamFailure)
    assert reply.code == "context_length_exceeded"


@pytest.mark.parametrize(
    "line",
    [
        "calls: many",
        "calls: 0",
        "calls: 1000000",
        "together: 1.0e9",
        "slow: -1",
        "stall: inf",
        "slow: nan",
        "usage: input=x",
        "usage: tokens=3",
        "fail: 200",
        "fail: 700",
        "fail: 429 soon",
        "patch: ",
    ],
)
def test_what_makes_no_sense_is_answered_with_its_line(line: str) -> None:
    (message,) = items(scripted(asked(line)))

    assert isinstance(message, Message)
    assert message.text.startswith(f"I cannot follow '{line}")


def test_the_demo_looks_adds_a_file_and_tells() -> None:
    task = "Be nice.\nAnd quick."

    thought, look = items(demo(asked(task)))
    assert isinstance(thought, Reasoning)
    assert isinstance(look, FunctionCall)
    _, patch = items(demo(asked(task, "files")))
    assert isinstance(patch, FunctionCall)
    assert "The task was: Be nice." in str(patch.arguments["cmd"])
    (good,) = items(demo(asked(task, "files", "Success: A HELLO.md")))
    assert isinstance(good, Message)
    assert good.text.startswith("Done:")
    (bad,) = items(demo(asked(task, "files", "Permission denied")))
    assert isinstance(bad, Message)
    assert "Permission denied" in bad.text
