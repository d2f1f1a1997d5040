"""The tree of errors that a command shows as one line, each with its exit code.

RunnerError
├── UsageError            2   the command line or a file it names is wrong
├── NoSuchTaskError       3   a task that no ledger here knows
├── NoSuchRunError        3   a run that the ledger does not know, or no longer
│   └── UnknownRunError   2   one that the command line names
├── WaitTimeoutError        124   what was waited for has not come in time
├── RunnerFault           1   the machine refused: a full disk, a missing right
│   ├── FileFault         1   one file operation, with the path and the reason
│   └── LedgerFault       1   the database cannot be opened, read or written
│       └── ConflictFault 1   a constraint of its schema refuses the change
├── SessionBusyError     75   another run holds the session
├── MigrationError       75   runs of the version before are at work
├── ArchivedError         1   a session that has been put away
├── InvalidTransitionError   an event that the state of a run does not allow
└── StaleStateError       1   a record has moved on since it was read
    └── AlreadyDeliveredError   a prompt has been given to another run
"""

from __future__ import annotations

import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SHORTAGES = (errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def is_resource_exhaustion(error: OSError) -> bool:
    """Tell whether this process lacked a descriptor, memory or a process for it.

    That says nothing of what was looked at, which must not be taken for gone.
    """
    return error.errno in _SHORTAGES


class RunnerError(Exception):
    """Say in one line what was wrong, with which value, and how to fix it."""

    exit_code: int = 1


class UsageError(RunnerError):
    """Refuse a command line, or a file that it names."""

    exit_code = 2


class NoSuchRunError(RunnerError):
    """Name a run that is not on record: mostly its session has just been removed."""

    exit_code = 3

    def __init__(self, run_id: str, looked_in: str) -> None:
        super().__init__(f"no run {run_id!r} is known (looked in {looked_in})")


class UnknownRunError(NoSuchRunError):
    """Refuse a run id that neither the ledger nor the log directory knows."""

    exit_code = 2


class NoSuchTaskError(RunnerError):
    """Name a task that is in no ledger here."""

    exit_code = 3

    def __init__(self, text: str) -> None:
        super().__init__(
            f"no task {text!r}: name one by its short id (4 digits or more), its thread"
            " id (6 or more), a run id or its title (codex-tasks ls -a lists them)"
        )


class WaitTimeoutError(RunnerError):
    """Report that the time to wait is over."""

    exit_code = 124


class RunnerFault(RunnerError):
    """Report that the machine, not the caller, stood in the way."""


class FileFault(RunnerFault):
    """Report one failed file operation, with a hint where there is one."""

    def __init__(
        self, doing: str, path: Path | str, cause: OSError, hint: str = ""
    ) -> None:
        reason = f"{cause.strerror or cause}" + (f" ({hint})" if hint else "")
        super().__init__(f"cannot {doing} {path}: {reason}")


class LedgerFault(RunnerFault):
    """Report that the ledger cannot be used."""

    def __init__(
        self,
        path: Path | str,
        reason: str,
        hint: str = "CODEX_RUNNER_HOME names another state directory",
    ) -> None:
        super().__init__(f"cannot use the ledger {path}: {reason} ({hint})")


class ConflictFault(LedgerFault):
    """Report a change that a constraint of the schema refuses."""


class SessionBusyError(RunnerError):
    """Refuse a second run on a session and name the run that holds it.

    `pid` is the process of another program that writes it, 0 when that is not known.
    """

    exit_code = 75
    holder = ""
    pid: int | None = None

    def __init__(
        self,
        session_id: str,
        holder: str,
        hint: str = "--wait-for-session waits for its end",
        *,
        pid: int | None = None,
    ) -> None:
        what = f"run {holder} holds it"
        if pid is not None:
            what = f"another program writes it, pid {pid or 'unknown'}"
        super().__init__(f"session {session_id} is busy: {what} ({hint})")
        self.holder, self.pid = holder, pid


class MigrationError(RunnerError):
    """Report that runs of the version before are not over, and how to go on."""

    exit_code = 75

    def __init__(self, runs: Sequence[str]) -> None:
        super().__init__(
            "this state directory is of the version before, and runs in it are not"
            f" over: {', '.join(runs)} (codex-tasks migrate waits for them, codex-tasks"
            " migrate --stop ends them)"
        )


class StaleStateError(RunnerError):
    """Report that a record is no longer in the state it was read in."""

    def __init__(self, run_id: str, expected: str) -> None:
        super().__init__(f"run {run_id} is no longer {expected}")


class AlreadyDeliveredError(StaleStateError):
    """Report that a prompt no longer waits."""

    def __init__(self, mail_id: int) -> None:
        RunnerError.__init__(self, f"prompt {mail_id} has been delivered already")


class ArchivedError(RunnerError):
    """Refuse to resume a session that is archived."""

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"task {session_id} is ARCHIVED: codex-tasks unarchive brings it back"
        )


class InvalidTransitionError(RunnerError):
    """Refuse an event that the state of a run does not allow."""

    def __init__(self, state: object, event: object) -> None:
        was, what = type(state).__name__, type(event).__name__
        super().__init__(f"a run that is {was} cannot be {what}")
