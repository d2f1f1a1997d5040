"""Start a run: detach its supervisor, which records it before it starts Codex."""

from __future__ import annotations

import os
from functools import partial

from parsers.light import ExitStack, suppress
from parsers.paths import Path
from parsers.struct import Struct, replace
from parsers.text import visible
from runner import clock, files, locks
from runner.codex.home import key_variables, writer_of
from runner.config import RUN_MARKER
from runner.errors import RunnerError, RunnerFault
from runner.exports import queue_files, run_exports
from runner.exports.key_values import head, header, preamble, text
from runner.ledger.database import ELSEWHERE
from runner.ledger.ledger import Ledger
from runner.lifecycle.handoff import (
    NAME,
    StatusPipe,
    StatusReader,
    as_message,
    from_message,
    supervisor,
)
from runner.model import Mode, Prepared, Run, RunId, Spec, Waiting, Work
from runner.process.fork import detach, show_as, use_streams
from runner.process.table import child, shows_this_process
from runner.prompt.read import preview
from runner.run_files import files_of, new_run_id, own_directory, owner_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from runner.config import Config
    from runner.ledger.environments import Environment
    from runner.model import CodexOptions, ProcessId, RunRequest
    from runner.terms import Terms

    Ask: TypeAlias = Callable[[Ledger], RunRequest]

_APPEND = os.O_WRONLY | os.O_APPEND


