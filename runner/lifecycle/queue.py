"""Deliver queued prompts: the first of each session that is free."""

from __future__ import annotations

import os

from parsers.light import suppress
from parsers.paths import Path
from runner import config_files
from runner.codex import home
from runner.codex.binary import NO_ROLLOUT, has_lost
from runner.errors import (
    AlreadyDeliveredError,
    FileFault,
    RunnerError,
    SessionBusyError,
    UnpricedError,
)
from runner.exports import queue_files
from runner.ledger.environments import Senders
from runner.ledger.settings import OwnSettings, Settings, read_own
from runner.lifecycle.check import next_turn
from runner.lifecycle.launch import refuse_unpriced, start_run
from runner.model import CodexOptions, Limits, RunRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.ledger.prompts import Prompt
    from runner.ledger.queue import Candidate
    from runner.ledger.sessions import Session
    from runner.lifecycle.launch import Started


class UndeliverableError(RunnerError):
    """Refuse a prompt for a session that cannot be resumed."""

    code = "undeliverable"


def deliver_all(
    ledger: Ledger, settings: Config, *, but: int | None = None
) -> dict[int, str]:
    """Deliver prompts, the best first, until none can be delivered.

    One whose sender had a secret that is not here is passed over. A session `but` is
    left out. Each launch changes what can be delivered (slots, the
    start rate), so the queue is read again.

    Returns the errors, a sentence for each session; those of the ledger and of
    `runner.toml` under 0.
    """
    faults: dict[int, str] = {}
    tried: set[int] = set()
    senders = Senders(ledger, settings)
    while True:
        try:
            candidates = ledger.queue.candidates()
        except RunnerError as error:
            return {**faults, 0: str(error)}
        left = (e for e in candidates if e.prompt not in tried and e.session != but)
        able = (each for each in left if not senders.lacking(each.environment))
        candidate = next(able, None)
        if candidate is None:
            return faults
        if not tried and (wrong := config_files.explain(settings)[1]):
            return {0: wrong[0]}
        tried.add(candidate.prompt)
        try:
            theirs = senders.settings_of(candidate.environment)
            if (started := deliver(candidate, ledger, theirs)) is not None:
                started.reader.close()
        except (RunnerError, OSError) as error:
            name = candidate.thread or f"prompt {candidate.prompt}"
            faults[candidate.session] = f"{name}: {error}"


def deliver_next(
    session: int, ledger: Ledger, settings: Config, own: int | None = None
) -> Started | None:
    """Deliver the first prompt of a session, unless it has to wait.

    `own` is a prompt whose sender had exactly these settings, also what is not kept.

    Raises:
        RunnerError: the run cannot be started; the prompt stays in the queue.
    """
    senders = Senders(ledger, settings)
    for candidate in ledger.queue.candidates():
        key = candidate.environment
        if candidate.session == session and candidate.prompt == own:
            return deliver(candidate, ledger, settings)
        if candidate.session == session and not senders.lacking(key):
            return deliver(candidate, ledger, senders.settings_of(key))
    return None


def deliver(candidate: Candidate, ledger: Ledger, settings: Config) -> Started | None:
    """Start a run for a prompt; return None when it cannot be delivered now.

    `settings` are those of its sender.

    Raises:
        RunnerError: the run cannot be started; the prompt stays in the queue.
    """
    own, thread = os.fsdecode(candidate.home), candidate.thread
    place = Path(own) if own else settings.codex_home
    is_free = thread is None or home.writer_of(place, thread) is None
    if candidate.waits_for_writer or not is_free:
        ledger.queue.wait_for_writer(candidate, is_free=is_free)
    if not is_free:
        return None
    prompt = ledger.queue.head(candidate.session)
    if prompt is None or prompt.id != candidate.prompt:
        return None
    if prompt.is_quit:
        gone = ledger.queue.quit(prompt)
        queue_files.refresh(ledger, candidate.session, gone)
        return None
    session = ledger.sessions.get(candidate.session)
    try:
        request = next_request(session, prompt.text or b"", settings, prompt)
        request = next_turn(request, ledger)
        refuse_unpriced(request.terms, request.codex, place, settings)
    except (UndeliverableError, UnpricedError) as error:
        ledger.queue.hold(prompt.id, str(error))
        queue_files.refresh(ledger, candidate.session)
        return None
    with suppress(AlreadyDeliveredError, SessionBusyError):
        return start_run(lambda _: request, ledger, settings)
    return None


def directory_of(session: Session, own: OwnSettings) -> Path | None:
    """Return where the next run of a session works; None when it is unknown."""
    kept = session.settings
    repo = own.repo or (kept.repo if kept else session.repo)
    return None if repo is None else Path(repo)


def next_request(
    session: Session,
    text: bytes,
    settings: Config,
    prompt: Prompt | None = None,
    own: OwnSettings = OwnSettings(),  # noqa: B008 - a frozen value
) -> RunRequest:
    """Build the request for a run that resumes a session with its settings.

    Only the directory of an imported session is used. A session that has never run, or
    whose first prompt waits again because no turn began, is opened. `prompt` is the
    queued prompt of the text; its own settings, or `own`, take precedence over those of
    the session.

    Raises:
        UndeliverableError: it has no thread that Codex has saved, or no working
            directory.
        UsageError: a file of settings is wrong.
        FileFault: the working directory cannot be looked at.
    """
    is_new = session.last_run is None or (prompt is not None and not prompt.begun)
    if session.thread is None and not is_new:
        message = f"task {session.name} has no thread to resume"
        raise UndeliverableError(message)
    codex_home = session.home or str(settings.codex_home)
    program = session.settings.codex.bin if session.settings else "codex"
    if session.thread is not None and has_lost(
        session.thread, Path(codex_home), program, settings
    ):
        message = (
            f"task {session.name} cannot be resumed: {NO_ROLLOUT.format(codex_home)}"
        )
        raise UndeliverableError(message)
    if prompt is not None:
        own = read_own(prompt.settings)
    repo = directory_of(session, own)
    if repo is None:
        what = f"it is not known where task {session.name} worked"
        message = f"{what}: --working-dir says it"
        raise UndeliverableError(message)
    try:
        is_there = repo.is_dir()
    except OSError as error:
        raise FileFault("look at", repo, error) from error
    if not is_there:
        message = f"task {session.name} worked in {repo}, which is gone"
        raise UndeliverableError(message)
    settings = config_files.in_force(settings, repo)
    if prompt is not None and prompt.begun:
        # When its turn was cut off, Codex has the prompt already.
        text = settings.continue_prompt.encode()
    limits = Limits(stall=settings.stall_seconds, timeout=settings.timeout_seconds)
    blank = CodexOptions(bin="codex", sandbox=settings.sandbox, model=settings.model)
    first = Settings(repo=str(repo), umask=settings.umask, codex=blank, limits=limits)
    kept = own.over(session.settings or first)
    return RunRequest(
        prompt=text,
        repo=str(repo),
        cwd=str(repo),
        umask=kept.umask,
        codex=kept.codex,
        codex_home=codex_home,
        limits=kept.limits,
        terms=own.terms,
        session=session.key,
        thread=session.thread,
        has_exports=True,
        prompt_id=None if prompt is None else prompt.id,
    )
