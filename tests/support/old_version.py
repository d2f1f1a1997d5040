"""Version 0.2 of the suite, taken out of the git history, and its commands."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.commands import Cli
from support.imports import ROOT

COMMIT = "dffffe4"
_ENTRY = (
    "import sys; sys.path.insert(0, {path!r}); sys.argv[0] = {name!r};"
    " from runner.cli import entry; entry.{function}()"
)


def checked_out(to: Path) -> Path:
    """Put the sources of version 0.2 into a directory; skip a test without history."""
    git = ["git", "-C", str(ROOT), "archive", COMMIT, "runner", "parsers"]
    done = subprocess.run(git, capture_output=True, check=False)
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip()
        pytest.skip(f"version 0.2 cannot be taken out of the git history: {why}")
    to.mkdir(parents=True)
    subprocess.run(["tar", "-x", "-C", str(to)], input=done.stdout, check=True)  # noqa: S607
    return to


@dataclass(frozen=True, slots=True)
class OldCli:
    """Runs commands of version 0.2 in the environment of a test."""

    source: Path
    cli: Cli

    def __call__(
        self, *arguments: object, command: str = "codex-tasks"
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            self.argv(*arguments, command=command),
            env=self.cli.env(None),
            cwd=self.cli.cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=60,
            check=False,
        )

    def start(
        self, *arguments: object, command: str = "codex-tasks"
    ) -> subprocess.Popen[bytes]:
        """Start in the background; ended after the test."""
        return self.cli.launch(self.argv(*arguments, command=command))

    def script(self, text: str) -> list[str]:
        """Build the command line of a script that uses its modules."""
        path = f"import sys; sys.path.insert(0, {str(self.source)!r})\n"
        return [sys.executable, "-P", "-c", path + text]

    def argv(self, *arguments: object, command: str) -> list[str]:
        function = command.replace("-", "_")
        entry = _ENTRY.format(path=str(self.source), name=command, function=function)
        return [sys.executable, "-P", "-c", entry, *map(str, arguments)]
