"""Runs `run_codex_task` with a stand-in codex, and reads what it printed and left."""

import json
import signal
import subprocess
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import IO, Any, TypedDict, Unpack

from support.commands import Cli, fields
from support.processes import is_alive, processes_below, wait_until
from support.stand_in import StandIn

from runner.ledger.ledger import Ledger
from runner.model import Run

ANNOUNCED = ["codex_run_id", "log_file", "meta_file", "summary_file_pending"]
CLOSING = [
    "codex_run_id",
    "codex_exit_code",
    "elapsed_seconds",
    "codex_session_id",
    "outcome",
    "log_file",
    "meta_file",
    "summary_file",
    "model_selected",
    "model_tier",
    "model_source",
    "cache_status",
    "summary_line",
    "summary_json",
]


class Options(TypedDict, total=False):
    """What of a start a test may choose."""

    command: str
    env: Mapping[str, str | None]
    stdin: int | IO[bytes]
    stdout: int | IO[bytes]
    stderr: int | IO[bytes]
    cwd: Path
    start_new_session: bool


@dataclass(frozen=True)
class Files:
    """The files of one run."""

    directory: Path
    run_id: str

    def path(self, suffix: str) -> Path:
        """Name a file: `.log`, `.meta.json`, …, wherever the run has its files."""
        if self.directory.name == self.run_id:
            return self.directory / suffix.removeprefix(".")
        return self.directory / f"codex-run-{self.run_id}{suffix}"

    def text(self, suffix: str) -> str:
        return self.path(suffix).read_text(encoding="utf-8", errors="replace")

    @property
    def meta(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text(".meta.json"))
        return found

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text(".summary.json"))
        return found

    @property
    def log(self) -> str:
        return self.text(".log")

    @property
    def is_finished(self) -> bool:
        return self.meta["ended_at"] is not None

    def wait_for_end(self, deadline: float = 15) -> None:
        wait_until(lambda: self.is_finished, deadline, f"the end of {self.run_id}")

    def supervisor(self) -> int:
        """Give the pid of the supervisor of a run that is not over."""
        pid: int = self.meta["processes"]["supervisor"]["pid"]
        return pid

    def codex(self) -> int:
        """Give the pid of the Codex of a running run."""
        pid: int = self.meta["processes"]["codex"]["pid"]
        return pid


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()

    @property
    def fields(self) -> dict[str, str]:
        return fields(self.stdout)

    @property
    def block(self) -> list[str]:
        """Give the names in the closing block, which are its last lines."""
        return [line.partition("=")[0] for line in self.lines[-len(CLOSING) :]]

    @cached_property
    def files(self) -> Files:
        meta = Path(self.fields["meta_file"])
        return Files(meta.parent, self.fields["codex_run_id"])

    @property
    def meta(self) -> dict[str, Any]:
        return self.files.meta


def is_refused(ended: Ended, code: int, *words: str) -> bool:
    """Say whether a command said nothing but one error, on standard error.

    The error is a line, and a second one when a word is the start of the fix.
    """
    first, *rest = ended.stderr.splitlines() or [""]
    fixes = [word for word in words if word.startswith("fix:")]
    return (
        ended.code == code
        and ended.stdout == ""
        and first.startswith("error: ")
        and "Traceback" not in ended.stderr
        and len(rest) == len(fixes)
        and all(line.startswith(fix) for line, fix in zip(rest, fixes, strict=True))
        and all(word in first for word in words if word not in fixes)
    )


@dataclass(frozen=True)
class Begun:
    """A command that was started with its streams in files."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    @property
    def stdout(self) -> str:
        return self.out.read_text(encoding="utf-8", errors="replace")

    @property
    def stderr(self) -> str:
        return self.err.read_text(encoding="utf-8", errors="replace")

    def wait_announced(self) -> Files:
        """Wait for the four lines and give the run that they name."""
        wait_until(
            lambda: (
                self.stdout.count("\n") >= len(ANNOUNCED)
                or self.process.poll() is not None
            ),
            deadline=30,  # dozens may be started at once
            what="the four lines",
        )
        found = fields(self.stdout)
        return Files(Path(found["meta_file"]).parent, found["codex_run_id"])

    def wait_running(self) -> Files:
        """Wait until the record says that Codex has been started."""
        files = self.wait_announced()
        wait_until(
            lambda: files.meta["state"] in {"running", "finished"}, what="the launch"
        )
        return files

    def wait(self, timeout: float = 30) -> Ended:
        """Wait for the end of the command."""
        code = self.process.wait(timeout)
        return Ended(code, self.stdout, self.stderr)

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.process.wait(10)

    @property
    def below(self) -> list[int]:
        return processes_below(self.process.pid)


@dataclass(slots=True)
class Tasks:
    """Starts runs in one repository, with one stand-in and one log directory."""

    cli: Cli
    repo: Path
    stand_in: StandIn
    place: Path
    _numbers: "count[int]" = field(default_factory=count)

    @property
    def log_dir(self) -> Path:
        return self.place / "runs"

    @property
    def all(self) -> list[Files]:
        """List the runs that have a meta file, the oldest first."""
        found = sorted(self.log_dir.glob("codex-run-*.meta.json"))
        ids = [p.name.removeprefix("codex-run-")[: -len(".meta.json")] for p in found]
        return [Files(self.log_dir, run_id) for run_id in ids]

    def on_record(self, files: Files) -> Run:
        """Read a run from the ledger, as it is there: nothing is judged."""
        with closing(Ledger(Path(self.cli.environment["CODEX_RUNNER_HOME"]))) as ledger:
            return ledger.runs.find(files.run_id)

    def arguments(self, *more: object) -> list[object]:
        """Put the usual options before these; a task only when none is given."""
        words = [str(word) for word in more]
        has_prompt = any(
            word.startswith(("--task", "--resume", "--doctor")) for word in words
        )
        usual: list[object] = ["--repo", self.repo, "--codex-bin", self.stand_in.path]
        usual += ["--log-dir", self.log_dir]
        return [*usual, *([] if has_prompt else ["--task", "Do it."]), *words]

    def __call__(
        self,
        *more: object,
        env: Mapping[str, str | None] | None = None,
        stdin: str | None = None,
        cwd: Path | None = None,
        timeout: float = 60,
    ) -> Ended:
        """Run to the end."""
        done = self.cli(
            *self.arguments(*more), env=env, stdin=stdin, cwd=cwd, timeout=timeout
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def start(self, *more: object, **options: Unpack[Options]) -> Begun:
        """Start in the background with standard output and error in files."""
        number = next(self._numbers)
        out, err = (self.place / f"started-{number}.{name}" for name in ("out", "err"))
        with out.open("ab") as stdout, err.open("ab") as stderr:
            wired: Options = {"stdout": stdout, "stderr": stderr, **options}
            process = self.cli.start(*self.arguments(*more), **wired)
        return Begun(process, out, err)

    def parse(
        self, *arguments: object, env: Mapping[str, str | None] | None = None
    ) -> Ended:
        """Run `parse_codex_run`."""
        words = ["--log-dir", self.log_dir, *arguments]
        done = self.cli(*words, command="parse_codex_run", env=env)
        return Ended(done.returncode, done.stdout, done.stderr)


def gone(*pids: int) -> bool:
    """Say whether none of these processes is alive."""
    return not any(map(is_alive, pids))
