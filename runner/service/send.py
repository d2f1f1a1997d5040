"""Send a prompt to a session: at once when it is free, or through its queue."""

from __future__ import annotations

from parsers.paths import Path
from parsers.struct import Struct, replace
from runner import clock, config
from runner.errors import (
    NoSlotError,
    RunnerError,
    RunnerFault,
    SessionBusyError,
)
from runner.exports import queue_files
from runner.ledger import slots
from runner.ledger.prompts import PromptOptions
from runner.ledger.sessions import PromptsWaitError
from runner.ledger.settings import OwnSettings, read_own
from runner.lifecycle import timer
from runner.lifecycle.launch import environment_of, refuse_unpriced, start_run
from runner.lifecycle.queue import deliver_next, next_request
from runner.lifecycle.recover import reconcile_run
from runner.model import QUIT, CodexOptions, Outcome
from runner.prompt.read import is_quit, preview
from runner.service import follow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.ledger.sessions import Session
    from runner.lifecycle.launch import Started


def _queueing(name: str) -> str:
    return f'codex-tasks send --queue {name} "PROMPT"'


class Sent(Struct):
    """Hold the result of a send.

    `run_id` is the run that delivers the prompt, None when it waits; `ahead` is the
    number of prompts before it, None for a `/quit` that found nothing to end. `is_told`
    is true when the caller has been warned instead.
    """

    run_id: str | None
    ahead: int | None = 0
    is_told: bool = False


class OvertakingError(SessionBusyError):
    """Refuse a prompt that would overtake the queue, whose first is now delivered."""

    def __init__(self, name: str, waiting: int, holder: str) -> None:
        RunnerError.__init__(
            self,
            f"task {name} has waiting prompts ({waiting}): run {holder} delivers the"
            " first now, and this prompt was not sent",
            _queueing(name),
        )


def send(
    session: Session,
    prompt: bytes,
    ledger: Ledger,
    settings: Config,
    warn: Callable[[str], None],
    own: OwnSettings = OwnSettings(),  # noqa: B008 - a frozen value
) -> Sent:
    """Resume a session; when this returns the new run is recorded as running.

    Raises:
        SessionBusyError: a run or another program writes it, or prompts wait.
        UndeliverableError: it has no thread or no working directory.
        ArchivedError: it is archived.
        RunnerFault: the ledger cannot be written, or Codex cannot be started.
    """
    session = _settled(session.key, ledger, settings)
    ledger.sessions.refuse_archived(session.key)
    _refuse_overtaking(session, ledger, settings)
    request = next_request(session, prompt, settings, own=own)
    if is_quit(prompt):
        return Sent(run_id=None, ahead=None)
    try:
        started = start_run(lambda _: request, ledger, settings)
    except PromptsWaitError:
        _refuse_overtaking(ledger.sessions.get(session.key), ledger, settings)
        raise
    except SessionBusyError as error:
        name, holder = session.short_id, error.holder
        raise SessionBusyError(name, holder, _queueing(name), pid=error.pid) from error
    except NoSlotError as error:
        fix = error.hint.replace(slots.FIX, _queueing(session.short_id))
        raise NoSlotError(error.message, fix) from error
    return launched(started, ledger, settings, warn)


