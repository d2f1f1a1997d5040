"""Prompts that wait for their session: put there by one command, delivered by another.

Whoever ends a run looks into the mailbox after it has given the session back, and so
does every command that looks at a session: a sender adds its prompt before it tries
to take the session, so one of the two always sees it.
"""

from __future__ import annotations

import contextlib
import os

from parsers.struct import replace
from runner import clock, files, session_files, session_lock, succession, whereabouts
from runner.errors import AlreadyDeliveredError, FileFault, RunnerError
from runner.lifecycle.launch import Commission, fail_launch, launch_run, prepare_run
from runner.lifecycle.recover import reconcile_run
from runner.model import Mode, Outcome, Report, SessionId
from runner.prompt.read import is_quit, preview
from runner.run_files import new_run_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from runner.config import Config
    from runner.ledger.queue import Mail, Skipped
    from runner.ledger.runs import Ledger
    from runner.lifecycle.launch import Commission, Started
    from runner.model import Run, Spec
    from runner.session_files import SessionFiles

# A prompt whose run does not come to be (no such binary) is not tried for ever.
_ATTEMPTS = 3
_HOLDING = (Outcome.USAGE_LIMITED, Outcome.AUTH_FAILED)


def put(session_id: str, prompt: bytes, ledger: Ledger, state_home: Path) -> int:
    """Add a prompt to the mailbox of a session; it is on the disk when this returns.

    Raises:
        ArchivedError: the session has been put away.
        NoSuchTaskError: there is none of this id any more.
        RunnerFault: the disk or the index refuses; nothing is queued.
    """
    paths = session_files.active(state_home, session_id)
    written: list[int] = []

    def write(mail_id: int) -> None:
        path = paths.mail(mail_id)
        files.make_directory(path.parent)
        files.replace(path, prompt)
        written.append(mail_id)

    # A file that the index does not know of is left alone: a sender was killed before
    # its commit, or the index was made anew.
    above = paths.last_mail
    task, at = preview(prompt), clock.now()
    entry = (task, clock.iso(at))
    try:
        return ledger.mail.put(session_id, task, at, write, above=above)
    except RunnerError:
        for mail_id in written:
            if _is_queued(mail_id, session_id, entry, paths, ledger):
                return mail_id
        raise


def _is_queued(
    mail_id: int,
    session_id: str,
    entry: tuple[str, str],
    paths: SessionFiles,
    ledger: Ledger,
) -> bool:
    """Tell whether a prompt waits whose commit seems to have failed.

    If not, its file goes: else `verify` would take it for one that was queued, beside
    the one that its sender sends again.
    """
    # Nobody else can be about to use the number meanwhile.
    with contextlib.suppress(RunnerError), ledger.database.transaction():
        row = ledger.mail.find(mail_id)
        if row is not None and (row.task, row.queued_at) == entry:
            return True
        if row is None or row.session_id != session_id:
            files.remove([paths.mail(mail_id)])
    return False


def skip(
    session_id: str, ledger: Ledger, state_home: Path, up_to: int | None = None
) -> Skipped:
    """Take what waits out of the mailbox of a session, and return it.

    The names of the files say so too: else an index that is made anew from them would
    deliver what was skipped. One that is not there, or cannot be renamed, is no reason
    not to skip it.

    Args:
        session_id: whose mailbox.
        ledger: the index.
        state_home: where the files are.
        up_to: the number of the last prompt that is meant, None for all.

    Raises:
        LedgerFault: the index cannot be written; all waits as before.
    """
    marked: dict[int, SessionFiles] = {}

    def mark(mail: Mail) -> None:
        # Codex may have named the session since, whose directory then moves.
        paths = session_files.found(state_home, mail.session_id)
        paths = paths or session_files.found(state_home, session_id)
        if paths is not None:
            with contextlib.suppress(OSError):
                paths.mail(mail.mail_id).rename(paths.skipped(mail.mail_id))
                marked[mail.mail_id] = paths

    try:
        return ledger.mail.skip(session_id, mark, up_to)
    except BaseException:
        _unmark(marked, ledger)
        raise


def _unmark(marked: dict[int, SessionFiles], ledger: Ledger) -> None:
    """Give the files of prompts that wait all the same their names again."""
    with contextlib.suppress(RunnerError), ledger.database.transaction():
        for mail_id, paths in marked.items():
            row = ledger.mail.find(mail_id)
            if row is not None and row.state == "waiting":
                with contextlib.suppress(OSError):
                    paths.skipped(mail_id).rename(paths.mail(mail_id))


def hold_of(last: Run, first: Mail) -> str | None:
    """Say why the first waiting prompt is not delivered by itself; None when it is.

    After a usage limit or a refused login every further prompt would be used up for
    nothing: it waits until the limit is over, or until somebody sends on purpose. The
    end of the session uses nothing up.
    """
    if last.session is None:
        return "Codex has never named a thread"
    if first.attempts >= _ATTEMPTS:
        error = last.verdict.error if last.verdict else None
        return f"Codex could not be started for it {first.attempts} times: {error}"
    if last.outcome not in _HOLDING or first.is_quit:
        return None
    resets_at = _resets_at(last)
    if resets_at is None:
        return f"the last run ended {last.outcome}"
    if clock.now().timestamp() >= resets_at:
        return None
    return f"the usage limit lasts until {clock.iso(clock.at(resets_at))}"


