"""Sessions as they really are: derived at every read from the record and what lives."""

from __future__ import annotations

from parsers.struct import Struct, replace
from runner import files, session_files, whereabouts
from runner.config import RUN_MARKER
from runner.errors import (
    FileFault,
    NoSuchRunError,
    NoSuchTaskError,
    RunnerError,
    RunnerFault,
)
from runner.ledger import record
from runner.lifecycle.recover import living, reconcile_run
from runner.locks import is_locked
from runner.model import GOOD_ENDS, TaskState
from runner.succession import last_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from runner.config import Config
    from runner.ledger.queue import Mail
    from runner.ledger.runs import Ledger
    from runner.ledger.sessions import Row
    from runner.model import Run, TaskState
    from runner.session_files import SessionFiles


class Task(Struct):
    """Hold one session at a moment.

    `runs` are its runs in their order, `last` the one that tells how it stands;
    `waiting` is how many prompts its mailbox holds, and `hold` why they are not
    delivered, None when they will be by themselves.
    """

    row: Row
    state: TaskState
    files: SessionFiles
    runs: tuple[Run, ...]
    waiting: int = 0
    hold: str | None = None

    @property
    def id(self) -> str:
        return self.row.session_id

    @property
    def last(self) -> Run:
        return last_of(self.runs)


class Now(Struct):
    """Hold which sessions are at work, and what could not be found out."""

    running: frozenset[str]
    faults: tuple[str, ...] = ()


def take_stock(ledger: Ledger, settings: Config) -> Now:
    """Judge what was left behind, deliver what waits for a free session, and count.

    What goes wrong with one session is named and concerns no other.
    """
    running: set[str] = set()
    faults: list[str] = []
    # Before the runs: what has left a mailbox by then is seen among them.
    with_mail = ledger.mail.counts().keys()
    for run in ledger.unfinished():
        try:
            if not reconcile_run(run, ledger, settings).is_finished:
                running.add(run.key)
            elif not ledger.find(run.run_id).is_finished:
                faults.append(
                    f"{run.key}: its end cannot be put on record (full disk?)"
                )
        except NoSuchRunError:
            continue  # its session has been removed since
        except (RunnerError, OSError) as error:
            faults.append(f"{run.key}: {error}")
    # Judging a run that never came to be has put its prompt back.
    for session_id in (with_mail | ledger.mail.counts().keys()) - running:
        try:
            if is_at_work(session_id, ledger, settings):
                running.add(session_id)
        except (RunnerError, OSError) as error:
            faults.append(f"{session_id}: {error}")
    return Now(running=frozenset(running), faults=tuple(faults))


def is_at_work(session_id: str, ledger: Ledger, settings: Config) -> bool:
    """Tell whether a session has a living run, after delivering what waits for it.

    Between two runs of a queue nobody may live for a moment: a session whose mail will
    be delivered is at work all the same.
    """
    # Before the runs: what has left the mailbox by then is seen among them.
    has_mail = bool(ledger.mail.waiting(session_id))
    if _has_living_run(session_id, ledger, settings):
        return True
    # Judging a run that never came to be has put its prompt back.
    has_mail = has_mail or bool(ledger.mail.waiting(session_id))
    return has_mail and _is_delivering(session_id, ledger, settings)


def _has_living_run(session_id: str, ledger: Ledger, settings: Config) -> bool:
    return bool(living(ledger.unfinished_of(session_id), ledger, settings))


def newest(
    states: Collection[TaskState],
    now: Now,
    ledger: Ledger,
    settings: Config,
    limit: int | None = None,
) -> list[tuple[Row, TaskState]]:
    """Return the sessions that are in one of these states, the newest first."""
    rows = ledger.sessions.newest(states, now.running, limit)
    each = (standing(row, now.running, ledger, settings) for row in rows)
    found = [(row, state) for row, state in each if state in states]
    if limit is not None and len(found) < limit <= len(rows):
        # What is in another state by now has taken the place of others.
        return newest(states, now, ledger, settings)[:limit]
    return found


def standing(
    row: Row, running: Collection[str], ledger: Ledger, settings: Config
) -> tuple[Row, TaskState]:
    """Tell the state of a session, given which were at work a moment ago.

    Since then it may have been carried on, or named by Codex, or have come to rest, or
    its run is over and the disk has refused to note that: where the outcome on record
    does not agree its last run tells.
    """
    is_running = row.session_id in running
    if is_running is (row.outcome is not None):
        # Before the run: what has left the mailbox by then has another one.
        waiting = ledger.mail.waiting(row.session_id) if is_running else []
        last = ledger.last_of(row.session_id)
        if last is not None:
            last = reconcile_run(last, ledger, settings)
            row = replace(row, outcome=last.outcome)
            goes_on = bool(waiting) and _hold(last, waiting) is None
            is_running = goes_on or not last.is_finished
    return row, _state_of(row, is_running=is_running)


