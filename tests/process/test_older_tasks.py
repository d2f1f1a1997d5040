"""Tasks that the older `codex-tasks` is still running: followed, awaited, stopped."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import older_worker
from support.commands import Cli, rows_of
from support.processes import is_alive, processes_below, wait_until
from support.sessions import Session, Sessions
from support.stand_in import StandIn

THREAD = "0199d9c2-0000-7000-8000-000000000001"
CODEX = """\
#!/bin/sh
echo '{{"type":"thread.started","thread_id":"{thread}"}}'
echo '{{"type":"turn.started"}}'
trap '' INT
sleep 300 &
while [ ! -e {go} ]; do sleep 0.02; done
kill $!
echo '{{"type":"item.completed","item":{{"id":"a","type":"agent_message","text":"It is done."}}}}'
printf 'It is done.' > "$4"
echo '{{"type":"turn.completed","usage":{{"input_tokens":10,"output_tokens":5}}}}'
echo 'a warning' >&2
"""  # noqa: E501 # an event is one line
Work = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def work(
    cli: Cli, state_home: Path, repo: Path, go: Path, tmp_path: Path, codex: StandIn
) -> Work:
    """Let the older tool start work, as it did; it has a pid when this returns."""
    older = tmp_path / "older-codex"
    older.write_text(CODEX.format(thread=THREAD, go=shlex.quote(str(go))))
    older.chmod(0o755)
    cli.environment["PATH"] = f"{codex.path.parent}:{os.environ['PATH']}"
    state_home.mkdir(mode=0o700)

    def work(prompt: str) -> subprocess.Popen[bytes]:
        words = ["worker", "--store-root", state_home, repo, THREAD, prompt, older]
        argv = [sys.executable, older_worker.__file__, *map(str, words)]
        worker = cli.launch(argv)
        pid = state_home / THREAD / "task.pid"

        def is_there() -> bool:
            return worker.poll() is not None or bool(pid.exists() and pid.read_text())

        wait_until(is_there, what="a pid")
        return worker

    return work


@pytest.fixture
def task(sessions: Sessions) -> Session:
    return Session(THREAD, sessions)


def test_a_task_that_the_older_tool_runs_is_followed_and_awaited(
    work: Work, task: Session, go: Path
) -> None:
    worker = work("Do it.")
    status = task.status
    followed = task.sessions.begin("log", "-f", THREAD)
    awaited = task.sessions.begin("status", "--wait", "--json", THREAD)
    refused = task.send("More.")
    wait_until(lambda: "Do it." in followed.out.read_text(), what="the log")

    go.touch()
    log, waited = followed.wait(), awaited.wait()

    worker.wait(10)
    assert (status["state"], status["last_prompt"]) == ("RUNNING", "Do it.")
    assert status["pid"] is not None
    assert refused.code == 75
    assert log.code == 0, log.stderr
    places = [log.stdout.index(each) for each in ("Do it.", "It is done.", "a warning")]
    assert places == sorted(places)
    assert "tokens used\n15" in log.stdout
    assert log.stderr.endswith(f"Task {THREAD} is STOPPED; stopping log follow.\n")
    assert waited.code == 0, waited.stderr
    (after,) = rows_of(waited.stdout)
    assert (after["state"], after["last_result"]) == ("STOPPED", "It is done.")


def test_stop_ends_what_the_older_tool_has_started_and_nothing_else(
    work: Work, task: Session, state_home: Path
) -> None:
    task.sessions.cli.environment["CODEX_RUNNER_GRACE_SECONDS"] = "1"
    worker = work("Do it.")
    codex = int((state_home / THREAD / "task.pid").read_text())
    wait_until(lambda: len(processes_below(codex)) > 0, what="a tool of Codex")
    below = processes_below(codex)

    said = task.sessions("stop", "-a")

    assert (said.code, said.stdout) == (0, f"Task {THREAD} stopped.\n")
    assert not any(map(is_alive, [codex, *below]))
    worker.wait(10)
    record = json.loads((state_home / THREAD / "task.json").read_text())
    assert record["state"] == "STOPPED"
    assert (task.state, task.status["outcome"]) == ("STOPPED", "stopped")


def test_send_imports_the_one_task_that_it_needs(
    work: Work, task: Session, go: Path, codex: StandIn, state_home: Path
) -> None:
    go.touch()
    for prompt in ("Do it.", "Again."):
        work(prompt).wait(10)
    other = state_home / THREAD.replace("c2-", "c3-")
    other.mkdir()
    record = (state_home / THREAD / "task.json").read_text()
    (other / "task.json").write_text(record.replace("c2-", "c3-"))

    assert task.send("More.").code == 0
    task.wait()

    status = task.status
    assert (status["runs"], status["last_result"]) == (3, "answer to More.")
    assert codex.runs[0]["argv"][-2:] == [THREAD, "-"]
    assert len([*(state_home / "runs").iterdir()]) == 3
    assert task.sessions.listed("-a").keys() == {THREAD, other.name}


@pytest.mark.parametrize("name", [THREAD, "mine"])
def test_run_codex_task_imports_the_older_task_that_it_resumes(
    work: Work,
    task: Session,
    go: Path,
    codex: StandIn,
    repo: Path,
    name: str,
) -> None:
    go.touch()
    work("Do it.").wait(10)
    older_worker.write(task.directory, title="mine")

    usual = ("--repo", repo, "--codex-bin", codex.path, "--resume", name)
    done = task.sessions.cli(*usual, "--task", "More.")

    assert done.returncode == 0, done.stderr
    assert (task.status["runs"], task.state) == (2, "STOPPED")
    assert "It is done." in task.sessions("log", THREAD).stdout
