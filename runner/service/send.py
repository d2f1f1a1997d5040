"""Give a session one more prompt: at once when it is free, or through its mailbox."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from parsers.struct import Struct
from runner import clock, files, session_lock, whereabouts
from runner.errors import (
    ArchivedError,
    NoSuchTaskError,
    RunnerError,
    RunnerFault,
    SessionBusyError,
)
from runner.lifecycle.launch import Commission
from runner.lifecycle.queue import deliver, next_spec, pattern_of, put, start
from runner.lifecycle.recover import reconcile_run
from runner.model import Outcome
from runner.prompt.read import is_quit, preview
from runner.run_files import new_run_id
from runner.service import follow, sessions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.config import Config
    from runner.ledger.runs import Ledger
    from runner.ledger.sessions import Row
    from runner.lifecycle.launch import Started
    from runner.model import Run

_MEND = "--queue puts the prompt into its mailbox"


class Sent(Struct):
    """Hold what has become of a prompt.

    `run_id` is the run that works on it, None when it waits; `ahead` is how many
    prompts stand before it in the mailbox.
    """

    run_id: str | None
    ahead: int = 0


class UndeliverableError(RunnerError):
    """Refuse a prompt for a session that cannot take one."""


class OvertakingError(SessionBusyError):
    """Refuse a prompt that would overtake what waits, whose first is now worked on."""

    def __init__(self, session_id: str, waiting: int, holder: str) -> None:
        RunnerError.__init__(
            self,
            f"prompts wait for task {session_id} before this one ({waiting}): run"
            f" {holder} works on the first now, this one was not taken (--queue puts it"
            " behind them)",
        )
        self.holder = holder


def send(
    row: Row,
    prompt: bytes,
    ledger: Ledger,
    settings: Config,
    warn: Callable[[str], None],
) -> Sent:
    """Carry a session on; when this returns the new run is on record as running.

    Raises:
        SessionBusyError: it is at work, or prompts wait in its mailbox.
        UndeliverableError: it has no thread or no directory to work in.
        ArchivedError: it has been put away.
        NoSuchTaskError: it has been removed since.
        RunnerFault: the machine refuses, or Codex cannot be started.
    """
    last = _last_of(row, ledger, settings)
    _refuse_behind_mail(row, ledger, settings)
    run_id = new_run_id(clock.now())
    session = last.session
    if session is None:
        raise UndeliverableError(_nameless(last))
    home = settings.state_home
    taken = session_lock.take_patiently(home, ledger, session, run_id)
    if isinstance(taken, session_lock.Busy):
        raise SessionBusyError(row.session_id, taken.holder, _MEND)
    with taken:
        # Somebody may have come and gone since the record was read.
        last = _last_of(row, ledger, settings, holds_session=True)
        if not last.is_finished:
            # One that waits for its turn was there before.
            raise SessionBusyError(row.session_id, last.run_id, _MEND)
        if is_quit(prompt):
            return Sent(run_id=None)
        pattern = pattern_of(last, ledger)
        paths = whereabouts.files_of(row.session_id, ledger, home)
        files.make_directory(paths.directory)
        commission = Commission(
            spec=next_spec(last, pattern, preview(prompt), paths),
            prompt=prompt,
            lock=os.dup(taken.descriptor),
        )
        session_lock.inscribe(taken, commission.spec.run_id)
        started = start(commission, ledger, settings)
    return _launched(started, ledger, settings, warn)


def queue(
    row: Row,
    prompt: bytes,
    ledger: Ledger,
    settings: Config,
    warn: Callable[[str], None],
) -> Sent:
    """Put a prompt into the mailbox of a session, and deliver it when it can be.

    Raises:
        UndeliverableError: the session has no thread or no directory to work in.
        ArchivedError: it has been put away.
        NoSuchTaskError: it has been removed since.
        RunnerFault: the machine refuses; nothing is queued.
    """
    last = _last_of(row, ledger, settings)
    try:
        mail_id = put(last.key, prompt, ledger, settings.state_home)
    except NoSuchTaskError:
        # Codex may have named it just now.
        key = ledger.find(last.run_id).key
        mail_id = put(key, prompt, ledger, settings.state_home)
    # It is queued: whatever goes wrong now must not make anybody send it again.
    # Who asks for the end of a session does not ask for what is held back before it.
    is_asked = not is_quit(prompt)
    try:
        started = deliver(row.session_id, ledger, settings, is_asked=is_asked)
        return _standing(row, mail_id, started, (ledger, settings), warn)
    except RunnerError as error:
        still = "not delivered yet" if _waits(mail_id, ledger) else "no longer waiting"
        warn(f"queued, but {still}: {error}")
        return Sent(run_id=None)


def _waits(mail_id: int, ledger: Ledger) -> bool:
    """Tell whether a prompt is still to be delivered, as far as one can see."""
    with contextlib.suppress(RunnerError):
        mail = ledger.mail.find(mail_id)
        return mail is not None and mail.state == "waiting"
    return True


def _standing(
    row: Row,
    mail_id: int,
    started: Started | None,
    house: tuple[Ledger, Config],
    warn: Callable[[str], None],
) -> Sent:
    """Tell where a prompt stands after the first one that waits has been delivered."""
    ledger, settings = house
    if started is not None:
        if ledger.find(started.run_id).spec.mail_id == mail_id:
            return _launched(started, ledger, settings, warn)
        started.listener.close()
        warn(f"run {started.run_id} works on what was queued first")
    waiting = [mail.mail_id for mail in ledger.mail.waiting(row.session_id)]
    return Sent(run_id=None, ahead=sum(each < mail_id for each in waiting))


def _last_of(
    row: Row, ledger: Ledger, settings: Config, *, holds_session: bool = False
) -> Run:
    """Return the newest run of a session that can be carried on."""
    now = whereabouts.row_of(row.session_id, ledger, settings.state_home)
    if now is not None and now.archived_in is not None:
        raise ArchivedError(row.session_id)
    for run in ledger.unfinished_of(row.session_id):
        reconcile_run(run, ledger, settings, holds_session=holds_session)
    last = ledger.last_of(row.session_id)
    if last is None:
        raise NoSuchTaskError(row.session_id)
    if last.is_finished and last.session is None:
        raise UndeliverableError(_nameless(last))
    directory = pattern_of(last, ledger).spec.repo
    if not Path(directory).is_dir():
        message = f"task {row.session_id} worked in {directory}, which is gone"
        raise UndeliverableError(message)
    return last


def _nameless(last: Run) -> str:
    why = last.verdict.error if last.verdict else "Codex has not named its thread yet"
    return f"task {last.key} has no thread to carry on: {why}"


def _refuse_behind_mail(row: Row, ledger: Ledger, settings: Config) -> None:
    """Refuse to overtake what waits; deliver it, since somebody wants the session."""
    waiting = len(ledger.mail.waiting(row.session_id))
    if not waiting:
        return
    started = deliver(row.session_id, ledger, settings, is_asked=True)
    if started is not None:
        started.listener.close()
        raise OvertakingError(row.session_id, waiting, started.run_id)
    if sessions.is_at_work(row.session_id, ledger, settings):
        last = ledger.last_of(row.session_id)
        raise SessionBusyError(row.session_id, last.run_id if last else "?", _MEND)


def _launched(
    started: Started, ledger: Ledger, settings: Config, warn: Callable[[str], None]
) -> Sent:
    """Wait until Codex works on a prompt."""
    for piece in follow.until_launched(started.listener):
        if isinstance(piece, follow.Note):
            warn(piece.text)
            continue
        started.listener.close()
        break
    run = reconcile_run(ledger.find(started.run_id), ledger, settings)
    if run.outcome in {Outcome.NOT_STARTED, Outcome.LOST} and not run.launched_at:
        error = run.verdict.error if run.verdict else None
        raise RunnerFault(error or f"run {run.run_id} was not started")
    return Sent(run_id=started.run_id)