def deliver(
    session_id: str, ledger: Ledger, settings: Config, *, is_asked: bool = False
) -> Started | None:
    """Start what waits first for a session, if the session is free.

    Args:
        session_id: whose mailbox.
        ledger: the index.
        settings: for the programs that are started.
        is_asked: somebody sends on purpose: nothing is held back.

    Returns:
        The run that was started; None when nothing waits or somebody else has the
        session, who delivers it then.

    Raises:
        RunnerFault: the machine refuses; the prompt goes on waiting.
    """
    waiting = ledger.mail.waiting(session_id)
    if not waiting:
        return None
    # Codex may have named it since it was found.
    session_id = waiting[0].session_id
    run_id = new_run_id(clock.now())
    taken = session_lock.take_patiently(
        settings.state_home, ledger, SessionId(session_id), run_id
    )
    if isinstance(taken, session_lock.Busy):
        return None
    with taken:
        commission = _next(session_id, ledger, settings, is_asked=is_asked)
        if commission is None:
            return None
        session_lock.inscribe(taken, commission.spec.run_id)
        lock = os.dup(taken.descriptor)
        return _obey_or_start(replace(commission, lock=lock), ledger, settings)


def _next(
    session_id: str, ledger: Ledger, settings: Config, *, is_asked: bool
) -> Commission | None:
    """Return what is to be delivered now to a session, whose lock the caller has."""
    last = _last_run(session_id, ledger, settings)
    if last is not None and last.key != session_id:
        # Codex has named it since: this was not its lock.
        return None
    mail = next(iter(ledger.mail.waiting(session_id)), None)
    if mail is None or last is None or not last.is_finished:
        return None
    if hold_of(last, mail) and not (is_asked and last.session):
        return None
    paths = whereabouts.files_of(session_id, ledger, settings.state_home)
    prompt = _prompt_of(mail, paths, ledger)
    if prompt is None:
        return None
    spec = next_spec(last, pattern_of(last, ledger), mail.task, paths)
    return Commission(spec=replace(spec, mail_id=mail.mail_id), prompt=prompt)


def _obey_or_start(
    commission: Commission, ledger: Ledger, settings: Config
) -> Started | None:
    """Give a prompt to Codex; one that ends the session is for us."""
    session = commission.spec.resume_session
    if session is not None and is_quit(commission.prompt):
        if commission.lock is not None:
            os.close(commission.lock)
        skip(session, ledger, settings.state_home)
        return None
    try:
        return start(commission, ledger, settings)
    except AlreadyDeliveredError:
        return None


def next_spec(last: Run, pattern: Run, task: str, paths: SessionFiles) -> Spec:
    """Build the spec of a run that carries a session on.

    What belonged to the pattern alone is left out: who was told of it, its images.

    Args:
        last: the run that comes before it.
        pattern: the run whose settings it has (`pattern_of`).
        task: a preview of its prompt.
        files: those of the session.
    """
    spec = pattern.spec
    at = succession.instant_after(last, clock.now())
    return replace(
        spec,
        run_id=new_run_id(at),
        mode=Mode.RESUME,
        task=task,
        task_file=None,
        resume_session=last.session,
        log_dir=str(paths.runs),
        cwd=spec.repo,
        codex=replace(spec.codex, once=()),
        limits=replace(spec.limits, announcement=None),
        report=Report(),
        wait_for_session=False,
        prepared_at=at,
        mail_id=None,
    )


def start(commission: Commission, ledger: Ledger, settings: Config) -> Started:
    """Prepare a run and hand it to a supervisor.

    Raises:
        AlreadyDeliveredError: somebody else has delivered its prompt.
        RunnerFault: the machine refuses; what is on record says so.
    """
    preparation = prepare_run(commission, ledger, settings)
    try:
        return launch_run(preparation, settings)
    except RunnerError as error:
        fail_launch(preparation, str(error), ledger, settings)
        raise


def pattern_of(last: Run, ledger: Ledger) -> Run:
    """Return the run whose settings the next one on a session has, given the last."""
    if last.launched_at is not None:
        return last
    return succession.pattern_of(ledger.of_session(last.key))


def _last_run(session_id: str, ledger: Ledger, settings: Config) -> Run | None:
    """Return the newest run on a session, when all that came before it are over."""
    for run in ledger.unfinished_of(session_id):
        settled = reconcile_run(run, ledger, settings, holds_session=True)
        if not settled.is_finished:
            return settled
    return ledger.last_of(session_id)


def _resets_at(last: Run) -> float | None:
    """Return when the limit that stopped a run is over, in seconds of the epoch."""
    limits = last.accounts.get("rate_limits")
    if not isinstance(limits, dict):
        return None
    windows = [limits.get(name) for name in ("primary", "secondary")]
    found = [
        float(window["resets_at"])
        for window in windows
        if isinstance(window, dict)
        and isinstance(window.get("resets_at"), int | float)
        and float(window.get("used_percent") or 0) >= 100  # noqa: PLR2004 - per cent
    ]
    return max(found, default=None)


def _prompt_of(mail: Mail, paths: SessionFiles, ledger: Ledger) -> bytes | None:
    """Read a prompt that is to be delivered; None when it has just been skipped."""
    path = paths.mail(mail.mail_id)
    try:
        return files.read_bytes(path)
    except OSError as error:
        # Whoever skips it renames its file in a transaction.
        with contextlib.suppress(RunnerError), ledger.database.transaction():
            row = ledger.mail.find(mail.mail_id)
            if row is None or row.state != "waiting":
                return None
        mend = "codex-tasks stop skips what waits"
        raise FileFault("read the prompt", path, error, mend) from error
