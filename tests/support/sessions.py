"""Sessions of the stand-in through `codex-tasks`, and what they leave behind."""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Unpack

from support.commands import Cli, rows_of
from support.commands import Options as Streams
from support.processes import is_alive, kill, wait_until
from support.stand_in import StandIn
from support.tasks import Begun, Ended, Files

from parsers.paths import Path as LightPath
from runner.ledger import record
from runner.ledger.database import NAME
from runner.ledger.ledger import Ledger
from runner.lifecycle.timer import ring

COMMAND = "codex_tasks"
DEADLINE = 30


@dataclass(frozen=True)
class Session:
    """One session, by its id."""

    id: str
    sessions: "Sessions"

    @property
    def directory(self) -> Path:
        """Give where the session lies while it is not archived."""
        return self.sessions.state_home / self.id

    @property
    def place(self) -> Path:
        """Give where the session lies."""
        archived = self.sessions.state_home.glob(f"archive/*/*/*/{self.id}")
        return next(archived, self.directory)

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text("task.json"))
        return found

    @property
    def log(self) -> list[dict[str, Any]]:
        """Give the lines of the session's log."""
        lines = (self.place / "task.log").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    @property
    def prompts(self) -> list[str]:
        """Give the prompts in the session's log, in order."""
        return [line["message"] for line in self.log if line["type"] == "user_message"]

    @property
    def given(self) -> list[str]:
        """Give the prompts that Codex was given, in order."""
        return self.sessions.stand_in.given(self.id)

    @property
    def records(self) -> list[dict[str, Any]]:
        """Give what the ledger has of the session's runs, in their order."""
        return self.sessions.records_of(self.id)

    @property
    def queued(self) -> list[tuple[str, str]]:
        """Give the prompts that ever were in the queue, in order, and their state."""
        sql = (
            "select p.preview, p.state from prompts p"
            " join sessions s on s.id = p.session"
            " where s.thread_id = ? and not p.direct order by p.id"
        )
        return [(task, state) for task, state in self.sessions.rows(sql, self.id)]

    @property
    def runs(self) -> list[Files]:
        """Give the files of the session's runs, the oldest first."""
        places = [(Path(r["meta_file"]).parent, r["run_id"]) for r in self.records]
        return [Files(place, run_id) for place, run_id in places]

    @property
    def status(self) -> dict[str, Any]:
        """Give what `status` says of it."""
        said = self.sessions("status", "--json", "--one", self.id)
        assert said.code == 0, said.stderr
        found: dict[str, Any] = json.loads(said.stdout)
        return found

    @property
    def state(self) -> str:
        return str(self.status["state"])

    def send(self, prompt: str, *more: object, **options: Any) -> Ended:  # noqa: ANN401  # passed on
        return self.sessions("send", *more, self.id, prompt, **options)

    def queue(self, prompt: str, **options: Any) -> Ended:  # noqa: ANN401  # passed on
        return self.send(prompt, "--queue", **options)

    def wait(self) -> Ended:
        """Wait until the session is idle."""
        return self.sessions("status", "--wait", "--timeout", DEADLINE, self.id)

    def stop(self) -> Ended:
        return self.sessions("stop", self.id)

    def result(self, *more: object) -> Ended:
        return self.sessions("result", *more, self.id)

    def text(self, name: str) -> str:
        return (self.directory / name).read_text(encoding="utf-8")

    def wait_for_run(self, number: int) -> Files:
        """Wait until the n-th run is at work, with its first event, and give it."""

        def is_there() -> bool:
            runs = self.runs[number - 1 : number]
            # A run has a directory before it has its record.
            return any(
                each.path(".meta.json").exists()
                and each.meta["launched_at"]
                and each.text(".events.jsonl")
                for each in runs
            )

        wait_until(is_there, DEADLINE, f"run {number} of {self.id}")
        return self.runs[number - 1]

    def lose(self, *, supervisor: bool = True, codex: bool = False) -> None:
        """Kill processes of the run at work, and wait until they are gone."""
        files = self.runs[-1]
        pids = [files.supervisor()] * supervisor + [files.codex()] * codex
        for pid in pids:
            kill(pid)
        wait_until(lambda: not any(map(is_alive, pids)), what="the end of the killed")


