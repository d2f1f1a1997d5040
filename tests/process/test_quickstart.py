"""What quickstart decides, with a stand-in for Codex."""

from pathlib import Path

import pytest
from support.commands import Cli
from support.stand_in import StandIn

WITHOUT_SANDBOX = """#!/bin/sh
if [ "$1" = sandbox ]; then
    echo "bwrap: no permissions to create a new namespace" >&2
    exit 1
fi
exec "{path}" "$@"
"""


@pytest.fixture
def codex(stand_in: StandIn, tmp_path: Path) -> Path:
    """Make a stand-in on a machine that has no sandbox.

    The CODEX_HOME of the tests names a provider of its own, which needs no login.
    """
    path = tmp_path / "codex"
    path.write_text(WITHOUT_SANDBOX.format(path=stand_in.path))
    path.chmod(0o755)
    return path


def quickstart(cli: Cli, *arguments: object) -> tuple[int, str]:
    done = cli(*arguments, command="quickstart")
    return done.returncode, done.stderr


def test_a_demonstration_does_without_a_sandbox_that_cannot_work(
    cli: Cli, codex: Path, stand_in: StandIn
) -> None:
    code, words = quickstart(cli, "--offline", "--codex-bin", codex)

    assert code == 0
    assert "cannot be run here: the run has no sandbox" in words
    (run,) = (r for r in stand_in.runs if r["argv"][0] == "exec")
    assert "danger-full-access" in run["argv"]


@pytest.mark.parametrize("wrong", ["--no-such-option", "--sandbox="])
def test_a_demonstration_refuses_the_options_that_a_run_would(
    wrong: str, cli: Cli, codex: Path, stand_in: StandIn
) -> None:
    code, words = quickstart(cli, "--offline", "--codex-bin", codex, wrong)

    assert code == 2
    assert wrong.removesuffix("=") in words
    assert not [r for r in stand_in.runs if r["argv"][0] == "exec"]


def test_a_task_that_is_empty_is_no_wish_for_another_one(cli: Cli, codex: Path) -> None:
    code, words = quickstart(cli, "--offline", "--codex-bin", codex, "--task=")

    assert code == 2
    assert "--task is empty" in words


def test_a_run_of_the_callers_keeps_the_sandbox_and_names_the_fix(
    cli: Cli, codex: Path, stand_in: StandIn
) -> None:
    code, words = quickstart(cli, "--codex-bin", codex)

    assert code == 0
    assert ": the run uses your model" in words
    assert "pass --sandbox danger-full-access" in words
    (run,) = (r for r in stand_in.runs if r["argv"][0] == "exec")
    assert "workspace-write" in run["argv"]
