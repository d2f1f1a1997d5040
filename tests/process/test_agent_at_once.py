"""Many commands of `codex-agent` at once: nothing is lost, nothing comes twice."""

from pathlib import Path

import pytest
from support.agents import Agents
from support.processes import wait_until
from support.stand_in import StandIn

MANY = 40
SENDS = 20


@pytest.mark.parametrize("storage", ["sqlite", "dual"])
def test_forty_starts_and_forty_kills_at_once(
    agents: Agents, codex: StandIn, held: Path, storage: str
) -> None:
    agents.sessions.cli.environment["CODEX_AGENT_STORAGE"] = storage
    words = [
        ["--label", f"label {n}", "--parent-session", f"p{n}", "-r", "low", f"Job {n}."]
        for n in range(MANY)
    ]
    begun = [agents.begin(*agents.starting(*each)) for each in words]
    ended = [each.wait(180) for each in begun]

    assert {each.code for each in ended} == {0}, [each.stderr for each in ended]
    ids = [each.lines[0].removeprefix("Job started: ") for each in ended]
    assert len({*ids}) == MANY
    rows = {row["id"]: row for row in agents.jobs("--all")}
    assert rows.keys() == {*ids}
    for number, job in enumerate(ids):
        row = rows[job]
        assert (row["label"], row["parent_session"]) == (
            f"label {number}",
            f"p{number}",
        )
        assert row["reasoning"] == "low"
        assert row["prompt"].startswith(f"Job {number}.")
        assert row["status"] == "running"
    wait_until(lambda: len(codex.runs) == MANY, 60, "all of Codex")

    kills = [agents.begin("kill", job) for job in ids]
    killed = [each.wait(180) for each in kills]

    assert {each.code for each in killed} == {0}, [each.stderr for each in killed]
    assert [each.stdout for each in killed] == [f"Killed job: {job}\n" for job in ids]
    after = {row["id"]: row for row in agents.jobs("--all")}
    same = ("label", "parent_session", "reasoning", "prompt", "created_at", "model")
    for job in ids:
        assert (after[job]["status"], after[job]["outcome"]) == ("failed", "stopped")
        assert [after[job][k] for k in same] == [rows[job][k] for k in same]
    assert agents("delete", *ids).code == 0
    assert agents.jobs("--all") == []
    assert not held.exists()


def test_twenty_sends_at_once_are_twenty_turns_in_their_order(
    agents: Agents, codex: StandIn
) -> None:
    job = agents.ended("--no-constraints", "Begin.")

    begun = [agents.begin("send", job.id, f"Text {n}.") for n in range(SENDS)]
    ended = [each.wait(120) for each in begun]

    assert {each.code for each in ended} == {0}
    assert agents("await-turn", "--timeout", 120, job.id, timeout=150).code == 0
    given = codex.given(job.report["session_id"])
    assert given[0] == "Begin."
    assert sorted(given[1:]) == sorted(f"Text {n}." for n in range(SENDS))
    sql = "select preview from prompts order by id"
    assert given == [text for (text,) in agents.sessions.rows(sql)]
    assert codex.together == []
    assert job.report["turns"] == SENDS + 1
    assert len(job.runs) == SENDS + 1


def test_sends_kills_and_deletes_at_once_leave_a_job_that_is_whole(
    agents: Agents, held: Path
) -> None:
    jobs = [agents.start(f"Job {number}.") for number in range(4)]
    begun = [
        agents.begin(*words)
        for job in jobs
        for words in (
            ["send", job.id, "More."],
            ["kill", job.id],
            ["await-turn", "--timeout", 60, job.id],
            ["jobs", "--json"],
            ["kill", job.id],
        )
    ]
    held.touch()
    ended = [each.wait(120) for each in begun]
    assert not [each.stderr for each in ended if "Traceback" in each.stderr]
    for job in jobs:
        job("kill")
        assert job.status in {"completed", "failed"}
        assert job("delete").code == 0
    assert agents.jobs("--all") == []
