"""A team of the real Codex, through `codex-agent`."""

import json
import time
from pathlib import Path

import pytest
from support.agents import Agents, Job
from support.guard import MARKER
from support.processes import command_line, processes_with, wait_until
from support.real_codex import RealTasks
from support.real_sessions import RealSessions

FREE = ("-s", "danger-full-access", "--no-constraints")
LIMIT_SECONDS = 3600


@pytest.fixture
def agents(sessions: RealSessions) -> Agents:
    """Start jobs of the real Codex in the repository."""
    return Agents(sessions)


def given(codex: RealTasks, job: Job) -> list[str]:
    """Give the prompts that Codex has noted in its rollout, in order."""
    completed = codex.records(str(job.report["session_id"]), "item_completed")
    return [
        "".join(part["text"] for part in record["item"]["content"])
        for record in completed
        if record["item"]["type"] == "UserMessage"
    ]


def test_start_wait_send_and_await_turn(agents: Agents, codex: RealTasks) -> None:
    said = agents(*agents.starting(*FREE, "--wait", "run: echo one\nsay: First."))
    assert (said.code, said.stdout) == (0, "First.\n")
    (row,) = agents.jobs()
    job = Job(row["id"], agents)
    assert (row["status"], row["turn_state"], row["exit_code"]) == (
        *("completed", "idle", 0),
    )
    assert row["tokens"]["input"] > 0
    assert row["tokens"]["context_window"] > row["tokens"]["input"]
    assert row["summary"] == "First."

    assert job.send("patch: new.txt\nsay: Second.").code == 0
    ended = job.await_turn("--json")
    (turn,) = json.loads(ended.stdout)["turns"]
    assert (turn["final_message"], turn["session_id"]) == ("Second.", row["session_id"])
    assert job.await_turn().stdout == "Second.\n"
    assert given(codex, job) == [
        *("run: echo one\nsay: First.", "patch: new.txt\nsay: Second."),
    ]
    output = job("output").stdout
    assert "  one\n" in output
    assert output.index("First.") < output.index("Second.")
    assert "new.txt" in job.report["files_modified"][0]
    assert job("capture", 2).lines == output.splitlines()[-2:]


def test_a_dry_run_is_what_codex_notes(
    agents: Agents, codex: RealTasks, repo: Path
) -> None:
    (repo / "a.py").write_text("x = 'it' # $(touch X) `touch X`\r\n")
    words = ["-s", "danger-full-access", "-f", "*.py", "say: \"Hi\" $(touch X) 'x'"]

    dry = agents.told(*agents.starting("--dry-run", *words))["prompt"]
    job = agents.ended(*words)

    assert job.status == "completed"
    assert given(codex, job) == [dry]
    assert [*repo.rglob("X")] == []


@pytest.mark.parametrize("level", ["low", "high"])
def test_the_level_of_reasoning_reaches_the_model(
    agents: Agents, codex: RealTasks, level: str
) -> None:
    job = agents.ended(*FREE, "-r", level, "say: Hi.")

    (context,) = codex.records(str(job.report["session_id"]), "turn_context")
    assert context["effort"] == level
    assert job.report["reasoning"] == level


def test_confirm_returns_once_the_thread_is_named(agents: Agents) -> None:
    job = agents.start(*FREE, "--confirm", "say: Hi.")
    assert job.report["session_id"]
    assert job.await_turn().stdout == "Hi.\n"


def test_a_worktree_is_diffed_and_merged(agents: Agents, repo: Path) -> None:
    job = agents.ended(*FREE, "--worktree", "patch: new.txt\nsay: Done.")

    assert not (repo / "new.txt").exists()
    assert "new.txt" in job("diff", "--stat").stdout
    assert job("diff").code == 0
    merged = job("merge")
    assert merged.code == 0, merged.stderr
    assert (repo / "new.txt").exists()
    assert job("delete").code == 0
    assert agents.jobs() == []


def test_kill_in_the_middle_of_a_tool(
    agents: Agents, codex: RealTasks, marker: str
) -> None:
    job = agents.start(*FREE, "run: setsid sleep 4010 & sleep 4011\nsay: never")

    def sleeps() -> list[str]:
        lines = map(command_line, processes_with(MARKER, marker))
        return [line for line in lines if line.startswith("sleep 401")]

    wait_until(lambda: len(sleeps()) == 2, 45, "the tools")
    said = job("kill")

    assert (said.code, said.stdout) == (0, f"Killed job: {job.id}\n")
    assert sleeps() == []
    report = job.report
    assert (report["status"], report["outcome"]) == ("failed", "stopped")
    assert job.await_turn().code == 1
    job.send("say: Back.")
    assert job.await_turn().stdout == "Back.\n"
    assert len(given(codex, job)) == 2


def test_a_usage_limit_parks_the_text_and_await_turn_says_so(agents: Agents) -> None:
    resets = int(time.time()) + LIMIT_SECONDS
    job = agents.start(*FREE, f"run: true\nfail: 429 resets={resets}")

    assert job.await_turn().code == 4
    report = job.report
    assert (report["outcome"], report["turn_state"]) == ("usage_limited", "idle")
    assert report["error"]
    assert agents("kill", job.id).code == 0
    assert job.status == "failed"


def test_a_full_context_is_2(agents: Agents) -> None:
    job = agents.start(*FREE, "run: true\nfail: context_length_exceeded")

    assert job.await_turn().code == 2
    assert job.report["turn_state"] == "context_limit"
