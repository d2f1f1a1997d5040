"""What a run is and the states that it passes through: pure.

A run's state is a union of frozen values, each with exactly what is true then;
`advance` is the only code that leads from one to the next.

    Waiting ──Taken──▶ Prepared ──Claimed──▶ Launching ──Launched──▶ Running
       └──────────────────┴─────────Ended───────┴─────────────────────┴──▶ Finished
"""

from __future__ import annotations

from enum import StrEnum

from parsers.struct import EMPTY, Struct, replace
from runner.errors import InvalidTransitionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from typing import Literal, NewType

    RunId = NewType("RunId", str)
    SessionId = NewType("SessionId", str)
else:
    RunId = SessionId = str

EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127
EXIT_SIGNAL_BASE = 128
EXIT_INTERRUPTED = 130
EXIT_READER_GONE = 141
# The prompt that ends its session instead of being given to Codex.
QUIT = b"/quit"


class Outcome(StrEnum):
    """How a run ended, in one word."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    USAGE_LIMITED = "usage_limited"
    AUTH_FAILED = "auth_failed"
    TIMED_OUT = "timed_out"
    STALLED = "stalled"
    OVER_BUDGET = "over_budget"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    LOST = "lost"
    NOT_STARTED = "not_started"


class Meaning(Struct, kw_only=False):
    """What an outcome means.

    `exit_code` is the command's when nothing more exact is known (Codex's own code,
    128 + signal). `prompt` is how its prompt ends once Codex has begun to work on it.
    `then` is what becomes of the session's next prompt: the supervisor delivers it, the
    next command does, or a person has to act.
    """

    exit_code: int
    prompt: Literal["done", "failed", "canceled"]
    then: Literal["delivered", "left", "held"]
    is_good: bool = False


OUTCOMES: Mapping[Outcome, Meaning] = {
    Outcome.SUCCEEDED: Meaning(0, "done", "delivered", is_good=True),
    Outcome.FAILED: Meaning(1, "failed", "delivered"),
    Outcome.USAGE_LIMITED: Meaning(1, "failed", "held"),
    Outcome.AUTH_FAILED: Meaning(1, "failed", "held"),
    Outcome.TIMED_OUT: Meaning(124, "failed", "delivered"),
    Outcome.STALLED: Meaning(124, "failed", "delivered"),
    Outcome.OVER_BUDGET: Meaning(1, "failed", "delivered"),
    Outcome.STOPPED: Meaning(143, "canceled", "left", is_good=True),
    Outcome.INTERRUPTED: Meaning(EXIT_INTERRUPTED, "canceled", "left"),
    Outcome.LOST: Meaning(1, "failed", "delivered"),
    Outcome.NOT_STARTED: Meaning(EXIT_NOT_FOUND, "failed", "left"),
}


class TaskState(StrEnum):
    """What a session is at a moment; the view `session_states` has the rule."""

    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    DIED = "DIED"
    ARCHIVED = "ARCHIVED"


class Mode(StrEnum):
    """Whether a run opens a session or resumes one."""

    NEW = "new"
    RESUME = "resume"


class Verbosity(StrEnum):
    """How much of the debug preamble is shown."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class ProcessId(Struct):
    """Name one process for good: a pid alone is used again.

    `start_time` is in clock ticks since boot on Linux, in microseconds of the epoch
    elsewhere. `namespace` is the inode of the pid's PID namespace, `machine_id` what
    the machine is called; both are empty where they cannot be told.
    """

    pid: int
    start_time: int
    boot_id: str
    namespace: str = ""
    machine_id: str = ""


class CodexOptions(Struct):
    """Hold what is passed on to Codex, in the caller's words.

    `once` are arguments of one prompt (an image): the next run does not repeat them.
    """

    bin: str
    sandbox: str | None = None
    model: str | None = None
    overrides: tuple[str, ...] = ()
    skip_git_repo_check: bool = False
    extra: tuple[str, ...] = ()
    once: tuple[str, ...] = ()


class Limits(Struct):
    """Hold the limits of a run, in seconds; None is without limit.

    `announcement` is the time until Codex must have named its thread.
    """

    timeout: float | None = None
    stall: float | None = None
    announcement: float | None = None


class Report(Struct):
    """Hold where a run is reported besides its own files."""

    json_out: str | None = None
    event_stream: str | None = None
    notify_command: str | None = None


class Work(Struct):
    """Hold what a caller asks of a run, before and after it is prepared.

    Paths are absolute; Codex works under the caller's `cwd` and `umask`. `prompt_id` is
    the queued prompt that the run delivers; without one it brings its own.
    """

    repo: str
    cwd: str
    umask: int
    codex: CodexOptions
    limits: Limits = Limits()
    report: Report = Report()
    verbosity: Verbosity = Verbosity.LOW
    task_file: str | None = None
    wait_for_session: bool = False
    prompt_id: int | None = None


class RunRequest(Work):
    """Hold a run as a caller asks for it, whichever command it uses.

    `session` is the ledger's key of the session that it resumes, `thread` that
    session's thread; both are None for a new one, and `thread` alone is one that the
    ledger does not know. `codex_home` is where the session lives. `log_dir` is where
    the run's files go, None for a directory of its own. `has_exports` asks for the
    `task.*` files of the session. `writer` is the process of another program that
    writes the thread, 0 when it cannot be named.
    """

    prompt: bytes
    codex_home: str
    log_dir: str | None = None
    session: int | None = None
    thread: SessionId | None = None
    title: str | None = None
    has_exports: bool = False
    writer: int | None = None


