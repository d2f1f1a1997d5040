"""Jobs that the older `codex-agent` is still running: shown, killed, imported."""

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.commands import Cli
from support.processes import is_alive, processes_below, wait_until

Json = dict[str, Any]
THREAD = "0199d9c2-0000-7000-8000-000000000001"
ID = "3f9a1c07"
# What the spawn runner of the older tool starts, with a tool of Codex below it.
LAUNCHER = """\
#!/bin/bash
cat "{files}.prompt" | (
  echo '{{"type":"thread.started","thread_id":"{thread}"}}'
  echo '{{"type":"turn.started"}}'
  trap '' INT
  sleep 300
) | tee "{files}.log"
"""
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def agent(cli: Cli, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    cli.environment["HOME"] = str(tmp_path)
    cli.environment["CODEX_RUNNER_GRACE_SECONDS"] = "1"

    def agent(*words: str) -> subprocess.CompletedProcess[str]:
        return cli(*words, command="codex_agent")

    return agent


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    place = tmp_path / ".codex-agent" / "jobs"
    place.mkdir(parents=True)
    return place


@pytest.fixture
def start(cli: Cli, jobs: Path) -> Start:
    """Let the older tool start a job; `more` is what its record has of it."""

    def start(*argv: str | Path, **more: object) -> subprocess.Popen[bytes]:
        (jobs / f"{ID}.prompt").write_text("Do it.")
        at = datetime.now(UTC).isoformat()
        launcher = jobs / f"{ID}.sh"
        launcher.write_text(LAUNCHER.format(files=jobs / ID, thread=THREAD))
        process = cli.launch([*argv] or ["bash", launcher], start_new_session=True)
        record: Json = {
            "id": ID,
            "status": "running",
            "prompt": "Do it.",
            "model": "gpt-5.4",
            "createdAt": at,
            "startedAt": at,
            "pid": process.pid,
        }
        (jobs / f"{ID}.json").write_text(json.dumps({**record, **more}))
        return process

    return start


def status(
    agent: Callable[..., subprocess.CompletedProcess[str]],
) -> dict[str, str]:
    said = agent("status", ID)
    assert said.returncode == 0, said.stderr
    return dict(line.split(": ", 1) for line in said.stdout.splitlines())


def test_a_running_job_is_shown_and_killed_with_all_that_it_has_started(
    start: Start,
    agent: Callable[..., subprocess.CompletedProcess[str]],
    jobs: Path,
) -> None:
    other = start("sleep", "300")
    launcher = start()
    log = jobs / f"{ID}.log"
    wait_until(lambda: log.exists() and "turn.started" in log.read_text(), what="a log")
    below = processes_below(launcher.pid)
    record = (jobs / f"{ID}.json").read_bytes()

    moved = agent("migrate")
    shown, before = agent("jobs"), status(agent)
    refused = agent("send", ID, "More.")
    killed = agent("kill", ID)

    assert moved.returncode == 0, moved.stderr
    assert f"{ID}: the older codex-agent runs it (pid {launcher.pid})" in moved.stderr
    assert f"{ID}  running" in shown.stdout
    assert (before["Status"], before["Turn state"]) == ("running", "working")
    assert refused.returncode in {1, 75}
    assert (killed.returncode, killed.stdout) == (0, f"Killed job: {ID}\n")
    launcher.wait(10)
    assert not any(map(is_alive, [*below]))
    assert is_alive(other.pid)
    after = status(agent)
    assert (after["Status"], after["Outcome"]) == ("failed", "stopped")
    assert after["Thread"] == THREAD
    assert (jobs / f"{ID}.json").read_bytes() == record
    assert agent("migrate").stderr.count("migrated 0 new jobs (1 present") == 1


def test_a_process_that_may_be_another_programs_gets_no_signal(
    start: Start, agent: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    foreign = start("sleep", "300")
    agent("migrate")

    killed = agent("kill", ID)

    assert killed.returncode == 1
    assert f"process {foreign.pid} may be another program's" in killed.stderr
    assert is_alive(foreign.pid)
    assert status(agent)["Status"] == "running"


def test_a_pid_that_was_given_to_another_program_is_not_the_job(
    start: Start, agent: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    at = "2026-03-01T10:00:00.000Z"
    foreign = start("sleep", "300", createdAt=at, startedAt=at)

    assert agent("migrate").returncode == 0

    assert is_alive(foreign.pid)
    assert (status(agent)["Status"], status(agent)["Outcome"]) == ("failed", "lost")
    assert "had ended already" in agent("kill", ID).stdout
