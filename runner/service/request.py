"""Turn what a caller asks for into the spec of a run, refusing what cannot work."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from parsers.struct import Struct
from parsers.text import uuid
from runner import clock, files
from runner.errors import FileFault, NoSuchRunError, RunnerError, UsageError
from runner.model import Mode, Report, SessionId, Spec
from runner.notify import command_of
from runner.prompt.read import STDIN, preview, read_stdin
from runner.run_files import new_run_id
from runner.succession import instant_after

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config
    from runner.ledger.runs import Ledger
    from runner.model import (
        CodexOptions,
        Limits,
        Run,
        Verbosity,
    )

_PER_PROCESS = ("/dev/fd/", "/dev/std", "/proc/self/", "/proc/thread-self/")


class Request(Struct):
    """Hold what the caller of a run asks for, in the caller's words.

    Of `task` ("-" is standard input) and `task_file` at most one is given; neither
    is needed with `resume`, a session's id or a run id that stands for its session.
    """

    repo: str
    task: str | None
    task_file: str | None
    resume: str | None
    continue_prompt: str
    log_dir: str
    codex: CodexOptions
    limits: Limits
    report: Report
    wait_for_session: bool
    verbosity: Verbosity


def read_prompt(request: Request) -> bytes:
    """Return the prompt, byte for byte.

    Raises:
        UsageError: there is none, there are two, or it cannot be read.
    """
    if request.task is not None and request.task_file is not None:
        message = "--task and --task-file are both given: one prompt at a time"
        raise UsageError(message)
    if request.task_file is not None:
        prompt, source = (
            _read_file(request.task_file),
            f"--task-file {request.task_file}",
        )
    elif request.task == STDIN:
        prompt, source = read_stdin("--task -"), "--task - (standard input)"
    elif request.task is not None:
        prompt, source = os.fsencode(request.task), "--task"
    elif request.resume is not None:
        prompt, source = os.fsencode(request.continue_prompt), "--continue-prompt"
    else:
        message = "a prompt is needed: --task TEXT, --task - or --task-file FILE"
        raise UsageError(message)
    if not prompt.strip():
        message = f"{source} is empty: say what Codex is to do"
        raise UsageError(message)
    return prompt


def build_spec(
    request: Request, prompt: bytes, ledger: Ledger, settings: Config
) -> Spec:
    """Build the spec of a new run, with its id.

    Raises:
        UsageError: something that the caller named is not there or makes no sense.
        FileFault: a place that is to be written to cannot be.
    """
    cwd = str(Path.cwd())
    repo = _directory(request.repo, "--repo")
    if not os.path.isdir(repo):  # noqa: PTH112 - is_dir raises where a right is missing
        message = f"--repo {request.repo}: not a directory"
        raise UsageError(message)
    log_dir = _directory(request.log_dir, "--log-dir")
    resume = _resumed(request.resume, log_dir, ledger, settings)
    before = _last_of(resume, ledger, settings) if resume else None
    home = before.spec.codex_home if before is not None else None
    at = instant_after(before, clock.now())
    umask = os.umask(0o077)
    return Spec(
        run_id=new_run_id(at),
        mode=Mode.RESUME if resume else Mode.NEW,
        repo=os.path.normpath(repo),
        task=preview(prompt),
        task_file=_absolute(request.task_file),
        resume_session=resume,
        log_dir=str(log_dir),
        cwd=cwd,
        umask=umask,
        codex=request.codex,
        limits=request.limits,
        report=_report(request.report),
        wait_for_session=request.wait_for_session,
        verbosity=request.verbosity,
        prepared_at=at,
        codex_home=home or str(settings.codex_home),
    )


def _directory(path: str, flag: str) -> Path:
    if not path:
        # A script's empty variable; it must not stand for the current directory.
        message = f"{flag} is empty: name a directory"
        raise UsageError(message)
    return Path(path).absolute()


def _absolute(path: str | None) -> str | None:
    return str(Path(path).absolute()) if path else None


def _read_file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        message = f"--task-file {path}: {error.strerror or error}"
        raise UsageError(message) from error


def _resumed(
    text: str | None, log_dir: Path, ledger: Ledger, settings: Config
) -> SessionId | None:
    if text is None:
        return None
    if session := uuid(text):
        return SessionId(session)
    from runner.service.lookup import find_run  # noqa: PLC0415 - 3 ms, only for a run id

    try:
        run = find_run(Path(text).name, log_dir, ledger, settings)
    except NoSuchRunError as error:
        message = f"--resume {text}: neither a session's UUID nor a run known here"
        raise UsageError(message) from error
    if run.session is None:
        why = "it never got that far" if run.is_finished else "Codex has named none yet"
        message = f"--resume {text}: that run has no session ({why})"
        raise UsageError(message)
    return run.session


def _last_of(session: SessionId, ledger: Ledger, settings: Config) -> Run | None:
    """Return the run that comes before; one that was left behind is judged first.

    Once the next one writes to the session's log, what it lacks stays missing.
    """
    from runner.lifecycle.recover import reconcile_run  # noqa: PLC0415 - only to carry a session on

    for run in ledger.unfinished_of(session):
        with contextlib.suppress(RunnerError):
            reconcile_run(run, ledger, settings)
    return ledger.last_of(session)


def _report(report: Report) -> Report:
    """Make the paths absolute and find out now whether they can be written to."""
    if report.notify_command is not None:
        command_of(report.notify_command)
    json_out = event_stream = None
    if report.json_out is not None:
        json_out = _named(report.json_out, "--json-out")
        files.make_directory(json_out.parent, "--json-out names another one")
        if json_out.is_dir():
            message = f"--json-out {report.json_out}: is a directory, name a file"
            raise UsageError(message)
        if not _can_be_written(json_out):
            raise FileFault(
                "write", json_out, OSError(errno.EACCES, os.strerror(errno.EACCES))
            )
    if report.event_stream is not None:
        event_stream = _named(report.event_stream, "--event-stream")
        files.make_directory(event_stream.parent, "--event-stream names another one")
        if event_stream.exists() or not _can_be_written(event_stream):
            # Opening it tells best; one that is not there yet is left to the run.
            files.append(event_stream, b"")
    return Report(
        json_out=str(json_out) if json_out else None,
        event_stream=str(event_stream) if event_stream else None,
        notify_command=report.notify_command,
    )


def _named(text: str, option: str) -> Path:
    """Refuse a name that means another file in the supervisor, which writes to it."""
    path = Path(text).absolute()
    if str(path).startswith(_PER_PROCESS):
        message = (
            f"{option} {text}: that is a stream of this process, name a file"
            " (standard output has summary_json= already)"
        )
        raise UsageError(message)
    return path


def _can_be_written(path: Path) -> bool:
    """Tell of a device or pipe itself, else of the directory it is replaced in."""
    if path.exists() and not path.is_file():
        return os.access(path, os.W_OK)
    return os.access(path.resolve().parent, os.W_OK | os.X_OK)
