"""Turn a `run_codex_task` command line into a run request."""

from __future__ import annotations

import errno
import os

from parsers.light import suppress
from parsers.paths import Path
from parsers.struct import Struct, replace
from parsers.text import uuid
from runner import files
from runner.codex.binary import NO_ROLLOUT, has_lost
from runner.codex.home import threads_named
from runner.errors import (
    FileFault,
    NoSuchRunError,
    NoSuchTaskError,
    RunnerFault,
    UsageError,
)
from runner.ledger import record
from runner.model import Limits, Report, RunRequest, SessionId, Verbosity
from runner.prompt import read
from runner.terms import Terms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.ledger.sessions import Session
    from runner.model import CodexOptions

_PER_PROCESS = ("/dev/fd/", "/dev/std", "/proc/self/", "/proc/thread-self/")


class RunWords(Struct):
    """Hold the values of a command line.

    At most one of `task` (`-` is standard input) and `task_file` is given; neither is
    required with `resume`, a session's UUID or name or the id of one of its runs.
    """

    repo: str
    task: str | None = None
    task_file: str | None = None
    resume: str | None = None
    continue_prompt: str = ""
    log_dir: str = ""
    codex: CodexOptions
    limits: Limits = Limits()
    report: Report = Report()
    terms: Terms = Terms()
    wait_for_session: bool = False
    wait_for_slot: bool = False
    park: bool = False
    group: str = ""
    verbosity: Verbosity = Verbosity.LOW


def read_prompt(words: RunWords) -> bytes:
    """Return the prompt, byte for byte.

    Raises:
        UsageError: there is none, there are two, it is invalid, or a `/quit`.
    """
    if words.task is not None and words.task_file is not None:
        message = "give --task or --task-file, not both"
        raise UsageError(message)
    if words.task_file is not None:
        return _refuse_quit(read.from_file(words.task_file, "--task-file"))
    if words.task is not None:
        return _refuse_quit(
            read.from_text(words.task, "--task", '--task "Fix the failing test"')
        )
    if words.resume is not None:
        return read.from_text(words.continue_prompt, "--continue-prompt")
    message = "a prompt is required: --task TEXT, --task - or --task-file FILE"
    raise UsageError(message, '--task "Fix the failing test"')


def _refuse_quit(prompt: bytes) -> bytes:
    if read.is_quit(prompt):
        message = "/quit ends the queue of a task: codex-tasks send --queue TASK /quit"
        raise UsageError(message)
    return prompt


def run_request(
    words: RunWords, prompt: bytes, ledger: Ledger, settings: Config
) -> RunRequest:
    """Build the request for a run, and refuse what cannot work.

    Raises:
        UsageError: a path or value of the caller does not exist or is invalid.
        FileFault: a directory or file cannot be written.
    """
    repo = _directory(words.repo, "--repo", may_be_made=False)
    refuse_unreadable(repo, "--repo")
    log_dir = _directory(words.log_dir, "--log-dir")
    thread = _resumed(words, log_dir, ledger, settings)
    key = ledger.sessions.of_thread(thread) if thread else None
    for run in [] if key is None else ledger.runs.unfinished(key):
        from runner.lifecycle.recover import reconcile_run  # noqa: PLC0415 - rare

        # A run that no process owns any more does not write.
        reconcile_run(run, ledger, settings)
    known = ledger.sessions.get(key) if key is not None else None
    home = (known and known.home) or str(settings.codex_home)
    is_free = key is None or not ledger.runs.unfinished(key)
    if thread and is_free and has_lost(thread, Path(home), words.codex.bin, settings):
        what = NO_ROLLOUT if known else "no such session in {}"
        message = f"--resume {words.resume}: {what.format(home)}"
        raise UsageError(message)
    if known is not None:
        repo = _moved(known, repo, ledger)
    task_file = Path(words.task_file).absolute() if words.task_file else None
    return RunRequest(
        prompt=prompt,
        repo=os.path.normpath(repo),
        cwd=str(Path.cwd()),
        umask=settings.umask,
        codex=words.codex,
        codex_home=home,
        limits=words.limits,
        report=_report(words.report),
        terms=words.terms,
        verbosity=words.verbosity,
        task_file=str(task_file) if task_file else None,
        log_dir=str(log_dir),
        session=key,
        thread=thread,
        wait_for_session=words.wait_for_session,
        wait_for_slot=words.wait_for_slot,
        park=words.park,
        group=words.group,
    )


def _directory(path: str, flag: str, *, may_be_made: bool = True) -> Path:
    is_missing = may_be_made and path and not os.path.lexists(path)
    if not is_missing and not os.path.isdir(path):  # noqa: PTH112 - is_dir raises where a right is missing
        message = f"{flag} {path}: not a directory"
        raise UsageError(message, f"name a directory: {flag} DIR")
    return Path(path).absolute()


