"""The tree of errors that a command shows: its exit code, and its word in JSON.

RunnerError                  1  failed
├── UsageError               2  usage         the command line or a file it names
│   └── UnpricedError        2  unpriced      a budget in USD, a model without a price
├── NoSuchTaskError          3  no_such_task  the ledger has no such task
│   └── RemovedTaskError     3  removed       another process has just removed it
├── NoSuchRunError           3  no_such_run   the ledger has no such run, or no longer
│   └── UnknownRunError      2  no_such_run   a run id of the command line is unknown
├── NotRunError              1  not_run       the task has had no run yet
├── WaitTimeoutError       124  timeout       the wait took too long
├── RunnerFault              1  machine       a full disk, a missing permission
│   ├── FileFault            1  file          one file operation, with path and reason
│   └── LedgerFault          1  ledger        the database cannot be read or written
│       └── ConflictFault    1  ledger        a constraint of its schema refuses it
├── SessionBusyError        75  busy          another run holds the session
│   ├── LeftRunningError    75  left_running  its runs have left processes running
│   └── QuitWaitsError      75  quit_waits    a `/quit` waits in its queue
├── NoSlotError             75  no_slot       slots, a pause or the start rate
├── RefusedPromptError       1  refused       the queue cannot take or change a prompt
├── MigrationError          75  migration     runs of the previous version go on
├── ArchivedError            1  archived      the session is archived
├── UnmergedError            1  unmerged      its worktree has work that is nowhere else
├── InvalidTransitionError   1  failed        an event that a run's state does not allow
└── StaleStateError          1  stale         a record was changed since it was read
    └── AlreadyDeliveredError   stale         another run has delivered the prompt
"""

from __future__ import annotations

import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsers.paths import Path

_SHORTAGES = (errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def is_resource_exhaustion(error: OSError) -> bool:
    """Return whether this process ran out of descriptors, memory or processes.

    Such an error says nothing about the file or process that was looked at.
    """
    return error.errno in _SHORTAGES


class RunnerError(Exception):
    """Base class: the problem with its value, and the fix, which is the `hint`.

    As a text it is one line with both. `code` is its word in JSON.
    """

    exit_code: int = 1
    code = "failed"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.message, self.hint = message, hint


class UsageError(RunnerError):
    """Refuse a command line, or a file that it names."""

    exit_code = 2
    code = "usage"


class UnpricedError(UsageError):
    """Refuse a budget in USD for a model without a price."""

    code = "unpriced"

    def __init__(self, max_usd: float, reason: str) -> None:
        super().__init__(
            f"--max-usd {max_usd:g}: {reason}",
            "--max-tokens N, or add its price to prices.toml, or name another model:"
            " --model MODEL",
        )


class NoSuchRunError(RunnerError):
    """Report a run without a row: usually its session has just been removed."""

    exit_code = 3
    code = "no_such_run"

    def __init__(
        self, run_id: str, looked_in: str, hint: str = "codex-tasks ls -a"
    ) -> None:
        super().__init__(f"no run {run_id!r} is known (looked in {looked_in})", hint)


class NotRunError(RunnerError):
    """Report a task whose first prompt still waits, or was canceled."""

    code = "not_run"

    def __init__(self, name: str) -> None:
        super().__init__(f"task {name} has not run yet", f"codex-tasks queue {name}")


class UnknownRunError(NoSuchRunError):
    """Refuse a run id that is neither in the ledger nor in the log directory."""

    exit_code = 2


class NoSuchTaskError(RunnerError):
    """Report a task that is not in the ledger."""

    exit_code = 3
    code = "no_such_task"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"no task {text!r}: name one by its short id (4 digits or more), its thread"
            " id (6 or more), a run id or its title",
            "codex-tasks ls -a",
        )


class RemovedTaskError(NoSuchTaskError):
    """Report a task that another process has just removed."""

    code = "removed"

    def __init__(self) -> None:
        RunnerError.__init__(self, "the task was removed meanwhile")


class WaitTimeoutError(RunnerError):
    """Report that a wait took too long."""

    exit_code = 124
    code = "timeout"


