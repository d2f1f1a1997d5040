"""The loopback server makes the real Codex do what the prompt says."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.guard import MARKER
from support.processes import processes_with, wait_until

from runner.loopback import (
    Answer,
    LoopbackServer,
    Message,
    Usage,
    demo,
    usage_of_call,
    write_home,
)


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    events: list[dict[str, Any]]
    stderr: str

    @property
    def thread(self) -> str:
        return str(self.events[0]["thread_id"])

    @property
    def answer(self) -> str:
        return str(self.items("agent_message")[-1]["text"])

    @property
    def usage(self) -> dict[str, int]:
        usage: dict[str, int] = self.events[-1]["usage"]
        return usage

    def items(self, kind: str) -> list[dict[str, Any]]:
        ended = [e["item"] for e in self.events if e["type"] == "item.completed"]
        return [item for item in ended if item["type"] == kind]


@dataclass(frozen=True, slots=True)
class Codex:
    path: Path
    repo: Path
    environment: dict[str, str]

    def argv(self, *resume: str) -> list[str]:
        before = ["exec", "-C", str(self.repo), "-s", "danger-full-access"]
        return [str(self.path), *before, *resume, "--json", "-"]

    def __call__(self, prompt: str, *resume: str) -> Ended:
        done = subprocess.run(
            self.argv(*resume),
            input=prompt,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        events = [json.loads(line) for line in done.stdout.splitlines()]
        return Ended(done.returncode, events, done.stderr)


@pytest.fixture
def codex(real_codex: Path, repo: Path, environment: dict[str, str]) -> Codex:
    return Codex(real_codex, repo, environment)


def summed(*calls: Usage) -> dict[str, int]:
    names = Usage.__slots__
    return {name: sum(getattr(call, name) for call in calls) for name in names}


def test_a_prompt_without_directives_gets_a_short_answer(codex: Codex) -> None:
    ended = codex("What is this?\nTell me.")

    assert ended.code == 0
    assert ended.answer == "Done: What is this?"
    assert ended.usage == summed(usage_of_call(1))


def test_directives_are_carried_out_one_after_the_other(codex: Codex) -> None:
    ended = codex(
        "Some context.\nrun: echo hi > made; exit 3\nthink: hmm\n"
        "patch: dir/new.txt one\\ntwo\nsay: first\nsay: last"
    )

    (command,) = ended.items("command_execution")
    assert command["exit_code"] == 3
    assert (codex.repo / "made").read_text() == "hi\n"
    assert (codex.repo / "dir" / "new.txt").read_text() == "one\ntwo\n"
    (change,) = ended.items("file_change")
    assert change["changes"][0]["kind"] == "add"
    assert [item["text"] for item in ended.items("reasoning")] == ["hmm"]
    assert ended.answer == "last"
    assert ended.usage == summed(*map(usage_of_call, (1, 2, 3)))


def test_calls_are_one_model_call_each_and_together_is_one(codex: Codex) -> None:
    one_by_one, at_once = codex("calls: 3"), codex("together: 3")

    assert len(one_by_one.items("command_execution")) == 3
    assert one_by_one.usage == summed(*map(usage_of_call, (1, 2, 3, 4)))
    assert len(at_once.items("command_execution")) == 3
    assert at_once.usage == summed(*map(usage_of_call, (1, 2)))


def test_a_resumed_thread_goes_on_counting(codex: Codex) -> None:
    first = codex("run: true")
    second = codex("say: again", "resume", first.thread)

    assert second.thread == first.thread
    assert second.answer == "again"
    assert second.usage == summed(*map(usage_of_call, (1, 2, 3)))


def test_a_sub_agent_does_its_own_script(
    codex: Codex, loopback: LoopbackServer
) -> None:
    ended = codex("spawn: run: echo sub > sub\\nsay: sub done\nsay: all done")

    assert ended.answer == "all done"
    assert (codex.repo / "sub").read_text() == "sub\n"
    children = [r for r in loopback.requests if r.parent_thread_id == ended.thread]
    assert [r.call_number for r in children] == [1, 2]


# The other failures: test_failures.py.
def test_a_stall_ends_the_turn(codex: Codex) -> None:
    ended = codex("stall: 0.1")

    assert ended.code == 1
    assert ended.events[-1]["type"] == "turn.failed"
    words = "stream closed before response.completed"
    assert words in ended.events[-1]["error"]["message"]


def test_a_failed_turn_can_be_carried_on(codex: Codex) -> None:
    failed = codex("fail: 500")
    resumed = codex("say: better now", "resume", failed.thread)

    assert resumed.code == 0
    assert resumed.answer == "better now"
    assert resumed.usage == summed(usage_of_call(1))


def test_usage_and_limits_are_what_the_prompt_says(codex: Codex) -> None:
    ended = codex(
        "usage: input=100 cached=40 cache_write=7 output=9 reasoning=2\n"
        "limits: primary=42 secondary=7 resets=1900000000"
    )

    assert list(ended.usage.values()) == [100, 40, 7, 9, 2]
    home = Path(codex.environment["CODEX_HOME"])
    (rollout,) = home.glob("sessions/*/*/*/rollout-*.jsonl")
    records = [json.loads(line) for line in rollout.read_text().splitlines()]
    counts = [
        r["payload"] for r in records if r["payload"].get("type") == "token_count"
    ]
    assert counts[-1]["rate_limits"]["primary"]["used_percent"] == 42
    assert counts[-1]["rate_limits"]["secondary"]["resets_at"] == 1900000000


def test_a_command_that_takes_long_is_waited_for(codex: Codex) -> None:
    ended = codex("run: echo begin; sleep 11; echo end")

    (command,) = ended.items("command_execution")
    assert command["aggregated_output"] == "begin\nend\n"
    assert command["exit_code"] == 0


def test_a_started_command_is_not_waited_for(codex: Codex) -> None:
    ended = codex("start: sleep 300\nsay: gone on")

    assert ended.answer == "gone on"
    assert ended.items("command_execution") == []


def test_a_directive_that_makes_no_sense_is_answered(codex: Codex) -> None:
    ended = codex("calls: many")

    assert ended.answer == "I cannot follow 'calls: many': a number is needed."


def test_a_killed_codex_frees_its_reply(
    codex: Codex, loopback: LoopbackServer, marker: str
) -> None:
    with subprocess.Popen(
        codex.argv(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=codex.environment,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(f"stall: 600\n{marker}".encode())
        process.stdin.close()
        try:
            wait_until(lambda: any(marker in r.prompt for r in loopback.requests))
            wait_until(lambda: loopback.waiting == 1)
        finally:
            process.terminate()

    wait_until(lambda: loopback.waiting == 0)
    assert processes_with(MARKER, marker) == []


def test_the_demo_does_real_work(
    real_codex: Path, repo: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    with LoopbackServer(demo) as server:
        write_home(tmp_path / "demo-home", server.config_toml())
        codex = Codex(
            real_codex, repo, {**environment, "CODEX_HOME": str(tmp_path / "demo-home")}
        )
        ended = codex("Write something nice.")

    assert "Write something nice." in (repo / "HELLO.md").read_text()
    assert "added HELLO.md" in ended.answer
    assert len(ended.items("command_execution")) == 1


def test_a_responder_is_any_function(
    real_codex: Path, repo: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    home = tmp_path / "own-home"
    with LoopbackServer(lambda r: Answer(items=(Message(r.model),))) as server:
        write_home(home, server.config_toml(model="gpt-5"))
        codex = Codex(real_codex, repo, {**environment, "CODEX_HOME": str(home)})

        assert codex("Who are you?").answer == "gpt-5"
        assert server.requests[0].prompt == "Who are you?"
