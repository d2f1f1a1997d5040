"""What a run is and the states that it passes through: pure.

A run's state is a union of frozen values, each holding exactly what is true then;
`advance` is the only code that leads from one to the next.

    Prepared ──Claimed──▶ Launching ──Launched──▶ Running ──Ended──▶ Finished
        └────────Ended────────┴──────────Ended──────────────────────────▲
"""

from __future__ import annotations

from enum import StrEnum

from parsers.struct import EMPTY, Struct, replace
from runner.errors import RunnerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from typing import NewType

    RunId = NewType("RunId", str)
    SessionId = NewType("SessionId", str)
else:
    RunId = SessionId = str

EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127
EXIT_TIMED_OUT = 124
EXIT_SIGNAL_BASE = 128
EXIT_INTERRUPTED = 130
EXIT_READER_GONE = 141
EXIT_STOPPED = 143


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


class TaskState(StrEnum):
    """What a session is at a moment: derived at every read, never trusted as stored.

    A session whose last run did not do what it was asked for has died; it can be
    carried on all the same.
    """

    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    DIED = "DIED"
    ARCHIVED = "ARCHIVED"


class Mode(StrEnum):
    """Whether a run opens a session or carries one on."""

    NEW = "new"
    RESUME = "resume"


class Verbosity(StrEnum):
    """How much of the debug preamble is shown."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


# What leaves a session STOPPED; every other end leaves it DIED.
GOOD_ENDS = (Outcome.SUCCEEDED, Outcome.STOPPED)


class ProcessId(Struct):
    """Name one process for good: a pid alone is used again.

    `start_time` is in clock ticks since boot on Linux, in microseconds of the
    epoch elsewhere; `boot_id` is the kernel's.
    """

    pid: int
    start_time: int
    boot_id: str


class CodexOptions(Struct):
    """Hold what is passed on to Codex, in the caller's words.

    `once` are arguments that belong to one prompt (an image, an output schema): a run
    that carries the session on does not repeat them.
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
    """Hold who is told about a run besides its own files."""

    json_out: str | None = None
    event_stream: str | None = None
    notify_command: str | None = None


class Spec(Struct):
    """Hold everything that is fixed about a run when it is prepared.

    `task` is a preview; the prompt itself lies in the run's prompt file. `cwd` and
    `umask` are the caller's, which Codex is to work under; `codex_home` is where the
    session lives, None for wherever the environment says. `mail_id` names the prompt of
    the session's mailbox that this run delivers.
    """

    run_id: RunId
    mode: Mode
    repo: str
    task: str
    task_file: str | None
    resume_session: SessionId | None
    log_dir: str
    cwd: str
    umask: int
    codex: CodexOptions
    limits: Limits
    report: Report
    wait_for_session: bool
    verbosity: Verbosity
    prepared_at: datetime
    codex_home: str | None = None
    mail_id: int | None = None


class Verdict(Struct):
    """Hold how a run ended.

    `exit_code` is the run's: what its command returns. `process_exit_code` and
    `signal` are what the operating system said of the Codex process, None when
    nobody was there to be told.
    """

    outcome: Outcome
    exit_code: int
    process_exit_code: int | None = None
    signal: int | None = None
    error: str | None = None


