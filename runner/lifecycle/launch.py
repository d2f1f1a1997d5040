"""Start a run: insert it, then give the caller the id, then start the supervisor."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from parsers.struct import Struct, replace
from runner import clock, files, locks
from runner.codex.home import writer_of
from runner.errors import RunnerError, RunnerFault
from runner.exports import queue_files, run_exports
from runner.exports.key_values import header, preamble, text
from runner.ledger.database import ELSEWHERE
from runner.lifecycle.handoff import STOP_SIGNAL, STOP_SIGNALS, StatusReader, argv_of
from runner.model import Mode, Prepared, Run, Spec, Waiting, Work
from runner.process.start import Launch, start_program
from runner.process.table import child
from runner.prompt.read import preview
from runner.run_files import files_of, new_run_id, own_directory, owner_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.model import ProcessId, RunId, RunRequest

_APPEND = os.O_WRONLY | os.O_APPEND


class SupervisorFault(RunnerFault):
    """Report that the supervisor of a run cannot be started."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(f"cannot start a supervisor: {cause.strerror or cause}")


class PreparedRun(Struct):
    """Hold a recorded run, and the two locks that show that it is alive.

    The process that is in charge of the run holds `owner`. `events` is the open file
    that becomes Codex's standard output.
    """

    run: Run
    owner: int
    events: int

    def close(self) -> None:
        os.close(self.owner)
        os.close(self.events)


class Started(Struct):
    """Hold the supervisor of a run, and the reader of its status pipe."""

    run_id: RunId
    supervisor: ProcessId
    reader: StatusReader


def prepare_run(request: RunRequest, ledger: Ledger, settings: Config) -> PreparedRun:
    """Create the files of a run, and insert its session, its prompt and its row.

    Raises:
        SessionBusyError: another run or program writes the session, or prompts wait
            for it, and the caller did not ask to wait.
        ArchivedError: the session is archived.
        AlreadyDeliveredError: another run delivers the prompt.
        RunnerFault: a file or the ledger cannot be written; nothing is left.
    """
    if request.prompt_id is None and request.thread is not None:
        pid = writer_of(Path(request.codex_home), request.thread)
        request = replace(request, writer=pid)
    spec = _spec(request, ledger)
    home, paths = settings.state_home, files_of(spec)
    with contextlib.ExitStack() as undo:
        _create_files(spec, request.prompt, settings, undo)
        owner = _lock(owner_of(home, spec.run_id), undo)
        # The lock is on the open file that Codex inherits.
        events = _lock(paths.events, undo, _APPEND)
        run = ledger.queue.prepare(Run(spec=spec, state=Prepared()), request)
        undo.pop_all()
    # Exports for people; they can be rendered again from the ledger.
    with contextlib.suppress(RunnerError):
        run_exports.write_meta(run)
        if spec.is_flat:
            run_exports.note_directory(home, spec.directory)
        if isinstance(run.state, Waiting):
            queue_files.refresh(ledger, run.session, [run.spec.prompt_id or 0])
    return PreparedRun(run=run, owner=owner, events=events)


def launch_run(prepared: PreparedRun, settings: Config) -> Started:
    """Start the supervisor of a run, and pass the locks to it.

    Raises:
        RunnerFault: the process cannot be started; the caller uses `fail_launch`.
    """
    run = prepared.run
    with contextlib.ExitStack() as closing, contextlib.ExitStack() as undo:
        try:
            read, write = os.pipe()
            undo.callback(os.close, read)
            closing.callback(os.close, write)
            log = os.open(files_of(run.spec).log, _APPEND | os.O_CLOEXEC)
            closing.callback(os.close, log)
            handed = (write, prepared.owner, prepared.events)
            pid = start_program(
                Launch(
                    argv=argv_of(run.run_id, *handed),
                    environment=settings.environment,
                    stdout=log,
                    stderr=log,
                    keep=handed,
                    blocked=(*STOP_SIGNALS, STOP_SIGNAL),
                )
            )
        except OSError as error:
            raise SupervisorFault(error) from error
        supervisor = child(pid)
        undo.pop_all()
    started = Started(
        run_id=run.run_id, supervisor=supervisor, reader=StatusReader(read)
    )
    prepared.close()
    return started


def start_run(request: RunRequest, ledger: Ledger, settings: Config) -> Started:
    """Prepare a run and start its supervisor.

    Raises:
        RunnerError: as `prepare_run`, or the supervisor cannot be started.
    """
    prepared = prepare_run(request, ledger, settings)
    try:
        return launch_run(prepared, settings)
    except RunnerError as error:
        fail_launch(prepared, str(error), ledger)
        raise


def fail_launch(prepared: PreparedRun, reason: str, ledger: Ledger) -> None:
    """Finish a prepared run that cannot be started, with the reason."""
    from runner.lifecycle.finish import finish_unstarted  # noqa: PLC0415 - a rare end
    from runner.lifecycle.judge import not_started  # noqa: PLC0415

    run = prepared.run
    # Its locks keep other processes from writing the same files meanwhile.
    with contextlib.closing(prepared):
        over = finish_unstarted(run, not_started(1, reason))
        ledger.runs.finish(run, over)
        run_exports.write_end(over)
        if (prompt := run.spec.prompt_id) is not None:
            with contextlib.suppress(RunnerError):
                queue_files.refresh(ledger, run.session, [prompt])
        ledger.runs.note_exported(run.run_id)


def _spec(request: RunRequest, ledger: Ledger) -> Spec:
    at = clock.now()
    run_id = new_run_id(at)
    own = own_directory(ledger.home, run_id)
    asked = {name: getattr(request, name) for name in Work.field_names()}
    return Spec(
        **asked,
        run_id=run_id,
        mode=Mode.NEW if request.thread is None else Mode.RESUME,
        task=preview(request.prompt),
        resume_session=request.thread,
        directory=request.log_dir or str(own),
        is_flat=request.log_dir is not None,
        prepared_at=at,
        codex_home=request.codex_home,
    )


def _create_files(
    spec: Spec, prompt: bytes, settings: Config, undo: contextlib.ExitStack
) -> None:
    home, paths = settings.state_home, files_of(spec)
    own, head = own_directory(home, spec.run_id), b""
    if spec.is_flat:
        files.make_directory(paths.directory, "--log-dir names another directory")
        lines = text([*header(spec), ""]) + preamble(spec, settings) + "\n"
        head = lines.encode(errors="backslashreplace")
    made = [owner_of(home, spec.run_id)]
    undo.callback(files.remove_empty, own, home)
    undo.callback(files.remove, made)
    files.make_directory(own, ELSEWHERE)
    for path, content in (
        (paths.prompt, prompt),
        (paths.events, b""),
        (paths.stderr, b""),
        (paths.log, head),
    ):
        files.create(path, content)
        made.append(path)


def _lock(path: Path, undo: contextlib.ExitStack, flags: int = os.O_RDWR) -> int:
    descriptor = locks.take(path, flags=flags)
    if descriptor is None:
        message = f"{path} is locked by another program: try again"
        raise RunnerFault(message)
    undo.callback(os.close, descriptor)
    return descriptor
