"""Jobs through `codex-agent`, and what they leave behind."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.processes import wait_until
from support.sessions import DEADLINE, Session, Sessions
from support.tasks import Begun, Ended, Files

COMMAND = "codex_agent"


@dataclass(frozen=True)
class Job:
    """One job, by its id."""

    id: str
    agents: "Agents"

    @property
    def report(self) -> dict[str, Any]:
        """Give what `status` says of it."""
        found: dict[str, Any] = self.agents.told("status", self.id)["job"]
        return found

    @property
    def status(self) -> str:
        return str(self.report["status"])

    @property
    def session(self) -> Session:
        """Give its session, once Codex has named the thread."""
        return Session(str(self.report["session_id"]), self.agents.sessions)

    @property
    def runs(self) -> list[Files]:
        """Give the files of its runs, the oldest first."""
        records = self.agents.sessions.records_of(self.id)
        return [Files(Path(r["meta_file"]).parent, r["run_id"]) for r in records]

    @property
    def turns(self) -> list[str]:
        return [run.run_id for run in self.runs]

    def __call__(self, command: str, *more: object, **options: Any) -> Ended:  # noqa: ANN401  # passed on
        """Run a command on it; further words follow the id."""
        return self.agents(command, self.id, *more, **options)

    def send(self, text: str, **options: Any) -> Ended:  # noqa: ANN401  # passed on
        return self("send", "--", text, **options)

    def await_turn(self, *more: object) -> Ended:
        return self("await-turn", "--timeout", DEADLINE, *more)

    def wait_begun(self, turns: int = 1) -> None:
        """Wait until Codex is at work in a turn, with its first event."""

        def is_there() -> bool:
            runs = self.runs[turns - 1 :]
            return any(
                each.path(".meta.json").exists()
                and each.meta["launched_at"]
                and each.text(".events.jsonl")
                for each in runs
            )

        wait_until(is_there, DEADLINE, f"turn {turns} of {self.id}")


@dataclass(slots=True)
class Agents:
    """Starts jobs of one stand-in in one repository."""

    sessions: Sessions

    def __call__(
        self,
        *words: object,
        env: Mapping[str, str | None] | None = None,
        stdin: str | None = None,
        cwd: Path | None = None,
        timeout: float = 60,
    ) -> Ended:
        """Run `codex-agent` to the end."""
        done = self.sessions.cli(
            *words, command=COMMAND, env=env, stdin=stdin, cwd=cwd, timeout=timeout
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def begin(self, *words: object, **options: Any) -> Begun:  # noqa: ANN401  # passed on
        """Start `codex-agent` in the background with its streams in files."""
        cli, place = self.sessions.cli, self.sessions.place
        number = next(self.sessions._numbers)
        out, err = (place / f"agent-{number}.{name}" for name in ("out", "err"))
        with out.open("ab") as stdout, err.open("ab") as stderr:
            wired = {"stdout": stdout, "stderr": stderr, **options}
            process = cli.start(*words, command=COMMAND, **wired)
        return Begun(process, out, err)

    def told(self, *words: object, **options: Any) -> dict[str, Any]:  # noqa: ANN401  # passed on
        """Give the object that a command prints with --json."""
        said = self(*words, "--json", **options)
        assert said.code == 0, said.stderr
        found: dict[str, Any] = json.loads(said.stdout)
        return found

    def starting(self, *more: object) -> list[object]:
        """Build the words of a start; a prompt comes last."""
        stand_in = self.sessions.stand_in.path
        return ["start", "-d", self.sessions.repo, "--codex-bin", stand_in, *more]

    def start(self, *more: object, **options: Any) -> Job:  # noqa: ANN401  # passed on
        said = self(*self.starting(*(more or ("Begin.",))), **options)
        assert said.code == 0, said.stderr
        first = said.lines[0]
        assert first.startswith("Job started: "), said.stdout
        return Job(first.removeprefix("Job started: "), self)

    def ended(self, *more: object, **options: Any) -> Job:  # noqa: ANN401  # passed on
        """Start a job and wait until its turn is over."""
        job = self.start(*more, **options)
        job.await_turn()
        return job

    def jobs(self, *more: object) -> list[dict[str, Any]]:
        """Give the rows of `jobs --json`."""
        found: list[dict[str, Any]] = self.told("jobs", *more)["jobs"]
        return found
