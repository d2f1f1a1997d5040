"""Whose run a sub-agent's model calls belong to, by the rollouts in a Codex home.

Codex 0.169 writes with each call the turn of the root thread that it was made for; a
sub-agent's thread that is resumed as a session of its own is the root of that turn.
"""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from support.many import fill

from parsers.rollouts.thread import Header, Rollout
from runner import clock
from runner.accounting import rollouts
from runner.accounting.rollouts import Rollouts, RunRollouts, Slice, read_rollouts
from runner.ledger.ledger import Ledger

BEGAN_AT = clock.now() - timedelta(minutes=5)
PARENT = "01a1f87a-cfd2-7201-b78a-8a93bc569f69"
AGENT = "01a1f87a-d08e-7aa2-a29d-c4bfb1d8d5da"
FIRST_TURN = "01a1f87a-cfe9-7e13-adf7-32807858f6b7"
SECOND_TURN = "01a1f87a-e001-7e13-adf7-32807858f6b7"
AGENTS_TURN = "01a1f87a-e002-7e13-adf7-32807858f6b7"


def at(seconds: float) -> str:
    return clock.iso(BEGAN_AT + timedelta(seconds=seconds))


class Thread:
    """A thread's rollout file, written turn by turn."""

    def __init__(self, home: Path, thread_id: str, parent: str | None = None) -> None:
        directory = home / "sessions" / f"{BEGAN_AT.astimezone():%Y/%m/%d}"
        directory.mkdir(parents=True, exist_ok=True)
        self.thread_id = thread_id
        self.path = directory / f"rollout-2026-11-20T10-00-00-{thread_id}.jsonl"
        header = {"id": thread_id, "session_id": parent or thread_id}
        source = {"parent_thread_id": parent} if parent else {}
        self._write(0, "session_meta", {**header, **source})

    def call(self, seconds: float, turn_id: str, root_turn_id: str | None) -> None:
        """Add a turn with one model call."""
        turn = {"turn_id": turn_id, "root_turn_id": root_turn_id}
        self._write(seconds, "event_msg", {"type": "task_started", **turn})
        usage = {"input_tokens": 10, "output_tokens": 1}
        names = {"thread_id": self.thread_id, "response_id": f"resp_{seconds}"}
        self._write(seconds, "token_usage_record", {**names, **turn, "usage": usage})

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def _write(self, seconds: float, kind: str, payload: dict[str, object]) -> None:
        record = {"timestamp": at(seconds), "type": kind, "payload": payload}
        with self.path.open("a") as file:
            file.write(json.dumps(record, separators=(",", ":")) + "\n")


def share(begins: float, offset: int) -> Slice:
    return Slice(offset=offset, since=BEGAN_AT + timedelta(seconds=begins))


def times(rollout: Rollout | None) -> list[str]:
    return [call.at for call in rollout.calls] if rollout else []


def agents(found: RunRollouts) -> dict[str | None, list[str]]:
    return {agent.thread_id: times(agent) for agent in found.agents}


def test_two_runs_at_once_on_parent_and_sub_agent_share_no_call(
    tmp_path: Path,
) -> None:
    parent, agent = Thread(tmp_path, PARENT), Thread(tmp_path, AGENT, PARENT)
    parent.call(1, FIRST_TURN, FIRST_TURN)
    agent.call(2, AGENT, FIRST_TURN)
    # One run resumes the parent, another the sub-agent's thread as a session.
    parents, agents_own = share(20, parent.size), share(21, agent.size)
    parent.call(22, SECOND_TURN, SECOND_TURN)
    agent.call(23, AGENTS_TURN, AGENTS_TURN)

    of_parent = read_rollouts(tmp_path, PARENT, parents, [AGENT])
    of_agent = read_rollouts(tmp_path, AGENT, agents_own, ())

    assert times(of_parent.thread) == [at(22)]
    assert agents(of_parent) == {}
    assert times(of_agent.thread) == [at(23)]
    assert agents(of_agent) == {}


@pytest.mark.parametrize("set_back", [0, 15], ids=["clock", "clock set back"])
def test_a_sub_agent_that_is_used_again_counts_for_each_run_once(
    tmp_path: Path, set_back: int
) -> None:
    parent, agent = Thread(tmp_path, PARENT), Thread(tmp_path, AGENT, PARENT)
    parent.call(11, FIRST_TURN, FIRST_TURN)
    agent.call(12, AGENT, FIRST_TURN)
    first = read_rollouts(tmp_path, PARENT, share(10, 0), [AGENT])
    # The clock may be set back before the session is resumed.
    resumed = share(20 - set_back, parent.size)
    parent.call(21 - set_back, SECOND_TURN, SECOND_TURN)
    agent.call(22 - set_back, AGENTS_TURN, SECOND_TURN)

    second = read_rollouts(tmp_path, PARENT, resumed, [AGENT])

    assert agents(first) == {AGENT: [at(12)]}
    assert times(second.thread) == [at(21 - set_back)]
    assert agents(second) == {AGENT: [at(22 - set_back)]}


def test_calls_of_versions_that_name_no_root_turn_count_by_their_time(
    tmp_path: Path,
) -> None:
    parent, agent = Thread(tmp_path, PARENT), Thread(tmp_path, AGENT, PARENT)
    parent.call(1, FIRST_TURN, None)
    agent.call(2, AGENT, None)
    resumed = share(20, parent.size)
    parent.call(21, SECOND_TURN, None)
    agent.call(22, AGENTS_TURN, None)

    found = read_rollouts(tmp_path, PARENT, resumed, ())

    assert agents(found) == {AGENT: [at(22)]}


def test_only_files_of_threads_that_no_run_has_opened_are_read_for_sub_agents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, agent = Thread(tmp_path, PARENT), Thread(tmp_path, AGENT, PARENT)
    parent.call(21, SECOND_TURN, None)
    agent.call(22, AGENTS_TURN, None)
    ledger, made = Ledger(tmp_path), fill(tmp_path, sessions=3, runs_per_session=1)
    for each in made:
        Thread(tmp_path, each.thread or "")
    with ledger.transaction():
        # The thread of the last one was resumed, so it may be that of a sub-agent.
        for each, offset in zip(made, (None, None, 7), strict=True):
            values = {"run_id": each.run_id, "offset": offset}
            ledger._db.execute(
                "update runs set rollout_offset = :offset where run_id = :run_id",
                values,
            )
    opened: list[str] = []
    header = rollouts._header

    def counted(path: Path) -> Header | None:
        opened.append(path.stem[-36:])
        return header(path)

    monkeypatch.setattr(rollouts, "_header", counted)
    index = Rollouts(tmp_path, ledger.sessions.roots_of)

    found = read_rollouts(index, PARENT, share(20, 0), ())

    assert agents(found) == {AGENT: [at(22)]}
    assert {PARENT, AGENT, made[2].thread} == set(opened)
    ledger.close()