class SupervisorFault(RunnerFault):
    """Report that the supervisor of a run cannot be started."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"cannot start a supervisor: {reason}")


class PreparedRun(Struct):
    """Hold a recorded run, and the two locks that show that it is alive.

    Its supervisor holds `owner`. `events` is the open file that becomes Codex's
    standard output.
    """

    run: Run
    owner: int
    events: int

    def close(self) -> None:
        os.close(self.owner)
        os.close(self.events)


class Started(Struct):
    """Hold the supervisor of a recorded run, and the reader of its status pipe.

    `head` is what `run_codex_task` shows first: the run's id and files. `log` is the
    path of its log. `has_others` is true when a sweep may have something to do for
    other runs.
    """

    run_id: RunId
    supervisor: ProcessId
    reader: StatusReader
    head: str
    log: str
    has_others: bool
    is_followed_by_files: bool = False

    def of(self, run: Run, shown: str) -> Started:
        """Return this for a later run of its prompt, which another process started.

        It has no pipe: the run is followed by its files.
        """
        self.reader.close()
        return replace(
            self,
            run_id=run.run_id,
            supervisor=run.supervisor or self.supervisor,
            head=shown,
            log=str(files_of(run.spec).log),
            is_followed_by_files=True,
        )


def prepare_run(request: RunRequest, ledger: Ledger, settings: Config) -> PreparedRun:
    """Create the files of a run, and insert its session, its prompt and its row.

    Raises:
        SessionBusyError: another run or program writes the session, or prompts wait
            for it, and the caller did not ask to wait.
        ArchivedError: the session is archived.
        AlreadyDeliveredError: another run delivers the prompt.
        UnpricedError: it has a budget in USD, and its model no price.
        RunnerFault: a file or the ledger cannot be written; nothing is left.
    """
    if request.prompt_id is None:
        parent = settings.environment.get(RUN_MARKER)
        place, thread = Path(request.codex_home), request.thread
        pid = None if thread is None else writer_of(place, thread)
        request = replace(request, writer=pid, parent=parent)
        refuse_unpriced(request.terms, request.codex, place, settings)
    environment = None
    may_wait = request.wait_for_session or request.wait_for_slot or request.park
    if may_wait or request.terms.max_iterations > 1:
        # Another process may deliver its prompt: after a limit, or a kill of this one.
        own = request.codex_home
        environment = environment_of(request.codex, own, ledger, settings)
    spec = _spec(request, ledger)
    home, paths = settings.state_home, files_of(spec)
    with ExitStack() as undo:
        _create_files(spec, request.prompt, settings, undo)
        owner = _lock(owner_of(home, spec.run_id), undo)
        # The lock is on the open file that Codex inherits.
        events = _lock(paths.events, undo, _APPEND)
        run = ledger.queue.prepare(
            Run(spec=spec, state=Prepared()), request, environment
        )
        undo.pop_all()
    # Exports for people; they can be rendered again from the ledger.
    with suppress(RunnerError):
        run_exports.write_meta(run)
        if spec.is_flat:
            run_exports.note_directory(home, spec.directory)
        if isinstance(run.state, Waiting):
            queue_files.refresh(ledger, run.session, [run.spec.prompt_id or 0])
    return PreparedRun(run=run, owner=owner, events=events)


def refuse_unpriced(
    terms: Terms, codex: CodexOptions, codex_home: Path, settings: Config
) -> None:
    """Refuse a budget in USD for a model without a price.

    Raises:
        UnpricedError: the model is known already, and has none.
    """
    if terms.max_usd is not None:
        from runner.accounting import budgets  # noqa: PLC0415 - few runs have one

        budgets.refuse_unpriced(terms.max_usd, codex, codex_home, settings)


def environment_of(
    codex: CodexOptions | None, home: str | None, ledger: Ledger, settings: Config
) -> Environment:
    """Return what a prompt keeps of this environment, for a run of another process."""
    from runner.config_files import in_force  # noqa: PLC0415 - of what waits
    from runner.ledger.environments import of_sender  # noqa: PLC0415 - as above

    given = (*codex.overrides, *codex.extra) if codex else ()
    named = key_variables(Path(home or settings.codex_home), given)
    return of_sender(ledger, in_force(settings), named)


def start_run(ask: Ask, ledger: Ledger | None, settings: Config) -> Started:
    """Start the supervisor of a new run; return when the run is recorded.

    Args:
        ask: builds the request, in the supervisor.
        ledger: what this process has open, if anything: it is closed meanwhile.
        settings: of the caller.

    Raises:
        RunnerError: as `ask` and `prepare_run`, or there is no supervisor.
    """
    if ledger is not None:
        ledger.close()
    try:
        pid, read = detach(partial(_supervise, ask, settings))
    except OSError as error:
        raise SupervisorFault(error.strerror or str(error)) from error
    with ExitStack() as undo:
        reader = StatusReader(read)
        undo.callback(reader.close)
        process, told = child(pid), reader.wait_for({"recorded", "refused"})
        if recorded := told.get("recorded"):
            undo.pop_all()
            return Started(
                run_id=RunId(recorded),
                supervisor=process,
                reader=reader,
                head=told["head"],
                log=told["log"],
                has_others=told["has_others"],
            )
    if refused := told.get("refused"):
        raise from_message(refused)
    raise SupervisorFault("it was killed before it recorded the run")


def _supervise(ask: Ask, settings: Config, descriptor: int) -> None:
    """Record the run, tell the caller, and supervise it to its verdict."""
    os.umask(0o077)
    pipe = StatusPipe(descriptor)
    try:
        if not shows_this_process():
            # A living Codex would be taken for gone, and its prompt delivered again.
            reason = "/proc is not of this PID namespace (unshare --mount-proc)"
            raise SupervisorFault(reason)
        ledger = Ledger(settings.state_home)
        prepared = prepare_run(ask(ledger), ledger, settings)
    except (RunnerError, OSError) as error:
        pipe.send(refused=as_message(error))
        return
    run = prepared.run
    show_as(lambda _: [NAME.encode(), run.run_id.encode()])
    path = files_of(run.spec).log
    log = files.open_own(path, os.O_WRONLY | os.O_APPEND)
    use_streams(log, log)
    pipe.send(
        recorded=run.run_id,
        head=head(run.spec, settings),
        log=str(path),
        has_others=ledger.runs.has_others(run),
    )
    # Loaded only now: the caller shows the id meanwhile.
    supervisor().supervise_new(prepared, ledger, pipe, settings)


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


def _create_files(spec: Spec, prompt: bytes, settings: Config, undo: ExitStack) -> None:
    home, paths = settings.state_home, files_of(spec)
    own, head = own_directory(home, spec.run_id), b""
    if spec.is_flat:
        files.make_directory(paths.directory, "name another directory: --log-dir DIR")
        lines = visible(text([*header(spec), ""])) + preamble(spec, settings) + "\n"
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


def _lock(path: Path, undo: ExitStack, flags: int = os.O_RDWR) -> int:
    descriptor = locks.take(path, flags=flags)
    if descriptor is None:
        message = f"{path} is locked by another program: try again"
        raise RunnerFault(message)
    undo.callback(os.close, descriptor)
    return descriptor