class Prepared(Struct):
    """On record; the command that prepared it has not handed it over yet."""

    launcher: ProcessId


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

    `accounts` is what the summary adds to the record: token usage, cost, warnings,
    what was left running. JSON values only.
    """

    verdict: Verdict
    started_at: datetime | None
    ended_at: datetime
    accounts: Mapping[str, object] = EMPTY


State = Prepared | Launching | Running | Finished


class Claimed(Struct):
    """A supervisor has taken the run over."""

    supervisor: ProcessId


class Launched(Struct):
    """The supervisor has started Codex."""

    codex: ProcessId
    at: datetime


class Ended(Struct):
    """The run is over, whoever found it out."""

    verdict: Verdict
    at: datetime
    accounts: Mapping[str, object] = EMPTY


Event = Claimed | Launched | Ended


class InvalidTransitionError(RunnerError):
    """Refuse an event that the state of a run does not allow."""

    def __init__(self, state: State, event: Event) -> None:
        was, what = type(state).__name__, type(event).__name__
        super().__init__(f"a run that is {was} cannot be {what}")


def advance(state: State, event: Event) -> State:
    """Return the state that an event leads to.

    Raises:
        InvalidTransitionError: the event cannot happen in this state.
    """
    match state, event:
        case Prepared(), Claimed(supervisor=supervisor):
            return Launching(supervisor=supervisor)
        case Launching(supervisor=supervisor), Launched(codex=codex, at=at):
            return Running(supervisor=supervisor, codex=codex, started_at=at)
        case ((Prepared() | Launching()), Ended()):
            return _finished(event, None)
        case Running(started_at=started_at), Ended():
            return _finished(event, started_at)
        case _:
            raise InvalidTransitionError(state, event)


def _finished(event: Ended, started_at: datetime | None) -> Finished:
    return Finished(
        verdict=event.verdict,
        started_at=started_at,
        ended_at=event.at,
        accounts=event.accounts,
    )


class Run(Struct):
    """One Codex process from preparation to verdict.

    `session_id` is the thread that Codex announced. `rollout_offset` is the size in
    bytes that the session's rollout file had before this run; `codex_version` is
    what the binary said of itself.
    """

    spec: Spec
    state: State
    session_id: SessionId | None = None
    codex_version: str | None = None
    rollout_offset: int | None = None

    @property
    def run_id(self) -> RunId:
        return self.spec.run_id

    @property
    def is_finished(self) -> bool:
        return isinstance(self.state, Finished)

    @property
    def session(self) -> SessionId | None:
        """Return the session this run is on, as asked for or as announced.

        When Codex works on another thread than it was asked for, the run has failed; it
        stays with the session whose lock it holds.
        """
        return self.spec.resume_session or self.session_id

    @property
    def key(self) -> str:
        """Name the session, or the run itself as long as Codex has named none."""
        return self.session or self.run_id

    @property
    def is_bystander(self) -> bool:
        """Tell whether it has only waited for its session, which others had."""
        return self.spec.wait_for_session and self.launched_at is None

    @property
    def place(self) -> str:
        """Order the runs on a session; one that has waited comes when it was launched.

        The ids of runs are times too, and a run that does not wait has its session from
        the beginning.
        """
        at = self.launched_at
        if at is None or not self.spec.wait_for_session:
            return self.run_id
        # As fine as a record tells it.
        return max(f"{at:%Y%m%d-%H%M%S}-{at.microsecond // 1000:03}", self.run_id)

    @property
    def verdict(self) -> Verdict | None:
        return self.state.verdict if isinstance(self.state, Finished) else None

    @property
    def outcome(self) -> Outcome | None:
        return self.verdict.outcome if self.verdict else None

    @property
    def ended_at(self) -> datetime | None:
        return self.state.ended_at if isinstance(self.state, Finished) else None

    @property
    def accounts(self) -> Mapping[str, object]:
        """Return what was counted at the end of the run; nothing before."""
        return self.state.accounts if isinstance(self.state, Finished) else EMPTY

    @property
    def has_answer(self) -> bool:
        """Tell whether Codex has said something, as the record of a finished run does.

        Records of version 0.1.0 do not: of those a success has.
        """
        return bool(self.accounts.get("has_answer", self.outcome in GOOD_ENDS))

    @property
    def launched_at(self) -> datetime | None:
        """Return when Codex was started."""
        match self.state:
            case Running(started_at=at) | Finished(started_at=at):
                return at
            case _:
                return None

    @property
    def started_at(self) -> datetime:
        """Return when the run began: with Codex, or else when it was prepared."""
        return self.launched_at or self.spec.prepared_at

    def with_warnings(self, texts: Iterable[str]) -> Run:
        """Add to a finished run what went wrong beside it and is not told yet."""
        if not isinstance(self.state, Finished):
            return self
        known = self.accounts.get("warnings")
        told = dict(known) if isinstance(known, dict) else {}
        for text in texts:
            told.setdefault(text, 1)
        accounts = {**self.accounts, "warnings": told}
        return replace(self, state=replace(self.state, accounts=accounts))

    def advanced(self, event: Event) -> Run:
        return replace(self, state=advance(self.state, event))