class Spec(Work):
    """Hold everything that is fixed about a run when it is prepared.

    `task` is a preview; the prompt itself lies in the run's prompt file. `directory`
    holds the run's files, under names of their own where `is_flat` (a `--log-dir`).
    """

    run_id: RunId
    mode: Mode
    task: str
    resume_session: SessionId | None
    directory: str
    is_flat: bool
    prepared_at: datetime
    codex_home: str | None = None


class Verdict(Struct):
    """Hold how a run ended.

    `exit_code` is the run's: what its command returns. `process_exit_code` and
    `signal` are what the operating system said of the Codex process, None when no
    process of ours was its parent. `error_class` names why Codex refused before its
    turn began (`writer`, `configuration`, `thread_gone`, `untrusted`, `option`).
    """

    outcome: Outcome
    exit_code: int
    process_exit_code: int | None = None
    signal: int | None = None
    error: str | None = None
    error_class: str | None = None


class Waiting(Struct):
    """Accepted with `--wait-for-session`; its supervisor waits for its turn."""

    supervisor: ProcessId | None = None


class Prepared(Struct):
    """On record, with its session; no supervisor has claimed it yet."""


class Launching(Struct):
    """Owned by a supervisor that has not started Codex yet."""

    supervisor: ProcessId


class Running(Struct):
    """Codex has been started."""

    supervisor: ProcessId
    codex: ProcessId
    started_at: datetime


class Finished(Struct):
    """Over, judged and counted; `started_at` is None when Codex never ran.

    `accounts` is what the summary adds to the record: what Codex has said and done,
    token usage, cost, warnings, what was left running. JSON values only.
    """

    verdict: Verdict
    started_at: datetime | None
    ended_at: datetime
    accounts: Mapping[str, object] = EMPTY


State = Waiting | Prepared | Launching | Running | Finished


class Taken(Struct):
    """A waiting run has got its session."""


class Claimed(Struct):
    """A supervisor has taken the run over."""

    supervisor: ProcessId


class Launched(Struct):
    """The supervisor has started Codex."""

    codex: ProcessId
    at: datetime


class Ended(Struct):
    """The run is over, whichever process found it out."""

    verdict: Verdict
    at: datetime
    accounts: Mapping[str, object] = EMPTY


Event = Taken | Claimed | Launched | Ended


def advance(state: State, event: Event) -> State:
    """Return the state that an event leads to; refuse one that the state forbids."""
    match state, event:
        case Waiting(), Taken():
            return Prepared()
        case Prepared(), Claimed(supervisor=supervisor):
            return Launching(supervisor=supervisor)
        case Launching(supervisor=supervisor), Launched(codex=codex, at=at):
            return Running(supervisor=supervisor, codex=codex, started_at=at)
        case ((Waiting() | Prepared() | Launching() | Running()), Ended(at=at)):
            began = state.started_at if isinstance(state, Running) else None
            end = Finished(verdict=event.verdict, started_at=began, ended_at=at)
            return replace(end, accounts=event.accounts)
        case _:
            raise InvalidTransitionError(state, event)


class Run(Struct):
    """One Codex process from preparation to verdict.

    `session` is the ledger's key of the session that it is on, `ordinal` its place
    among the session's runs, `thread` the one that Codex announced. `waits` tells that
    it was accepted to wait for its session and has never been launched.
    `rollout_offset` is the size in bytes that the session's rollout file had before
    this run; `codex_version` is what the binary said of itself.
    """

    spec: Spec
    state: State
    session: int = 0
    ordinal: int = 0
    thread: SessionId | None = None
    waits: bool = False
    has_begun: bool = False
    is_stop_asked: bool = False
    codex_version: str | None = None
    rollout_offset: int | None = None

    @property
    def run_id(self) -> RunId:
        return self.spec.run_id

    @property
    def is_finished(self) -> bool:
        return isinstance(self.state, Finished)

    @property
    def verdict(self) -> Verdict | None:
        return self.state.verdict if isinstance(self.state, Finished) else None

    @property
    def outcome(self) -> Outcome | None:
        return self.verdict.outcome if self.verdict else None

    @property
    def has_succeeded(self) -> bool:
        return self.outcome is Outcome.SUCCEEDED

    @property
    def ended_at(self) -> datetime | None:
        return self.state.ended_at if isinstance(self.state, Finished) else None

    @property
    def accounts(self) -> Mapping[str, object]:
        return self.state.accounts if isinstance(self.state, Finished) else EMPTY

    @property
    def has_answer(self) -> bool:
        """Return whether Codex has said something; records of 0.1.0 tell by success."""
        is_good = self.outcome is not None and OUTCOMES[self.outcome].is_good
        return bool(self.accounts.get("has_answer", is_good))

    @property
    def supervisor(self) -> ProcessId | None:
        if isinstance(self.state, Waiting | Launching | Running):
            return self.state.supervisor
        return None

    @property
    def launched_at(self) -> datetime | None:
        if isinstance(self.state, Running | Finished):
            return self.state.started_at
        return None

    @property
    def started_at(self) -> datetime:
        """Return when the run began: with Codex, or else when it was prepared."""
        return self.launched_at or self.spec.prepared_at

    def with_warnings(self, texts: Iterable[str]) -> Run:
        """Add to a finished run what went wrong beside it and is not on record yet."""
        if not isinstance(self.state, Finished):
            return self
        told = self.accounts.get("warnings")
        known = told if isinstance(told, dict) else {}
        found = known | {text: 1 for text in texts if text not in known}
        accounts = {**self.accounts, "warnings": found}
        return replace(self, state=replace(self.state, accounts=accounts))

    def advanced(self, event: Event) -> Run:
        return replace(self, state=advance(self.state, event))
