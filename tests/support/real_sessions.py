"""Sessions of the real Codex through `codex-tasks`, and what they leave behind."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from support.processes import wait_until
from support.real_codex import RealTasks
from support.sessions import COMMAND, Session, Sessions
from support.tasks import Ended

DEADLINE = 45
FIGURES = (
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "reasoning_output_tokens",
    "total_tokens",
)


@dataclass(frozen=True)
class RealSession(Session):
    """One session of the real Codex."""

    sessions: "RealSessions"

    @property
    def log(self) -> list[dict[str, Any]]:
        """Give the complete lines of the session's log."""
        lines = self.text("task.log").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    @property
    def last_answer(self) -> str | None:
        """Give what the file of the last answer holds, None when there is none."""
        has_one = (self.directory / "task.result").exists()
        return self.text("task.result") if has_one else None

    @property
    def pid(self) -> int | None:
        """Give the pid in the session's directory, None when there is none."""
        has_one = (self.directory / "task.pid").exists()
        return int(self.text("task.pid")) if has_one else None

    @property
    def given(self) -> list[str]:
        """Give the prompts that Codex has noted in its rollout, in order."""
        completed = self.sessions.codex.records(self.id, "item_completed")
        items = (record["item"] for record in completed)
        return [
            "".join(part["text"] for part in item["content"])
            for item in items
            if item["type"] == "UserMessage"
        ]

    @property
    def total(self) -> dict[str, int]:
        """Give what the thread has used by the last figure in its rollout."""
        # Appended with the call; its `token_count` comes after the tools.
        records = self.sessions.codex.records(self.id, "token_usage_record")
        return figures(records[-1]["thread_token_usage"])

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until a text stands in the log of the session."""
        wait_until(
            lambda: self.text("task.log").count(text) >= times,
            DEADLINE,
            f"{text!r} in the log of {self.id}",
        )


class RealSessions(Sessions):
    """Starts sessions of the real Codex in the repository, outside of its sandbox."""

    def __init__(self, codex: RealTasks) -> None:
        super().__init__(codex.cli, codex.repo, codex.stand_in, codex.place)
        self.codex = codex

    def starting(self, *more: object) -> list[object]:
        """Build the words of a start; of an option that is repeated the last counts."""
        return super().starting("-s", "danger-full-access", *more)

    def argv(self, *more: object) -> list[str]:
        """Build the whole command line of a start."""
        return self.cli.argv(*self.starting(*more), command=COMMAND)

    def try_start(self, *more: object, **options: Any) -> Ended:  # noqa: ANN401  # passed on
        """Start a session that may not come to be."""
        return self(*self.starting(*more), **options)

    def start(self, *more: object, **options: Any) -> RealSession:  # noqa: ANN401  # passed on
        return self.named(super().start(*more, **options).id)

    def named(self, stdout: str) -> RealSession:
        """Give the session whose id is all that a start has printed."""
        (line,) = stdout.splitlines()
        return RealSession(line, self)

    @property
    def all(self) -> list[RealSession]:
        """Give the sessions that are not archived."""
        return [RealSession(each, self) for each in self.listed()]


def used_by(session: Session) -> dict[str, int]:
    """Add up what the runs of a session have used, by the records of the runs."""
    usages = [run.summary["token_usage"] for run in session.runs]
    return {name: sum(usage[name] for usage in usages) for name in FIGURES}


def figures(usage: Mapping[str, Any]) -> dict[str, int]:
    """Give the parts of a usage that a session tells."""
    return {name: usage[name] for name in FIGURES}