def _is_delivering(session_id: str, ledger: Ledger, settings: Config) -> bool:
    """Deliver what waits for a session; tell whether it is being worked on now."""
    from runner.lifecycle import queue  # noqa: PLC0415 - 4 ms, only where something waits

    if RUN_MARKER in settings.environment:
        # What is started from inside a run would be ended with that. The supervisor of
        # the run before delivers before it goes.
        will_be = _is_about_to_be_delivered(session_id, ledger, settings)
        return will_be or _has_living_run(session_id, ledger, settings)
    started = queue.deliver(session_id, ledger, settings)
    if started is not None:
        started.listener.close()
        return True
    waiting = ledger.mail.waiting(session_id)
    if not waiting:
        # Somebody else has delivered it, and may have died since.
        return is_at_work(session_id, ledger, settings)
    last = ledger.last_of(session_id)
    if last is None:
        return False
    if not last.is_finished:
        # One that is over, and whose end cannot be put on record, is delivered nothing.
        return not reconcile_run(last, ledger, settings).is_finished
    return queue.hold_of(last, waiting[0]) is None


def _is_about_to_be_delivered(
    session_id: str, ledger: Ledger, settings: Config
) -> bool:
    last, waiting = ledger.last_of(session_id), ledger.mail.waiting(session_id)
    if last is None or _hold(last, waiting):
        return False
    files = record.files_of(session_files.located(settings.state_home, last).spec)
    return bool(waiting) and is_locked(files.events)


def _hold(last: Run, waiting: Sequence[Mail]) -> str | None:
    if not waiting:
        return None
    from runner.lifecycle import queue  # noqa: PLC0415 - see _is_delivering

    return queue.hold_of(last, waiting[0])


def look(row: Row, ledger: Ledger, settings: Config) -> Task:
    """Return one session as it is.

    Raises:
        NoSuchTaskError: it has been removed since.
        RunnerFault: its record cannot be read or written.
    """
    fault = None
    try:
        running = is_at_work(row.session_id, ledger, settings)
    except FileFault as error:
        # A prompt that cannot be read concerns the mailbox, not what has been done.
        running, fault = _has_living_run(row.session_id, ledger, settings), str(error)
    row = whereabouts.row_of(row.session_id, ledger, settings.state_home) or row
    with ledger.database.moment():
        found = ledger.of_session(row.session_id)
        waiting = ledger.mail.waiting(row.session_id)
    runs = tuple(
        # One that is over by now although the disk has refused to note it.
        reconcile_run(run, ledger, settings)
        if not (run.is_finished or running)
        else session_files.located(settings.state_home, run)
        for run in found
    )
    if not runs:
        if ledger.sessions.of(row.session_id) is None:
            # It has been removed since it was found.
            raise NoSuchTaskError(row.session_id)
        message = f"session {row.session_id} has no run on record: codex-tasks verify"
        raise RunnerFault(message)
    last = last_of(runs)
    hold = fault if fault and waiting else _hold(last, waiting)
    # Somebody may have carried it on since it was found to be at rest, and what was at
    # work then may be over: then only what is about to be delivered keeps it there.
    goes_on = running and bool(waiting) and hold is None
    running = goes_on or any(not run.is_finished for run in runs)
    return Task(
        row=row,
        state=_state_of(replace(row, outcome=last.outcome), is_running=running),
        files=session_files.placed(
            settings.state_home, row.session_id, row.archived_in
        ),
        runs=runs,
        waiting=len(waiting),
        hold=hold,
    )


def _state_of(row: Row, *, is_running: bool) -> TaskState:
    if is_running:
        # Also an archived one, when another door carries it on.
        return TaskState.RUNNING
    if row.archived_in is not None:
        return TaskState.ARCHIVED
    return TaskState.STOPPED if row.outcome in GOOD_ENDS else TaskState.DIED


class Listed(Struct):
    """Hold one line of a listing; `waiting` is how many prompts wait for it."""

    row: Row
    state: TaskState
    repo: str | None
    files: SessionFiles
    waiting: int


def listing(
    states: Collection[TaskState],
    limit: int | None,
    now: Now,
    ledger: Ledger,
    settings: Config,
) -> list[Listed]:
    """Return the sessions that are in one of these states, the newest first."""
    home = settings.state_home
    found = newest(states, now, ledger, settings, limit)
    waiting = ledger.mail.counts()
    repos = ledger.sessions.repos(row.session_id for row, _ in found)
    return [
        Listed(
            row=row,
            state=state,
            repo=repos.get(row.session_id),
            files=session_files.placed(home, row.session_id, row.archived_in),
            waiting=waiting.get(row.session_id, 0),
        )
        for row, state in found
    ]


def strangers(ledger: Ledger, settings: Config) -> list[str]:
    """Name what lies among the sessions and is none that the index knows."""
    home = settings.state_home
    names = sorted(session_files.in_use(home) - ledger.sessions.ids())
    return [
        name
        for name in names
        # One that has been put away or removed meanwhile is no stranger.
        if files.is_directory(home / name) and not ledger.is_source(home / name)
    ]
