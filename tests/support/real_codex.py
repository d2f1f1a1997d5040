"""Runs of the real Codex through the suite's commands, and what Codex itself wrote."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from support.processes import wait_until
from support.tasks import Files, Tasks

from runner.loopback import Usage, usage_of_call

PARTS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_input_tokens",
    "output_tokens",
    "reasoning_output_tokens",
)


class Said(NamedTuple):
    """What `codex` said that was run by hand."""

    code: int
    stdout: str
    stderr: str


@dataclass
class RealTasks(Tasks):
    """Starts runs of the real Codex, outside of its sandbox unless one is named."""

    def arguments(self, *more: object) -> list[object]:
        has_sandbox = "--sandbox" in map(str, more)
        sandbox = [] if has_sandbox else ["--sandbox", "danger-full-access"]
        return super().arguments(*sandbox, *more)

    @property
    def home(self) -> Path:
        return Path(self.cli.environment["CODEX_HOME"])

    def by_hand(self, prompt: str, *arguments: object) -> Said:
        """Run `codex exec` without the suite."""
        usual = ["exec", "-C", self.repo, "-s", "danger-full-access"]
        done = subprocess.run(
            [str(word) for word in (self.stand_in.path, *usual, *arguments, "-")],
            input=prompt,
            env=self.cli.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def rollout(self, session: str) -> Path:
        """Find the file that Codex keeps of a thread."""
        (found,) = self.home.glob(f"sessions/*/*/*/rollout-*-{session}.jsonl")
        return found

    def records(self, session: str, kind: str) -> list[dict[str, Any]]:
        """Give the payloads of a thread's whole records of one kind, in order."""
        lines = self.rollout(session).read_text().splitlines(keepends=True)
        records = [json.loads(line) for line in lines if line.endswith("\n")]
        return [
            {**record["payload"], "ordinal": record["ordinal"]}
            for record in records
            if kind in {record["type"], record["payload"].get("type")}
        ]

    def total(self, session: str) -> dict[str, int]:
        """Give what the thread has used by the rollout's last total."""
        counts = [c for c in self.records(session, "token_count") if c["info"]]
        found = counts[-1]["info"]["total_token_usage"]
        return {part: found[part] for part in PARTS}


def parts(usage: dict[str, Any]) -> dict[str, int]:
    """Give the parts of a usage block, without the total and the notes."""
    return {part: usage[part] for part in PARTS}


def used(*calls: int) -> dict[str, int]:
    """Add up what the loopback model reports for the calls of these numbers."""
    return added(*map(usage_of_call, calls))


def added(*usages: Usage) -> dict[str, int]:
    return {part: sum(getattr(usage, part) for usage in usages) for part in PARTS}


def events(files: Files) -> list[dict[str, Any]]:
    """Give the complete events of a run."""
    lines = files.text(".events.jsonl").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def wait_for_command(files: Files) -> None:
    """Wait until Codex has announced that it runs a command."""
    wait_until(
        lambda: '"command_execution"' in files.text(".events.jsonl"),
        what="a running command",
    )


def holding(path: Path) -> str:
    """Write a shell command that waits for the test to make a file."""
    return f"while [ ! -e {path} ]; do sleep 0.05; done"
