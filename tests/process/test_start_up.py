"""A command pays only for what it uses: what a bare start must not import."""

import signal
import subprocess
import sys

import pytest
from support.commands import Cli

pytestmark = pytest.mark.core

PROBE = """
import sys
from runner.cli.{command} import main
try:
    main(["--help"])
except SystemExit:
    pass
print(*sorted(sys.modules), file=sys.stderr)
"""
COMMANDS = ("run_codex_task", "parse_codex_run")
# Each of these costs between 3 and 140 ms, and none of them is needed to say --help.
HEAVY = {
    "asyncio",
    "dataclasses",
    "email",
    "genai_prices",
    "http",
    "hypothesis",
    "inspect",
    "jsonlines",
    "logging",
    "msgspec",
    "multiprocessing",
    "parsers.exec_events",
    "parsers.rollouts",
    "plumbum",
    "psutil",
    "pydantic",
    "rich",
    "runner.loopback",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "tomllib",
    "typing",
    "uuid",
}


def loaded_by(command: str, cli: Cli) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROBE.format(command=command)],
        capture_output=True,
        text=True,
        check=True,
        env=cli.environment,
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_heavy(command: str, cli: Cli) -> None:
    assert loaded_by(command, cli) & HEAVY == set()


@pytest.mark.parametrize("command", [*COMMANDS, "codex_tasks"])
def test_help_touches_no_state(command: str, cli: Cli) -> None:
    done = cli.start("--help", command=command)

    assert done.wait(30) == 0
    assert not (cli.cwd / "state").exists()
    assert not (cli.cwd / "runs").exists()


INTERRUPTED = """
import os, signal, sys

class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == "argparse":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, CtrlC())
from runner.cli import main
main.{command}()
"""


@pytest.mark.parametrize("command", [*COMMANDS, "codex_tasks"])
def test_ctrl_c_while_a_command_is_loaded_is_silent(command: str, cli: Cli) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", INTERRUPTED.format(command=command), "--help"],
        capture_output=True,
        text=True,
        env=cli.environment,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
