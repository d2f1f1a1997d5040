"""Start a run: record first, then the id for the caller, then the supervisor."""

from __future__ import annotations

import contextlib
import os

from parsers.struct import Struct
from runner import files, log_dirs, session_files, session_lock
from runner.errors import RunnerError, RunnerFault, SessionBusyError
from runner.exports import key_values
from runner.exports.preamble import preamble
from runner.ledger import record
from runner.lifecycle.channel import StatusReader
from runner.lifecycle.handoff import STOP_SIGNAL, STOP_SIGNALS, SupervisorArgs
from runner.locks import lock
from runner.model import Prepared, Run
from runner.process.start import Launch, start_program
from runner.process.table import child, this_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from runner.config import Config
    from runner.ledger.runs import Ledger
    from runner.model import ProcessId, RunId, Spec


class _LockedFault(RunnerFault):
    """Report that somebody has locked a file that was made this moment."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is locked by another program: try again")


class SupervisorFault(RunnerFault):
    """Report that the supervisor of a run cannot be started."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(f"cannot start a supervisor: {cause.strerror or cause}")


class PreparedRun(Struct):
    """Hold a run that is on record, and the locks that tell that it is meant.

    `guard` is the lock of its events file; `session_lock` that of the session it
    carries on, None when it opens one or will wait for it.
    """

    run: Run
    guard: int
    session_lock: int | None


class Commission(Struct):
    """Hold a run that is to be: its spec, and the prompt byte for byte.

    `lock` is that of its session, when it has been taken already; `title` the name of
    the session that it opens.
    """

    spec: Spec
    prompt: bytes
    lock: int | None = None
    title: str | None = None


def prepare_run(
    commission: Commission, ledger: Ledger, settings: Config
) -> PreparedRun:
    """Put a run on record: its files, its meta JSON, its row in the index.

    Raises:
        SessionBusyError: another run holds the session, and waiting was not asked for.
        AlreadyDeliveredError: another run delivers the prompt of its mailbox.
        RunnerFault: the disk or the index refuses; nothing is left behind.
    """
    spec, held = commission.spec, commission.lock
    if held is None:
        held = _session_lock(spec, ledger, settings)
    paths = record.files_of(spec)
    run = Run(spec=spec, state=Prepared(launcher=this_process()))
    head = (
        key_values.text([*key_values.announcement(run), ""])
        + preamble(spec, settings)
        + "\n"
    )
    made: list[Path] = []
    guard = None
    try:
        files.make_directory(paths.directory, _mend(run, settings))
        for path, content in (
            (paths.prompt, commission.prompt),
            (paths.events, b""),
            (paths.stderr, b""),
            (paths.log, head.encode(errors="backslashreplace")),
        ):
            files.create(path, content)
            made.append(path)
        guard = lock(paths.events)
        if guard is None:
            raise _LockedFault(paths.events)
        ledger.prepare(run, title=commission.title)
        _note_log_dir(run, settings)
    except RunnerError:
        files.remove([*made, paths.meta])
        # Of a session that never came to be nothing is left, not even its directory.
        files.remove_empty(paths.directory, settings.state_home)
        _close(guard, held)
        raise
    return PreparedRun(run=run, guard=guard, session_lock=held)


def _mend(run: Run, settings: Config) -> str:
    if session_files.of_run(settings.state_home, run) is None:
        return "--log-dir names another one"
    return "CODEX_RUNNER_HOME names another state directory"


def _note_log_dir(run: Run, settings: Config) -> None:
    """Note where to look for a run when the index is lost; nothing else needs it."""
    if session_files.of_run(settings.state_home, run) is None:
        with contextlib.suppress(RunnerError):
            log_dirs.note(settings.state_home, run.spec.log_dir)


class Started(Struct):
    """Hold the supervisor of a run, and the way to hear from it."""

    run_id: RunId
    supervisor: ProcessId
    listener: StatusReader


def launch_run(preparation: PreparedRun, settings: Config) -> Started:
    """Hand a run over to a supervisor of its own.

    Raises:
        RunnerFault: the machine cannot start another process; `abandon` tells so.
    """
    guard, held = preparation.guard, preparation.session_lock
    hear = say = log = None
    try:
        hear, say = os.pipe()
        log = os.open(
            record.files_of(preparation.run.spec).log, os.O_WRONLY | os.O_APPEND
        )
        orders = SupervisorArgs(
            run_id=preparation.run.run_id, channel=say, guard=guard, session_lock=held
        )
        pid = start_program(
            Launch(
                argv=orders.to_argv(),
                environment=settings.environment,
                stdout=log,
                stderr=log,
                keep=tuple(each for each in (say, guard, held) if each is not None),
                blocked=(*STOP_SIGNALS, STOP_SIGNAL),
            )
        )
    except OSError as error:
        _close(hear)
        raise SupervisorFault(error) from error
    finally:
        _close(say, guard, held, log)
    return Started(
        run_id=preparation.run.run_id,
        supervisor=child(pid),
        listener=StatusReader(hear),
    )


def fail_launch(
    preparation: PreparedRun, reason: str, ledger: Ledger, settings: Config
) -> None:
    """Put on record that a prepared run will not be started, and why."""
    from runner.exports.task_files import Chronicle  # noqa: PLC0415 - a rare end
    from runner.lifecycle.finish import finish_unstarted  # noqa: PLC0415 - a rare end
    from runner.lifecycle.judge import not_started  # noqa: PLC0415

    run = preparation.run
    over = finish_unstarted(run, not_started(1, reason))
    Chronicle(ledger, settings.state_home, lambda _: None).ended(over, None)
    ledger.store(run, over)


def _close(*descriptors: int | None) -> None:
    for each in descriptors:
        if each is not None:
            os.close(each)


def _session_lock(spec: Spec, ledger: Ledger, settings: Config) -> int | None:
    if spec.resume_session is None:
        return None
    # Who waits for its turn does that in the background.
    wait = session_lock.take if spec.wait_for_session else session_lock.take_patiently
    taken = wait(settings.state_home, ledger, spec.resume_session, spec.run_id)
    if isinstance(taken, session_lock.Held):
        return taken.descriptor
    if spec.wait_for_session:
        return None
    raise SessionBusyError(spec.resume_session, taken.holder)
