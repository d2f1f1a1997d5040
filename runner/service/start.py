"""Start a session in the background and wait until Codex has named its thread."""

from __future__ import annotations

from parsers.paths import Path
from parsers.struct import Struct, replace
from runner import clock
from runner.errors import (
    RunnerError,
    RunnerFault,
    UsageError,
    WaitTimeoutError,
)
from runner.model import Outcome, RunRequest, SessionId, Waiting
from runner.prompt.read import is_quit, preview
from runner.service.request import working_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.ledger.prompts import PromptOptions
    from runner.ledger.sessions import Session
    from runner.lifecycle.launch import Started
    from runner.model import CodexOptions, Limits, Run

_CONFIG_NAME = "config.toml"
# Codex usually ends within this time; otherwise its supervisor kills it later.
_ENDING_SECONDS = 5.0


class Place(Struct):
    """Hold the caller's values for the place a session works in."""

    working_dir: str | None
    config_file: str | None
    images: tuple[str, ...]
    output_schema: str | None


class NotStartedError(RunnerError):
    """Report a session that was not started, with Codex's own message."""

    code = "not_started"

    def __init__(self, run: Run) -> None:
        error = run.verdict.error if run.verdict else None
        reason = error or "Codex has ended without naming a thread"
        super().__init__(f"{reason} (recorded as run {run.run_id})")


class UnrecordedError(RunnerFault):
    """Report that the thread's name cannot be stored; the run goes on."""

    def __init__(self, run: Run, thread: str) -> None:
        super().__init__(
            f"Codex has named thread {thread}, which cannot be stored (full disk?)",
            f"use the id of its run, {run.run_id}",
        )


def request(
    prompt: bytes,
    place: Place,
    codex: CodexOptions,
    limits: Limits,
    title: str | None,
    settings: Config,
) -> RunRequest:
    """Build the request for a session's first run; create its working directory.

    Raises:
        UsageError: a path or value of the caller does not exist or is invalid.
        FileFault: the working directory cannot be created.
    """
    if is_quit(prompt):
        message = "/quit ends a session, but there is no session yet"
        raise UsageError(message)
    once = once_of(place.images, place.output_schema)
    home = settings.codex_home
    if place.config_file is not None:
        found = _file(place.config_file, "--config-file").resolve()
        home = found.parent
        if found.name != _CONFIG_NAME:
            message = (
                f"--config-file {place.config_file}: must be named {_CONFIG_NAME}, its"
                " directory is Codex's home"
            )
            raise UsageError(message)
    directory = working_directory(place.working_dir or ".", may_make=True)
    return RunRequest(
        prompt=prompt,
        repo=directory,
        cwd=directory,
        umask=settings.umask,
        codex=replace(codex, once=once),
        codex_home=str(home),
        limits=limits,
        title=title,
        has_exports=True,
    )


def once_of(images: Iterable[str], output_schema: str | None) -> tuple[str, ...]:
    """Build the arguments of Codex for one prompt: its images and its schema.

    Raises:
        UsageError: a file does not exist.
    """
    once = [f"--image={_file(path, '--image')}" for path in images]
    if output_schema is not None:
        schema = _file(output_schema, "--output-schema")
        once += ["--output-schema", str(schema)]
    return tuple(once)


def queued(
    request: RunRequest,
    ledger: Ledger,
    settings: Config,
    options: PromptOptions,
    warn: Callable[[str], None],
) -> Session:
    """Open a session whose first prompt waits, and deliver it if that is possible.

    Raises: as `opened`.
    """
    from runner.lifecycle import timer  # noqa: PLC0415 - not for a run at once
    from runner.lifecycle.queue import deliver_all  # noqa: PLC0415 - as above

    key, number = opened(request, ledger, settings, options)
    deliver_all(ledger, settings)
    timer.wake(ledger, settings)
    if end := ledger.queue.end_of(number):
        warn(end)
    return ledger.sessions.get(key)


def opened(
    request: RunRequest, ledger: Ledger, settings: Config, options: PromptOptions
) -> tuple[int, int]:
    """Open a session whose first prompt waits; return its key, and the prompt's number.

    Raises:
        RefusedPromptError: its key, its dedup or what it waits for.
        UnpricedError: it has a budget in USD, and its model no price.
        RunnerFault: the ledger cannot be written; nothing is queued.
    """
    from runner.exports import queue_files  # noqa: PLC0415 - not for a run at once
    from runner.ledger.settings import read_own  # noqa: PLC0415 - as above
    from runner.lifecycle.launch import (  # noqa: PLC0415 - as above
        environment_of,
        refuse_unpriced,
    )

    told, home = preview(request.prompt), Path(request.codex_home)
    terms = read_own(options.settings).terms
    refuse_unpriced(terms, request.codex, home, settings)
    own = environment_of(request.codex, request.codex_home, ledger, settings)
    options = replace(options, environment=own)
    key, number = ledger.queue.open(request, told, clock.now(), options)
    queue_files.refresh(ledger, key, [number])
    return key, number


def named(
    started: Started,
    ledger: Ledger,
    settings: Config,
    warn: Callable[[str], None],
) -> SessionId:
    """Wait until Codex has named the thread, and return its id.

    The time limit is one of the run: its supervisor ends the run then.

    Raises:
        NotStartedError: the run has ended without a thread.
        WaitTimeoutError: it took too long, and the run is being ended.
        UnrecordedError: the ledger cannot store the name.
    """
    # Loaded while Codex starts.
    from runner.lifecycle.recover import reconcile_run  # noqa: PLC0415
    from runner.service import follow  # noqa: PLC0415

    limit = ledger.runs.find(started.run_id).spec.limits.announcement
    patience = None if limit is None else limit + _ENDING_SECONDS
    if isinstance(ledger.runs.find(started.run_id).state, Waiting):
        # The limit counts from the launch, not from the wait for a slot.
        follow.until_told(started.reader, ("launched", "finished"), warn)
    began = clock.monotonic()
    words = ("session", "finished")
    told = follow.until_told(started.reader, words, warn, patience)
    if session := told.get("session"):
        return SessionId(str(session))
    while True:
        # Without a message from the supervisor, read the ledger.
        run = reconcile_run(ledger.runs.find(started.run_id), ledger, settings)
        if (thread := ledger.sessions.get(run.session).thread) is not None:
            return thread
        if run.thread is not None:
            raise UnrecordedError(run, run.thread)
        if run.is_finished:
            error = NotStartedError(run)
            is_late = run.outcome is Outcome.TIMED_OUT
            raise WaitTimeoutError(str(error)) if is_late else error
        if patience is not None and clock.monotonic() - began >= patience:
            from runner.tail import summary_of_events  # noqa: PLC0415 - rare

            if (unrecorded := summary_of_events(run).thread_id) is not None:
                raise UnrecordedError(run, unrecorded)
            message = (
                f"Codex has not named a thread within {limit:g} s and is being ended"
                f" (recorded as run {run.run_id})"
            )
            raise WaitTimeoutError(message)
        clock.sleep(follow.PACE_SECONDS)


def _file(path: str, option: str) -> Path:
    found = Path(path).absolute()
    if not found.is_file():
        what = "is a directory, name a file" if found.is_dir() else "no such file"
        message = f"{option} {path}: {what}"
        raise UsageError(message)
    return found