def _resumed(
    words: RunWords, log_dir: Path, ledger: Ledger, settings: Config
) -> SessionId | None:
    if (text := words.resume) is None:
        return None
    if session := uuid(text):
        if ledger.sessions.of_thread(session) is None:
            _import_older(session, ledger, settings)
        return SessionId(session)
    from runner.service.lookup import find_run  # noqa: PLC0415 - only for a run id

    _import_older(text, ledger, settings)
    try:
        run = find_run(Path(text).name, log_dir, ledger, settings)
    except NoSuchRunError:
        return _named(text, ledger, settings)
    thread = ledger.sessions.get(run.session).thread
    if thread is None:
        why = "it was not started" if run.is_finished else "Codex has named none yet"
        message = f"--resume {text}: that run has no session ({why})"
        raise UsageError(message)
    return thread


def _import_older(text: str, ledger: Ledger, settings: Config) -> None:
    """Import the task of an older tool that a text names, if there is one."""
    from runner.service.search import find_any  # noqa: PLC0415 - as in _resumed

    with suppress(NoSuchTaskError, UsageError):
        found = find_any(text, ledger, settings)
        if found.older is not None:
            found.older.take(found.session, ledger)


def _moved(session: Session, repo: Path, ledger: Ledger) -> Path:
    """Return where Codex works for a directory: it may have moved the first run."""
    first = ledger.runs.find(ledger.runs.ids(session.key)[0])
    was = os.path.normpath(repo) == first.spec.repo
    return Path(record.next_place(first)) if was else repo


def _named(text: str, ledger: Ledger, settings: Config) -> SessionId:
    """Find the one session with this name: its title, its name in Codex, or an id."""
    sessions = ledger.sessions.named(text) or ledger.sessions.like(text)
    found = {each.thread or each.name for each in sessions}
    found |= threads_named(settings.codex_home, text)
    if len(found) > 1:
        message = f"--resume {text}: several have this name: {', '.join(sorted(found))}"
        raise UsageError(message)
    if (thread := uuid("".join(found))) is None:
        why = (
            "has no session yet" if found else "is no UUID, name or run id of a session"
        )
        message = f"--resume {text}: {why}"
        raise UsageError(message)
    return SessionId(thread)


def _report(report: Report) -> Report:
    """Make the paths absolute and check now that they are writable."""
    if report.notify_command is not None:
        from runner.notify import command_of  # noqa: PLC0415 - only with a hook

        command_of(report.notify_command)
    json_out = _place(report.json_out, "--json-out")
    if json_out is not None and not _can_be_written(json_out):
        cause = OSError(errno.EACCES, os.strerror(errno.EACCES))
        raise FileFault("write", json_out, cause, "name another file: --json-out FILE")
    stream = _place(report.event_stream, "--event-stream")
    if stream is not None and (stream.exists() or not _can_be_written(stream)):
        # Check by opening it; the run creates a file that does not exist yet.
        try:
            files.append(stream, b"", is_own=False)
        except FileFault as error:
            fix = "name another file: --event-stream FILE"
            raise RunnerFault(error.message, fix) from error
    return replace(
        report,
        json_out=str(json_out) if json_out else None,
        event_stream=str(stream) if stream else None,
    )


def _place(text: str | None, option: str) -> Path | None:
    """Refuse a path that is another file in the supervisor, such as /dev/stdout."""
    if text is None:
        return None
    path = Path(text).absolute()
    if str(path).startswith(_PER_PROCESS):
        what = ", which has summary_json= already" if option == "--json-out" else ""
        message = f"{option} {text}: a stream of this process{what}"
        raise UsageError(message, f"name a file: {option} FILE")
    refuse_directory(text, option)
    files.make_directory(path.parent, f"name another path: {option} PATH")
    return path


def refuse_unreadable(directory: Path, option: str) -> None:
    """Refuse a working directory whose path Codex cannot read.

    Raises:
        UsageError: the path is not UTF-8.
    """
    # By its bytes: under an ASCII locale all others look like surrogates, too.
    if not files.is_utf8(directory):
        message = f"{option} {directory}: the path is not UTF-8: Codex refuses it"
        raise UsageError(message)


def working_directory(text: str, *, may_make: bool = False) -> str:
    """Resolve the directory that `--working-dir` names.

    Args:
        text: the directory.
        may_make: make one that does not exist.

    Raises:
        UsageError: it is no directory, or Codex cannot read its path.
        FileFault: it cannot be made or looked at.
    """
    path, option = Path(text).absolute(), "--working-dir"
    refuse_unreadable(path, option)
    try:
        if may_make and not os.path.lexists(path):
            path.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            return str(path.resolve())
    except OSError as error:
        what = "make the directory" if may_make else "look at"
        fix = f"name another directory: {option} DIR"
        raise FileFault(what, path, error, fix) from error
    message = f"{option} {text}: not a directory"
    raise UsageError(message, f"name a directory: {option} DIR")


def refuse_directory(text: str, option: str) -> None:
    """Refuse a directory in the place of a file.

    Raises:
        UsageError: it is one.
    """
    if os.path.isdir(text):  # noqa: PTH112 - is_dir raises where a right is missing
        message = f"{option} {text}: is a directory, name a file"
        raise UsageError(message)


def _can_be_written(path: Path) -> bool:
    """Check a device or pipe itself, for a file its directory: it is replaced there."""
    if path.exists() and not path.is_file():
        return os.access(path, os.W_OK)
    return os.access(path.resolve().parent, os.W_OK | os.X_OK)
