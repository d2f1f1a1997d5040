from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from parsers.accounting.run import RunUsage, usage_of_run
from parsers.accounting.tokens import Usage, sum_usage
from parsers.any_log import read_log
from parsers.facts import Facts
from parsers.rollouts.read import read_rollout
from parsers.rollouts.thread import Call, Rollout, Turn
from parsers.struct import replace

if TYPE_CHECKING:
    from parsers.rollouts.thread import TurnState

CALL = Usage(
    input_tokens=1200,
    cached_input_tokens=1000,
    output_tokens=345,
    reasoning_output_tokens=45,
    total_tokens=1545,
)
Recorded = Callable[[str], bytes]


def facts(recorded: Recorded, name: str) -> Facts:
    return read_log(BytesIO(recorded(name)))


def thread(recorded: Recorded, name: str) -> Rollout:
    return read_rollout(BytesIO(recorded(name)))


def call(usage: Usage = CALL, model: str = "gpt-5.1-codex") -> Call:
    return Call(at="", turn_id=None, root_turn_id=None, model=model, usage=usage)


def test_events_of_a_resumed_thread_count_this_runs_share(recorded: Recorded) -> None:
    shares = []
    before: Usage | None = Usage()
    for name in ("new", "resume1", "resume2"):
        said = facts(recorded, f"events-0.169-{name}.jsonl")
        shares.append(usage_of_run(None, (), said, before))
        before = said.usage

    assert [share.usage for share in shares] == [
        sum_usage([CALL] * count) for count in (2, 1, 2)
    ]
    assert {share.source for share in shares} == {"events"}


def test_events_of_one_process_count_whole(recorded: Recorded) -> None:
    said = facts(recorded, "events-0.50-resume2.jsonl")
    share = usage_of_run(None, (), said, None, is_cumulative=False)

    assert share.usage == said.usage
    assert share.usage is not None
    assert share.usage.input_tokens == 2117


def test_a_rollout_wins_over_the_events(recorded: Recorded) -> None:
    file = recorded("rollout-0.169-new+2resumes.jsonl")
    end = file.index(b"\n", file.index(b'"task_complete"')) + 1
    window = read_rollout(BytesIO(file), from_offset=end)
    said = facts(recorded, "events-0.169-resume2.jsonl")
    share = usage_of_run(window, (), said, None)

    assert share.usage == sum_usage([CALL] * 3)
    assert share.source == "rollout"
    assert share.reason is None
    assert len(share.calls) == 3


def test_a_fork_does_not_count_its_parent(recorded: Recorded) -> None:
    said = facts(recorded, "events-0.169-fork.jsonl")
    share = usage_of_run(thread(recorded, "rollout-0.169-fork.jsonl"), (), said, None)

    assert said.usage is not None
    assert said.usage.input_tokens == 7200
    assert share.usage == CALL


def test_aborted_and_failed_runs_count_what_the_rollout_shows(
    recorded: Recorded,
) -> None:
    for name, count in (("abort", 1), ("late", 1)):
        said = facts(recorded, f"events-0.169-{name}.jsonl")
        file = thread(recorded, f"rollout-0.169-{name}.jsonl")
        share = usage_of_run(file, (), said, Usage())

        assert said.usage is None
        assert len(share.calls) == count
        assert share.usage == file.usage


def test_a_run_that_called_no_model_used_nothing(recorded: Recorded) -> None:
    said = facts(recorded, "events-0.125-limit.jsonl")
    share = usage_of_run(thread(recorded, "rollout-0.125-limit.jsonl"), (), said, None)

    assert share.usage == Usage()
    assert share.source == "rollout"


def test_a_rollout_without_a_completed_runs_calls_is_not_used(
    recorded: Recorded,
) -> None:
    said = facts(recorded, "events-0.169-new.jsonl")
    share = usage_of_run(Rollout(), (), said, Usage())

    assert share.source == "events"
    assert share.usage == said.usage


def test_sub_agents_are_counted_once_and_apart(recorded: Recorded) -> None:
    agent = thread(recorded, "rollout-0.169-subagent.jsonl")
    parent = thread(recorded, "rollout-0.169-spawn.jsonl")
    said = facts(recorded, "events-0.169-spawn.jsonl")
    share = usage_of_run(parent, (agent, agent, parent, Rollout()), said, Usage())

    assert share.usage == said.usage
    (counted,) = share.subagents
    assert counted.thread_id == agent.thread_id
    assert counted.usage == agent.usage
    assert share.to_json()["subagents"] == [
        {"thread_id": agent.thread_id, **agent.usage.to_json()}
    ]