class RunnerFault(RunnerError):
    """Report an error of the machine, not of the caller."""

    code = "machine"


class FileFault(RunnerFault):
    """Report one failed file operation, with a hint if given."""

    code = "file"

    def __init__(
        self, doing: str, path: Path | str, cause: OSError, hint: str = ""
    ) -> None:
        super().__init__(f"cannot {doing} {path}: {cause.strerror or cause}", hint)


class LedgerFault(RunnerFault):
    """Report that the ledger cannot be used."""

    code = "ledger"

    def __init__(
        self,
        path: Path | str,
        reason: str,
        hint: str = "use another state directory: export CODEX_RUNNER_HOME=DIR",
    ) -> None:
        super().__init__(f"cannot use the ledger {path}: {reason}", hint)
        self.reason = reason


class ConflictFault(LedgerFault):
    """Report a change that a constraint of the schema refuses."""


class SessionBusyError(RunnerError):
    """Refuse a second run on a session, and name the run that holds its lock.

    `pid` is another program that writes the thread, 0 when its pid is unknown.
    """

    exit_code = 75
    code = "busy"
    holder = ""
    pid: int | None = None

    def __init__(
        self,
        session_id: str,
        holder: str,
        hint: str = "wait for its end: --wait-for-session",
        *,
        pid: int | None = None,
    ) -> None:
        what = f"run {holder} holds it"
        if pid is not None:
            what = f"another program writes it, pid {pid or 'unknown'}"
        super().__init__(f"session {session_id} is busy: {what}", hint)
        self.holder, self.pid = holder, pid


class LeftRunningError(SessionBusyError):
    """Refuse to remove a session whose run has left processes running."""

    code = "left_running"

    def __init__(self, session_id: str, left: str) -> None:
        what = f"session {session_id} has left running: {left}"
        RunnerError.__init__(self, what, f"codex-tasks stop {session_id}")


class QuitWaitsError(SessionBusyError):
    """Refuse a prompt behind a waiting `/quit`: it would never be delivered."""

    code = "quit_waits"

    def __init__(self, name: str, number: int) -> None:
        what = f"task {name} accepts no prompts: a /quit waits (prompt {number})"
        RunnerError.__init__(self, what, f"codex-tasks stop {name}")


class NoSlotError(RunnerError):
    """Refuse a run that slots, a pause or the start rate do not allow now."""

    exit_code = 75
    code = "no_slot"


class RefusedPromptError(RunnerError):
    """Refuse to queue or to change a prompt."""

    code = "refused"


class MigrationError(RunnerError):
    """Report that runs of the previous version are not finished, with the fix."""

    exit_code = 75
    code = "migration"

    def __init__(self, runs: Sequence[str]) -> None:
        super().__init__(
            "this state directory is of the previous version, and runs in it are not"
            f" finished: {', '.join(runs)}",
            "codex-tasks migrate, or codex-tasks migrate --stop",
        )


class StaleStateError(RunnerError):
    """Report that a record was changed since it was read."""

    code = "stale"

    def __init__(self, run_id: str, expected: str) -> None:
        super().__init__(f"run {run_id} is no longer {expected}")


class AlreadyDeliveredError(StaleStateError):
    """Report that a prompt no longer waits."""

    def __init__(self, mail_id: int) -> None:
        RunnerError.__init__(self, f"prompt {mail_id} has been delivered already")


class ArchivedError(RunnerError):
    """Refuse to resume a session that is archived."""

    code = "archived"

    def __init__(self, session_id: str) -> None:
        what = f"task {session_id} is ARCHIVED"
        super().__init__(what, f"codex-tasks unarchive {session_id}")


class UnmergedError(RunnerError):
    """Refuse to remove work that is nowhere else."""

    code = "unmerged"

    def __init__(self, name: str, why: str) -> None:
        super().__init__(
            f"task {name} {why}",
            f"codex-tasks merge {name}, or codex-tasks rm --force {name}",
        )


class InvalidTransitionError(RunnerError):
    """Report an event that the state of a run does not allow."""

    def __init__(self, state: object, event: object) -> None:
        was, what = type(state).__name__, type(event).__name__
        super().__init__(f"a run that is {was} cannot be {what}")
