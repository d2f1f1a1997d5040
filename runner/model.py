"""The model of a run and its states: pure.

A run's state is a union of frozen values; only `advance` changes the state.

    Waiting ──Taken──▶ Prepared ──Claimed──▶ Launching ──Launched──▶ Running
       └──────────────────┴─────────Ended───────┴─────────────────────┴──▶ Finished
"""

from __future__ import annotations

from parsers.light import StrEnum
from parsers.struct import EMPTY, Struct, replace
from runner.errors import InvalidTransitionError
from runner.terms import Terms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Literal, NewType

    from parsers.light import datetime

    RunId = NewType("RunId", str)
    SessionId = NewType("SessionId", str)
else:
    RunId = SessionId = str

EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127
EXIT_SIGNAL_BASE = 128
EXIT_INTERRUPTED = 130
EXIT_READER_GONE = 141
# The prompt that ends its session instead of being sent to Codex, and its other name.
QUIT, EXIT = b"/quit", b"/exit"


class Outcome(StrEnum):
    """How a run ended."""

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

    `exit_code` is the default exit code, unless there is a more exact one (Codex's own,
    or 128 + signal). `prompt` is how the prompt ends once Codex has begun its turn.
    `then` says who delivers the session's next prompt: the supervisor, the next
    command, or a person who has to act first.
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
    """The state of a session; the view `session_states` has the rule."""

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
    """Identify one process uniquely: a pid alone is reused.

    `start_time` is in clock ticks since boot on Linux, in microseconds of the epoch
    elsewhere; `namespace` is the inode of its PID namespace. Unknown is empty.
    """

    pid: int
    start_time: int
    boot_id: str
    namespace: str = ""
    machine_id: str = ""


class CodexOptions(Struct):
    """Hold the caller's options for Codex.

    `once` are arguments of one prompt (an image), which the next run does not repeat.
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
    """Hold where the events and the summary of a run are sent."""

    json_out: str | None = None
    event_stream: str | None = None
    notify_command: str | None = None


class Work(Struct):
    """Hold the part of a run that the caller sets, before and after it is prepared.

    Paths are absolute; Codex works under the caller's `cwd` and `umask`. `prompt_id` is
    the queued prompt that the run delivers, None for a run with its own prompt.
    """

    repo: str
    cwd: str
    umask: int
    codex: CodexOptions
    limits: Limits = Limits()
    report: Report = Report()
    terms: Terms = Terms()
    verbosity: Verbosity = Verbosity.LOW
    task_file: str | None = None
    wait_for_session: bool = False
    prompt_id: int | None = None


class RunRequest(Work):
    """Hold the request for a run, from any command.

    `session` is the ledger's key of the session to resume, `thread` its thread; a
    `thread` without `session` is not in the ledger. `log_dir` is the directory of the
    run's files, None for one of its own. `has_exports` requests the session's `task.*`
    files. `writer` is the pid of another program that writes the thread, 0 if unknown.
    `parent` is the run inside which it is started. With `park` a limit delays it.
    """

    prompt: bytes
    codex_home: str
    log_dir: str | None = None
    session: int | None = None
    thread: SessionId | None = None
    title: str | None = None
    has_exports: bool = False
    writer: int | None = None
    group: str = ""
    wait_for_slot: bool = False
    park: bool = False
    parent: str | None = None


class Spec(Work):
    """Hold the values of a run that never change after it is prepared.

    `task` is a preview; the whole prompt is in the run's prompt file. `directory` holds
    the run's files, with the run id in their names if `is_flat` (a `--log-dir`).
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

    `exit_code` is the run's; the exit status of Codex is None when the supervisor was
    not its parent. `error_class` is why Codex refused before its turn began (`writer`,
    `configuration`, `thread_gone`, `untrusted`, `option`), or `verify_failed`.
    """

    outcome: Outcome
    exit_code: int
    process_exit_code: int | None = None
    signal: int | None = None
    error: str | None = None
    error_class: str | None = None


class Waiting(Struct):
    """Accepted to wait; its supervisor waits for the session or a slot."""

    supervisor: ProcessId | None = None


class Prepared(Struct):
    """Inserted, with its session; no supervisor has claimed it yet."""


class Launching(Struct):
    """Owned by a supervisor that has not started Codex yet."""

    supervisor: ProcessId


class Running(Struct):
    """Codex has been started."""

    supervisor: ProcessId
    codex: ProcessId
    started_at: datetime


class Finished(Struct):
    """Ended, judged and counted; `started_at` is None when Codex never ran.

    `accounts` is the part of the summary that is not in the other columns: Codex's
    answer and actions, usage, cost, warnings, processes left running. JSON values only.
    """

    verdict: Verdict
    started_at: datetime | None
    ended_at: datetime
    accounts: Mapping[str, object] = EMPTY


State = Waiting | Prepared | Launching | Running | Finished


class Taken(Struct):
    """A waiting run has got its session."""


class Claimed(Struct):
    """A supervisor has claimed the run."""

    supervisor: ProcessId


class Launched(Struct):
    """The supervisor has started Codex."""

    codex: ProcessId
    at: datetime


class Ended(Struct):
    """The run has ended, judged by its supervisor or by a reader."""

    verdict: Verdict
    at: datetime
    accounts: Mapping[str, object] = EMPTY


Event = Taken | Claimed | Launched | Ended


def advance(state: State, event: Event) -> State:
    """Return the next state after an event; refuse an event that the state forbids."""
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

    `session` is the ledger's key of its session, `ordinal` its place in that, `thread`
    the one that Codex announced. One that `waits` for its session was never launched.
    `worktree` is where it works, `rollout_offset` the size of the rollout before it.
    """

    spec: Spec
    state: State
    session: int = 0
    ordinal: int = 0
    thread: SessionId | None = None
    waits: bool = False
    has_begun: bool = False
    is_stop_asked: bool = False
    worktree: str | None = None
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
        ended = self.verdict and (self.verdict.outcome, self.verdict.error_class)
        return ended == (Outcome.SUCCEEDED, None)

    @property
    def ended_at(self) -> datetime | None:
        return self.state.ended_at if isinstance(self.state, Finished) else None

    @property
    def accounts(self) -> Mapping[str, object]:
        return self.state.accounts if isinstance(self.state, Finished) else EMPTY

    @property
    def has_answer(self) -> bool:
        """Return whether Codex has an answer; records of 0.1.0 show it by success."""
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
        """Return when Codex was started, else when the run was prepared."""
        return self.launched_at or self.spec.prepared_at

    def with_warnings(self, texts: Iterable[str]) -> Run:
        """Add new warnings to a finished run."""
        if not isinstance(self.state, Finished):
            return self
        told = self.accounts.get("warnings")
        known = told if isinstance(told, dict) else {}
        found = known | {text: 1 for text in texts if text not in known}
        accounts = {**self.accounts, "warnings": found}
        return replace(self, state=replace(self.state, accounts=accounts))

    def advanced(self, event: Event) -> Run:
        return replace(self, state=advance(self.state, event))
