"""Sub-agents and forks of the real Codex: whose tokens are whose."""

import json
from typing import Any

import pytest
from support.real_codex import RealTasks, parts, used


def agents_of(summary: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = summary["token_usage"].get("subagents", [])
    return found


def test_sub_agents_are_counted_once_and_shown_apart(codex: RealTasks) -> None:
    prompt = "spawn: run: true\\nsay: sub\nspawn: say: other\nsay: all"
    summary = codex("--task", prompt).files.summary

    # Each spawn is two calls of the parent: to give the prompt, and to wait.
    assert parts(summary["token_usage"]) == used(1, 2, 3, 4, 5)
    assert codex.total(summary["session_id"]) == used(1, 2, 3, 4, 5)
    agents = agents_of(summary)
    assert [parts(agent) for agent in agents] == [used(1, 2), used(1)]
    threads = {agent["thread_id"] for agent in agents}
    assert len(threads) == 2
    assert summary["session_id"] not in threads
    cost = summary["cost"]
    assert 0 < cost["subagents_usd"] < cost["usd"]
    assert cost["usd"] == pytest.approx(sum(cost["parts"].values()))
    alone = [codex.parse("--log", codex.rollout(thread)) for thread in threads]
    alone_usd = sum(json.loads(each.stdout)["cost"]["usd"] for each in alone)
    assert alone_usd == pytest.approx(cost["subagents_usd"])


def test_a_resumed_run_has_its_own_sub_agents_only(codex: RealTasks) -> None:
    first = codex("--task", "spawn: run: true\\nsay: sub\nsay: one").files
    second = codex("--resume", first.run_id, "--task", "say: none").files
    third = codex("--resume", first.run_id, "--task", "spawn: say: sub\nsay: two").files

    assert [parts(agent) for agent in agents_of(first.summary)] == [used(1, 2)]
    assert agents_of(second.summary) == []
    assert "subagents_usd" not in second.summary["cost"]
    assert [parts(agent) for agent in agents_of(third.summary)] == [used(1)]
    shares = [parts(f.summary["token_usage"]) for f in (first, second, third)]
    assert shares == [used(1, 2, 3), used(4), used(5, 6, 7)]
    for files in (first, second, third):
        again = json.loads(codex.parse("--log", files.path(".events.jsonl")).stdout)
        assert again["token_usage"] == files.summary["token_usage"]


def test_a_run_that_fails_counts_its_sub_agents_too(codex: RealTasks) -> None:
    prompt = "spawn: run: true\\nsay: sub\nfail: 500"
    files = codex("--task", prompt).files

    assert files.summary["outcome"] == "failed"
    assert parts(files.summary["token_usage"]) == used(1, 2)
    assert [parts(agent) for agent in agents_of(files.summary)] == [used(1, 2)]


def test_a_sub_agent_s_sub_agent_is_counted_once(codex: RealTasks) -> None:
    prompt = "spawn: spawn: say: deep\\nsay: sub\nsay: all"
    summary = codex("--task", prompt, "-c", "agents.max_depth=2").files.summary

    assert parts(summary["token_usage"]) == used(1, 2, 3)
    agents = agents_of(summary)
    assert [parts(agent) for agent in agents] == [used(1, 2, 3), used(1)]
    assert codex.total(summary["session_id"]) == used(1, 2, 3)


def test_a_fork_does_not_count_its_parent(codex: RealTasks) -> None:
    parent = codex("--task", "run: true\nsay: parent").files.summary["session_id"]

    forked = codex.by_hand("say: forked", "--json", "fork", parent)

    assert forked.code == 0, forked.stderr
    lines = [json.loads(line) for line in forked.stdout.splitlines()]
    fork = lines[0]["thread_id"]
    assert fork != parent
    assert parts(lines[-1]["usage"]) == used(1, 2, 3)
    saved = codex.place / "fork.jsonl"
    saved.write_text(forked.stdout)
    for log in (codex.rollout(fork), saved):
        summary = json.loads(codex.parse("--log", log).stdout)
        assert summary["session_id"] == fork
        assert summary["final_message"] == "forked"
        assert parts(summary["token_usage"]) == used(3)
    resumed = codex("--resume", fork, "--task", "say: on").files.summary
    assert parts(resumed["token_usage"]) == used(4)
