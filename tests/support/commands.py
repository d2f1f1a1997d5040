"""Starts the suite's commands as a caller would, in an environment built by a test."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypedDict, Unpack

from support import schemas
from support.forks import Forks
from support.processes import kill, processes_below

_PYTHON = [sys.executable, "-P", "-m"]
# The objects that hold a list alone, and its name.
_LISTS = {"tasks": "tasks", "queue": "prompts", "slots": "queues", "config": "settings"}


class Options(TypedDict, total=False):
    """What of Popen a test may choose."""

    stdin: int | IO[bytes]
    stdout: int | IO[bytes]
    stderr: int | IO[bytes]
    cwd: Path
    start_new_session: bool


def fields(stdout: str) -> dict[str, str]:
    """Read `key=value` lines; of a repeated key the last one counts."""
    pairs = (line.partition("=") for line in stdout.splitlines())
    return {key: value for key, equals, value in pairs if equals and key.isidentifier()}


def rows_of(stdout: str | bytes) -> list[dict[str, Any]]:
    """Read the list that a command has printed with --json, without an error."""
    told = json.loads(stdout)
    suite, kind, version = told.pop("schema").split("/")
    assert (suite, version) == ("codex-runner", "1")
    assert [*told] == [_LISTS[kind]]
    rows: list[dict[str, Any]] = told[_LISTS[kind]]
    return rows


@dataclass(slots=True)
class Cli:
    """Runs `python -P -m runner.cli.<command>`; `command` names another one.

    `env` changes single variables of the built environment; None removes one. With
    `forks` a command is a fork where that makes no difference.
    """

    environment: dict[str, str]
    cwd: Path
    command: str = "run_codex_task"
    forks: Forks | None = None
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __call__(
        self,
        *arguments: object,
        command: str | None = None,
        env: Mapping[str, str | None] | None = None,
        stdin: str | None = None,
        cwd: Path | None = None,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end; without `stdin` it is /dev/null."""
        argv = self.argv(*arguments, command=command)
        with self._popen(
            argv,
            self.env(env),
            cwd=cwd or self.cwd,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        ) as process:
            try:
                said = process.communicate(stdin, timeout)
            except BaseException:
                process.kill()
                raise
        schemas.check(said[0])
        return subprocess.CompletedProcess(argv, process.returncode, *said)

    def start(
        self,
        *arguments: object,
        command: str | None = None,
        env: Mapping[str, str | None] | None = None,
        **options: Unpack[Options],
    ) -> subprocess.Popen[bytes]:
        """Start in the background; ended by pid, with what is below, after the test.

        stdout and stderr are pipes and stdin is /dev/null unless the options differ.
        """
        argv = self.argv(*arguments, command=command)
        return self.launch(argv, env=env, **options)

    def launch(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str | None] | None = None,
        **options: Unpack[Options],
    ) -> subprocess.Popen[bytes]:
        """Start any program as `start` does, a script around a command for one."""
        wired: Options = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "cwd": self.cwd,
            **options,
        }
        process = self._popen(argv, self.env(env), **wired)
        self._started.append(process)
        return process

    def _popen(
        self,
        argv: Sequence[str | Path],
        env: dict[str, str],
        **options: Any,  # noqa: ANN401  # Popen's own
    ) -> subprocess.Popen[Any]:
        """Start a command as a fork where that makes no difference."""
        own = [*map(str, argv)]
        if self.forks is not None and own[:3] == _PYTHON and self.forks.can_run(env):
            return self.forks.start(own[3:], env=env, **options)
        return subprocess.Popen(argv, env=env, **options)

    def argv(self, *arguments: object, command: str | None = None) -> list[str]:
        """Build the command line."""
        module = f"runner.cli.{command or self.command}"
        return [*_PYTHON, module, *map(str, arguments)]

    def env(self, changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """Build the environment with these changes."""
        merged = {**self.environment, **(changes or {})}
        return {name: value for name, value in merged.items() if value is not None}

    def end(self) -> None:
        """End what `start` has started and is still there."""
        with ExitStack() as stack:
            for process in self._started:
                stack.callback(_end, process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        below = processes_below(process.pid)
        process.kill()
        for pid in below:
            kill(pid)
    with suppress(BrokenPipeError):
        process.communicate()
