"""Start a session in the background and wait until Codex has named its thread."""

from __future__ import annotations

import os
from pathlib import Path

from parsers.struct import Struct, replace
from runner import clock, session_files
from runner.errors import (
    FileFault,
    RunnerError,
    RunnerFault,
    UsageError,
    WaitTimeoutError,
)
from runner.exports import task_files
from runner.lifecycle import queue
from runner.lifecycle.launch import Commission
from runner.lifecycle.recover import reconcile_run
from runner.model import Limits, Mode, Outcome, Report, SessionId, Spec, Verbosity
from runner.process.signals import send
from runner.prompt.read import is_quit, preview
from runner.run_files import new_run_id
from runner.service import follow
from runner.service.stop import stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.config import Config
    from runner.ledger.runs import Ledger
    from runner.lifecycle.launch import Started
    from runner.model import CodexOptions, Run

_CONFIG_NAME = "config.toml"
# A Codex that obeys is gone by then; one that does not is left to its supervisor.
_ENDING_SECONDS = 1.0


class Beginning(Struct):
    """Hold what somebody who starts a session asks for, in his own words.

    `timeout`, `stall` and `announcement` are seconds, None is without limit.
    """

    prompt: bytes
    title: str | None
    working_dir: str | None
    config_file: str | None
    codex: CodexOptions
    images: tuple[str, ...]
    output_schema: str | None
    timeout: float | None
    stall: float | None
    announcement: float | None


class NotStartedError(RunnerError):
    """Report a session that has not come to be, in Codex's own words."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"{_reason(run)} (on record as {run.run_id})")


class UnrecordedError(RunnerFault):
    """Report that the index refuses the name of a thread; its run goes on."""

    def __init__(self, run: Run, session: SessionId) -> None:
        super().__init__(
            f"Codex has named thread {session}, which cannot be put on record (full"
            f" disk?): its run is known as {run.run_id}"
        )


class NamelessError(WaitTimeoutError):
    """Report that Codex has not named its thread in time; its run has been ended."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"{_reason(run)} (on record as {run.run_id})")


def _reason(run: Run) -> str:
    error = run.verdict.error if run.verdict else None
    return error or "Codex has ended without naming a thread"


def prepare(beginning: Beginning, settings: Config) -> Spec:
    """Build the spec of a session's first run; its directory is made when missing.

    Raises:
        UsageError: something that the caller named is not there or makes no sense.
        FileFault: the working directory cannot be made.
    """
    if is_quit(beginning.prompt):
        message = "/quit ends a session: there is none yet"
        raise UsageError(message)
    once = [
        *(f"--image={_file(path, '--image')}" for path in beginning.images),
        *_schema(beginning.output_schema),
    ]
    home = _codex_home(beginning.config_file, settings)
    directory = _working_dir(beginning.working_dir)
    at = clock.now()
    run_id = new_run_id(at)
    return Spec(
        run_id=run_id,
        mode=Mode.NEW,
        repo=str(directory),
        task=preview(beginning.prompt),
        task_file=None,
        resume_session=None,
        log_dir=str(session_files.pending(settings.state_home, run_id).runs),
        cwd=str(directory),
        umask=os.umask(0o077),
        codex=replace(beginning.codex, once=tuple(once)),
        limits=Limits(
            timeout=beginning.timeout,
            stall=beginning.stall,
            announcement=beginning.announcement,
        ),
        report=Report(),
        wait_for_session=False,
        verbosity=Verbosity.LOW,
        prepared_at=at,
        codex_home=home,
    )


def begin(
    spec: Spec, beginning: Beginning, ledger: Ledger, settings: Config
) -> Started:
    """Put the session on record and hand its first run to a supervisor.

    Raises:
        RunnerFault: the machine refuses; what is on record says so.
    """
    commission = Commission(spec=spec, prompt=beginning.prompt, title=beginning.title)
    return queue.start(commission, ledger, settings)


def named(
    started: Started,
    ledger: Ledger,
    settings: Config,
    warn: Callable[[str], None],
) -> SessionId:
    """Wait until Codex has named the thread, and return its id.

    How long that may take is a limit of the run: its supervisor ends it then.

    Raises:
        NotStartedError: the run is over and has no thread.
        NamelessError: it took too long, and has been ended.
    """
    limit = ledger.find(started.run_id).spec.limits.announcement
    patience = None if limit is None else limit + _ENDING_SECONDS
    began = clock.monotonic()
    for piece in follow.until_named(started.listener, patience):
        if isinstance(piece, follow.Named):
            return SessionId(piece.session_id)
        warn(piece.text)
    while True:
        # Without a word from its supervisor the record tells, whoever is left.
        run = reconcile_run(ledger.find(started.run_id), ledger, settings)
        if run.session is not None:
            return _on_record(run, run.session, ledger)
        if run.outcome is Outcome.TIMED_OUT:
            raise NamelessError(run)
        if run.is_finished:
            raise NotStartedError(run)
        if patience is not None and clock.monotonic() - began >= patience:
            if (thread := task_files.thread_of(run)) is not None:
                return _on_record(run, thread, ledger)
            message = (
                f"Codex has not named a thread within {limit:g} s and is being ended"
                f" (on record as {run.run_id})"
            )
            raise WaitTimeoutError(message)
        clock.sleep(follow.PACE_SECONDS)


def _on_record(run: Run, session: SessionId, ledger: Ledger) -> SessionId:
    """Return the id of a session that can be asked for by it."""
    if ledger.sessions.find(session) is None:
        raise UnrecordedError(run, session)
    return session


def give_up(started: Started, number: int, ledger: Ledger, settings: Config) -> None:
    """End a run whose caller goes away before it knows the thread's name.

    A supervisor that has not claimed the run yet keeps the signal until it has.
    """
    if not send(started.supervisor, number):
        stop(ledger.find(started.run_id), number, ledger, settings)


def _file(path: str, option: str) -> Path:
    found = Path(path).absolute()
    if not found.is_file():
        what = "is a directory, name a file" if found.is_dir() else "no such file"
        message = f"{option} {path}: {what}"
        raise UsageError(message)
    return found


def _schema(path: str | None) -> list[str]:
    if path is None:
        return []
    return ["--output-schema", str(_file(path, "--output-schema"))]


def _codex_home(config_file: str | None, settings: Config) -> str:
    if config_file is None:
        return str(settings.codex_home)
    found = _file(config_file, "--config-file").resolve()
    if found.name != _CONFIG_NAME:
        message = (
            f"--config-file {config_file}: must be named {_CONFIG_NAME}, its directory"
            " is Codex's home"
        )
        raise UsageError(message)
    return str(found.parent)


def _working_dir(path: str | None) -> Path:
    if path is not None and not path:
        message = "--working-dir is empty: name a directory"
        raise UsageError(message)
    directory = Path(path or ".").absolute()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return directory.resolve()
    except OSError as error:
        mend = "--working-dir names another one"
        raise FileFault("make the directory", directory, error, mend) from error