@dataclass(slots=True)
class Sessions:
    """Starts sessions of one stand-in in one repository."""

    cli: Cli
    repo: Path
    stand_in: StandIn
    place: Path
    _numbers: "count[int]" = field(default_factory=count)

    @property
    def state_home(self) -> Path:
        return Path(self.cli.environment["CODEX_RUNNER_HOME"])

    def __call__(
        self,
        *words: object,
        env: Mapping[str, str | None] | None = None,
        stdin: str | None = None,
        cwd: Path | None = None,
        timeout: float = 60,
    ) -> Ended:
        """Run `codex-tasks` to the end."""
        done = self.cli(
            *words, command=COMMAND, env=env, stdin=stdin, cwd=cwd, timeout=timeout
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def begin(
        self,
        *words: object,
        env: Mapping[str, str | None] | None = None,
        **options: Unpack[Streams],
    ) -> Begun:
        """Start `codex-tasks` in the background with its streams in files."""
        number = next(self._numbers)
        out, err = (self.place / f"begun-{number}.{name}" for name in ("out", "err"))
        with out.open("ab") as stdout, err.open("ab") as stderr:
            wired: Streams = {"stdout": stdout, "stderr": stderr, **options}
            process = self.cli.start(*words, command=COMMAND, env=env, **wired)
        return Begun(process, out, err)

    def starting(self, *more: object) -> list[object]:
        """Build the words of a start; a prompt comes last."""
        usual = ("--working-dir", self.repo, "--codex-bin", self.stand_in.path)
        return ["start", *usual, *more]

    def start(self, *more: object, **options: Any) -> Session:  # noqa: ANN401  # passed on
        """Start a session; its id alone is on standard output."""
        said = self(*self.starting(*(more or ("Begin.",))), **options)
        assert said.code == 0, said.stderr
        (line,) = said.lines
        return Session(line, self)

    def ended(self, *more: object) -> Session:
        """Start a session and wait until its first run is over and exported."""
        session = self.start(*more)
        session.wait()
        with closing(Ledger(self.state_home)) as ledger:
            wait_until(lambda: not ledger.runs.unexported(), what="the exports")
        return session

    def listed(self, *more: object) -> dict[str, dict[str, Any]]:
        """Give what `ls` says of each session."""
        said = self("ls", "--json", *more)
        assert said.code == 0, said.stderr
        return {each["id"]: each for each in rows_of(said.stdout)}

    @property
    def records(self) -> list[dict[str, Any]]:
        """Give what the ledger has of all runs, session by session."""
        if not (self.state_home / NAME).exists():
            return []
        with closing(Ledger(self.state_home)) as ledger:
            sessions = sorted(each.key for each in ledger.sessions.all())
            runs = [run for key in sessions for run in ledger.runs.of_session(key)]
            return [record.to_json(run) for run in runs]

    def records_of(self, name: str) -> list[dict[str, Any]]:
        """Give what the ledger has of the runs of a session, in their order."""
        with closing(Ledger(self.state_home)) as ledger:
            keys = [each.key for each in ledger.sessions.named(name)]
            runs = [run for key in keys for run in ledger.runs.of_session(key)]
            return [record.to_json(run) for run in runs]

    @property
    def running(self) -> set[str]:
        """Name the sessions that `ls` says are at work."""
        return {
            key for key, each in self.listed().items() if each["state"] == "RUNNING"
        }

    def rows(self, sql: str, *values: str) -> list[Any]:
        """Ask the ledger."""
        with closing(sqlite3.connect(self.state_home / NAME)) as db:
            return db.execute(sql, values).fetchall()

    def let_time_pass(self) -> None:
        """Let the time be over for which something in a queue waits."""
        self.change(
            "update prompts set wake_at = '2026-01-01T00:00:01.000Z',"
            " wake_from = '2026-01-01T00:00:00.000Z' where wake_at is not null"
        )
        self.change("update holds set until = '2026-01-01T00:00:01.000Z'")
        ring(LightPath(str(self.state_home)))

    def change(self, sql: str, *values: str) -> None:
        """Change the ledger while no command looks."""
        with closing(sqlite3.connect(self.state_home / NAME)) as db, db:
            db.execute(sql, values)