def queue(
    session: Session,
    prompt: bytes,
    ledger: Ledger,
    settings: Config,
    warn: Callable[[str], None],
    options: PromptOptions = PromptOptions(),  # noqa: B008 - a frozen value
) -> Sent:
    """Add a prompt to the queue of a session, and deliver the first one if possible.

    Raises:
        UndeliverableError: the session has no thread or no working directory.
        ArchivedError: it is archived.
        NoSuchTaskError: another process has removed it.
        QuitWaitsError: a `/quit` waits in it.
        RefusedPromptError: its key, its dedup or what it waits for.
        UnpricedError: it has a budget in USD, and its model no price.
        RunnerFault: the ledger cannot be written; nothing is queued.
    """
    prompt = QUIT if is_quit(prompt) else prompt
    session = _settled(session.key, ledger, settings)
    if ledger.queue.holder(session.key) is None:
        next_request(session, prompt, settings)
    told, now = preview(prompt), clock.now()
    if ignored := config.ignored_home(settings, session.home):
        warn(ignored)
    own_settings, kept = read_own(options.settings), session.settings
    codex = own_settings.over(kept).codex if kept else None
    home = Path(session.home or settings.codex_home)
    asked = codex or CodexOptions(bin="codex", model=own_settings.model)
    refuse_unpriced(own_settings.terms, asked, home, settings)
    own = environment_of(codex, session.home, ledger, settings)
    options = replace(options, environment=own)
    number = ledger.queue.add(session.key, prompt, told, now, options)
    # It is queued: an error from here on must not make the caller send it again.
    try:
        if prompt != QUIT:
            # `/quit` does not release the held prompts before it.
            ledger.queue.release(session.key)
        queue_files.refresh(ledger, session.key, [number])
        started = deliver_next(session.key, ledger, settings)
        timer.wake(ledger, settings)
        if started is not None:
            if ledger.runs.find(started.run_id).spec.prompt_id == number:
                return launched(started, ledger, settings, warn)
            started.reader.close()
            warn(f"run {started.run_id} delivers an earlier prompt first")
        waiting = [each.id for each in ledger.queue.waiting(session.key)]
        if prompt == QUIT and number not in waiting:
            return Sent(run_id=None, ahead=None)
        if end := ledger.queue.end_of(number):
            warn(end)  # what it needs has failed, or its key is known
            return Sent(run_id=None, is_told=True)
        return Sent(run_id=None, ahead=sum(each < number for each in waiting))
    except RunnerError as error:
        waits = any(each.id == number for each in ledger.queue.waiting(session.key))
        still = "not delivered yet" if waits else "no longer waiting"
        warn(f"queued, but {still}: {error}")
        return Sent(run_id=None, is_told=True)


def _settled(key: int, ledger: Ledger, settings: Config) -> Session:
    """Judge the abandoned runs of a session, and read it again."""
    for run in ledger.runs.unfinished(key):
        reconcile_run(run, ledger, settings)
    return ledger.sessions.get(key)


def _refuse_overtaking(session: Session, ledger: Ledger, settings: Config) -> None:
    """Refuse to overtake waiting prompts; release and deliver the first of them."""
    if session.waiting and ledger.queue.holder(session.key) is None:
        ledger.queue.release(session.key)
        # Its file has the hold; when the prompt is delivered it is no longer first.
        queue_files.refresh(ledger, session.key)
        started = deliver_next(session.key, ledger, settings)
        if started is not None:
            started.reader.close()
            raise OvertakingError(session.short_id, session.waiting, started.run_id)
    holder = ledger.queue.holder(session.key)
    if holder is not None:
        ledger.queue.refuse_after_quit(session.key)
        name = session.short_id
        raise SessionBusyError(name, holder, _queueing(name))
    if session.waiting and ledger.queue.waiting(session.key):
        raise PromptsWaitError(session.short_id, session.waiting)


def launched(
    started: Started, ledger: Ledger, settings: Config, warn: Callable[[str], None]
) -> Sent:
    """Wait until Codex is started with a prompt."""
    words = ("launched", "waiting", "finished")
    told = follow.until_told(started.reader, words, warn)
    if told and "finished" not in told:
        run = reconcile_run(ledger.runs.find(started.run_id), ledger, settings)
    else:
        run = follow.settled(started, ledger, settings, warn)
    started.reader.close()
    if run.outcome in {Outcome.NOT_STARTED, Outcome.LOST} and not run.launched_at:
        error = run.verdict.error if run.verdict else None
        raise RunnerFault(error or f"run {run.run_id} was not started")
    return Sent(run_id=started.run_id)
