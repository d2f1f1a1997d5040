"""The runner of `codex-agent` can be changed and changed back: all jobs are equal."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import Cli
from support.stand_in import StandIn

VARIABLE = "CODEX_AGENT_EXEC_RUNNER"


@pytest.fixture
def tmux(cli: Cli) -> Iterator[None]:
    """Give the test a tmux server of its own; the path of its socket is short."""
    program = shutil.which("tmux")
    if program is None:
        pytest.skip("tmux is not installed")
    with tempfile.TemporaryDirectory(prefix="t") as place:
        cli.environment["TMUX_TMPDIR"] = place
        yield
        argv = [program, "kill-server"]
        subprocess.run(argv, env=cli.env(None), check=False, capture_output=True)


@pytest.mark.usefixtures("tmux")
def test_a_rollback_of_the_runner_has_all_jobs_again(
    cli: Cli, repo: Path, codex: StandIn
) -> None:
    """Forth, back, and all jobs are equal."""
    cli.environment["PATH"] = f"{codex.path.parent}:{os.environ['PATH']}"

    def agent(runner: str, *words: str) -> str:
        said = cli(*words, command="codex_agent", env={VARIABLE: runner}, cwd=repo)
        assert said.returncode == 0, said.stderr
        return said.stdout

    agent("spawn", "start", "Do it.", "--wait")
    *heads, old = before = agent("spawn", "jobs").splitlines()
    agent("tmux", "start", "Do it.", "--wait")
    both = agent("tmux", "jobs").splitlines()

    assert len(both) == len(before) + 1
    assert [each for each in both if each in before] == before
    assert agent("spawn", "jobs").splitlines() == both
    names = [each.split()[0] for each in both[len(heads) :]]
    assert old.split()[0] in names
    for each in names:
        assert agent("spawn", "output", each) == agent("tmux", "output", each)
    assert [each.split()[1] for each in both[len(heads) :]] == ["completed"] * 2
