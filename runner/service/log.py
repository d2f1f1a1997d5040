"""What a session's runs have said, one after the other, and go on to say.

The files of the runs are read, not the session's own log: they are there whatever door
a run came through, and nobody stands between them and Codex.
"""

from __future__ import annotations

from parsers.struct import Struct
from runner import clock
from runner.errors import NoSuchRunError, UsageError
from runner.lifecycle.handoff import STOP_SIGNALS
from runner.model import Finished, Outcome, Running, TaskState
from runner.process.signals import blocked
from runner.service.follow import Note
from runner.service.reel import Errors, Events, Part, Prompt, Reel, Start, last_starts
from runner.service.sessions import is_at_work, standing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    from runner.config import Config
    from runner.ledger.runs import Ledger
    from runner.ledger.sessions import Row
    from runner.model import Run
    from runner.service.sessions import Task

__all__ = [
    "Errors",
    "Events",
    "Note",
    "Nothing",
    "Piece",
    "Prompt",
    "RunEnded",
    "Wish",
    "read",
]

# A tick asks for two sizes (50 us with the waking up), a look at a run two queries.
_PACE_SECONDS = 0.04
_TICKS_PER_LOOK = 6
# A supervisor that was killed changes nothing in the index.
_TICKS_PER_JUDGEMENT = 24
_TICKS_OF_PATIENCE = 100


class Wish(Struct):
    """Hold what of a session is to be shown.

    `last` is how many lines of its log, None for all; `run_id` the only run. To follow
    ends with the session's work, `is_endless` never.
    """

    run_id: str | None = None
    last: int | None = None
    follows: bool = False
    is_endless: bool = False


class RunEnded(Struct):
    """A run is over, and was no success."""

    run_id: str
    outcome: str
    error: str | None


class Nothing(Struct):
    """Nothing has happened for a moment."""


Piece: TypeAlias = Part | RunEnded | Nothing


def read(task: Task, wish: Wish, ledger: Ledger, settings: Config) -> Iterator[Piece]:
    """Return the pieces of a session's transcript, as they come when it is followed.

    Raises:
        UsageError: the run that is wished for is not one of the session's.
        RunnerFault: the record cannot be read or written.
    """
    if wish.run_id not in {None, *(run.run_id for run in task.runs)}:
        message = f"task {task.id} has no run {wish.run_id!r}"
        raise UsageError(message)
    transcript = _Transcript(task, wish, ledger, settings)
    return transcript.followed() if wish.follows else transcript.runs()


class _Transcript:
    def __init__(
        self, task: Task, wish: Wish, ledger: Ledger, settings: Config
    ) -> None:
        self._wish = wish
        self._ledger = ledger
        self._settings = settings
        self._session_id = task.id
        self._version = ledger.database.version()
        self._seen: Row | None = None
        runs = [run for run in task.runs if self._is_wanted(run)]
        self._starts = (
            {}
            if wish.last is None
            else last_starts(runs, wish.last, settings.state_home)
        )
        self._shown = {run.run_id for run in runs if wish.last is not None}
        self._shown -= self._starts.keys()
        self._runs = [run for run in runs if run.run_id not in self._shown]

    def runs(self) -> Iterator[Piece]:
        """Yield what is there."""
        for run in self._runs:
            yield from self._show(run)

    def followed(self) -> Iterator[Piece]:
        """Yield what is there and what comes, to the end of the session's work."""
        while True:
            while runs := self._new():
                for run in runs:
                    self._shown.add(run.run_id)
                    yield from self._show(run)
            end = self._end()
            # Between the two looks a short run may have come and gone.
            if end is not None and not self._new():
                yield Note(f"{end}; stopping log follow.")
                return
            yield from self._until_something_changes()

    def _is_wanted(self, run: Run) -> bool:
        """Tell whether a run is to be shown; one that waits is, when its turn comes."""
        is_begun = isinstance(run.state, Running | Finished)
        return self._wish.run_id in {None, run.run_id} and (
            is_begun or not self._wish.follows
        )

    def _new(self) -> list[Run]:
        row = self._seen = self._row()
        runs = self._ledger.of_session(row.session_id) if row is not None else ()
        new = (run for run in runs if run.run_id not in self._shown)
        return [run for run in new if self._is_wanted(run)]

    def _row(self) -> Row | None:
        """Find the session, which gets another name when Codex names its thread."""
        found = self._ledger.sessions.of(self._session_id)
        self._session_id = found.session_id if found else self._session_id
        return found

    def _end(self) -> str | None:
        """Say why there is nothing more to come; None when something may."""
        with blocked(STOP_SIGNALS):
            # A run may be started here: who delivers its prompt is not interrupted.
            goes_on = is_at_work(self._session_id, self._ledger, self._settings)
        row = self._row()
        run_id = self._wish.run_id
        if self._wish.is_endless:
            return None
        if row is None:
            return f"Task {self._session_id} state unavailable"
        if run_id in self._shown:
            return f"Run {run_id} has ended"
        if goes_on:
            return None
        _, state = standing(row, (), self._ledger, self._settings)
        if state is TaskState.RUNNING:
            return None
        return f"Task {row.session_id} is {state}"

    def _until_something_changes(self) -> Iterator[Nothing]:
        """Wait; a session of many runs is not read anew because another one works."""
        for _ in range(_TICKS_OF_PATIENCE):
            clock.sleep(_PACE_SECONDS)
            yield Nothing()
            if self._has_changed() and self._row() != self._seen:
                return

    def _has_changed(self) -> bool:
        was, self._version = self._version, self._ledger.database.version()
        return self._version != was

    def _show(self, run: Run) -> Iterator[Piece]:
        start = self._starts.get(run.run_id, Start())
        reel = Reel(run, start, self._ledger, self._settings)
        if start.with_prompt:
            yield from reel.prompt()
        if self._wish.follows:
            yield from self._live(reel)
        yield from reel.rest()
        verdict = reel.run.verdict
        if verdict is not None and verdict.outcome is not Outcome.SUCCEEDED:
            yield RunEnded(
                run_id=run.run_id, outcome=verdict.outcome, error=verdict.error
            )

    def _live(self, reel: Reel) -> Iterator[Piece]:
        """Yield what is added to a run until it is over."""
        ticks = 0
        while not reel.run.is_finished:
            ticks += 1
            for part in reel.more():
                ticks = 0
                yield part
            clock.sleep(_PACE_SECONDS)
            if ticks == 0 or ticks % _TICKS_PER_LOOK:
                continue
            yield Nothing()
            if self._has_changed() or ticks % _TICKS_PER_JUDGEMENT == 0:
                try:
                    reel.judge()
                except NoSuchRunError:
                    return  # its session has been removed