@pytest.mark.parametrize(
    ("said", "previous", "reason"),
    [
        (None, Usage(), "neither the run's output nor a rollout file tells it"),
        (Facts(kind="empty"), Usage(), "neither the run's output nor"),
        (Facts(kind="events", usage=CALL), None, "not what it was before the run"),
        (Facts(kind="log", uncached_tokens=7), None, "not what it was before the run"),
        (Facts(kind="events", has_begun=True), Usage(), "neither the run's output nor"),
        (
            Facts(kind="events", usage=CALL),
            Usage(input_tokens=9_999),
            "restarts it when the context window overflows",
        ),
        (
            Facts(kind="log", uncached_tokens=7),
            Usage(input_tokens=9_999, total_tokens=9_999),
            "restarts it",
        ),
    ],
)
def test_what_is_not_known_is_null_with_a_reason(
    said: Facts | None, previous: Usage | None, reason: str
) -> None:
    share = usage_of_run(None, (), said, previous)
    block = share.to_json()

    assert (share.usage, share.source) == (None, None)
    assert reason in str(share.reason)
    assert block["reason"] == share.reason
    assert block["input_tokens"] is block["total_tokens"] is block["source"] is None


def test_a_log_without_cached_input_has_no_total() -> None:
    previous = Usage(
        input_tokens=1000,
        cached_input_tokens=900,
        output_tokens=100,
        total_tokens=1100,
    )
    share = usage_of_run(None, (), Facts(kind="log", uncached_tokens=7_200), previous)

    assert share.to_json() == {
        "input_tokens": None,
        "cached_input_tokens": None,
        "cache_write_input_tokens": None,
        "output_tokens": None,
        "reasoning_output_tokens": None,
        "total_tokens": None,
        "source": "log",
        "uncached_tokens": 7_000,
        "reason": "the log tells only the tokens without cached input",
    }


def test_the_block_names_all_parts() -> None:
    share = RunUsage(usage=CALL, source="rollout", calls=(call(),))

    assert share.to_json() == {
        "input_tokens": 1200,
        "cached_input_tokens": 1000,
        "cache_write_input_tokens": 0,
        "output_tokens": 345,
        "reasoning_output_tokens": 45,
        "total_tokens": 1545,
        "source": "rollout",
    }


def unanswered(state: "TurnState", message: str | None = None) -> Rollout:
    turn = Turn(turn_id="t", state=state, error_message=message, is_unanswered=True)
    return Rollout(calls=(call(),), turns=(turn,))


BROKEN = "stream disconnected before completion: stream closed"
REFUSED = "stream disconnected before completion: error sending request for url (x)"


@pytest.mark.parametrize(
    ("rollout", "said", "uncounted"),
    [
        (unanswered("aborted"), Facts(kind="events"), {"interrupted_calls": 1}),
        (unanswered("open"), Facts(kind="events"), {"interrupted_calls": 1}),
        (unanswered("failed", BROKEN), None, {"failed_calls": 1}),
        # Up to 0.142 only the events tell that a turn has failed.
        (
            unanswered("completed"),
            Facts(kind="events", failure=BROKEN),
            {"failed_calls": 1},
        ),
        (
            Rollout(calls=(call(),), compactions=2),
            Facts(kind="events", broken_calls=1),
            {"compactions": 2, "failed_calls": 1},
        ),
        (unanswered("completed"), Facts(kind="events"), {}),
        (unanswered("failed", "You’ve hit your usage limit."), None, {}),
        (unanswered("failed", REFUSED), None, {}),
        (
            unanswered("aborted"),
            Facts(kind="events", failure="Reconnecting... waiting for network (x)"),
            {},
        ),
        (unanswered("open").so_far(), Facts(kind="events"), {}),
    ],
)
def test_what_is_missing_is_said(
    rollout: Rollout, said: Facts | None, uncounted: dict[str, int]
) -> None:
    share = usage_of_run(rollout, (), said, Usage())

    assert share.usage == CALL
    assert share.uncounted == uncounted
    assert share.to_json().get("uncounted", {}) == uncounted


def test_a_sub_agents_call_that_was_interrupted_is_said_too() -> None:
    agent = replace(unanswered("aborted"), thread_id="a")
    agent = replace(agent, calls=(replace(call(), turn_id="t"),))
    share = usage_of_run(Rollout(calls=(call(),)), (agent,), None, Usage())

    assert share.uncounted == {"interrupted_calls": 1}


def test_a_run_that_codex_refused_before_its_turn_has_used_nothing() -> None:
    refused = Facts(kind="events", session_id="s", errors=("no",))
    share = usage_of_run(None, (), refused, None)

    assert (share.usage, share.reason) == (Usage(), None)


def test_the_share_in_this_suites_log_is_not_subtracted_from() -> None:
    said = Facts(kind="log", usage=CALL, is_share=True, ended="completed")

    assert usage_of_run(None, (), said, None, doubt="a doubt").usage == CALL
    assert usage_of_run(None, (), said, None, doubt="a doubt").reason is None


def test_a_call_that_was_repeated_is_missing_without_a_rollout_too() -> None:
    said = Facts(kind="events", usage=CALL, broken_calls=2, ended="completed")

    assert usage_of_run(None, (), said, Usage()).uncounted == {"failed_calls": 2}
