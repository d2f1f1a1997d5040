"""Judge a foreign run: by its events first, then by what its own tool said of it."""

from __future__ import annotations

from parsers.exec_events.events import TurnCompleted, TurnFailed
from parsers.struct import Struct, replace
from parsers.text import strip
from runner.lifecycle.judge import Ending, Evidence, Exit, judge
from runner.model import EXIT_TIMED_OUT, Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from parsers.exec_events.summary import EventSummary

_LONGEST: Final = 500
_NOISE: Final = ("WARNING: ", "Reading prompt from stdin", "Reading additional input")
_DIED: Final = "the old tool says that it died, and not of what"
_STOPPED: Final = "it was stopped before its turn had ended"
_LOST: Final = "its turn has no end on record"
_TIMED_OUT: Final = "the run took longer than it was allowed to"


class Judgement(Struct):
    """How a foreign run ended."""

    outcome: Outcome
    error: str | None


def evidence_of(digest: EventSummary, stderr: Iterable[str], session: str) -> Evidence:
    """Gather what a run's events tell; the session is the one that it was for."""
    endings = {TurnCompleted: Ending.COMPLETED, TurnFailed: Ending.FAILED}
    return Evidence(
        exit=Exit(),
        ending=endings.get(type(digest.ended), Ending.NONE),
        failure=digest.failure,
        last_words=last_words(stderr),
        announced=digest.thread_id,
        asked_for=session,
    )


def by_state(evidence: Evidence, state: str | None) -> Judgement:
    """Judge a run of which its tool kept only a state; None is no word of its own."""
    if evidence.ending is Ending.NONE and state == "STOPPED":
        return Judgement(outcome=Outcome.STOPPED, error=_STOPPED)
    if evidence.ending is Ending.NONE and state == "DIED":
        # It says so of any exit code but 0; only the class of the words is asked for.
        named = replace(evidence, exit=Exit(process_exit_code=1))
        error = evidence.failure or evidence.last_words or _DIED
        return Judgement(outcome=judge(named).outcome, error=error)
    return judged(evidence)


def by_exit_code(evidence: Evidence, exit_code: int | None) -> Judgement:
    """Judge a run of which its tool kept the exit code."""
    if evidence.ending is Ending.NONE and exit_code == 0:
        return Judgement(outcome=Outcome.SUCCEEDED, error=None)
    if evidence.ending is Ending.NONE and exit_code == EXIT_TIMED_OUT:
        return Judgement(outcome=Outcome.TIMED_OUT, error=_TIMED_OUT)
    return judged(replace(evidence, exit=Exit(process_exit_code=exit_code)))


def judged(evidence: Evidence) -> Judgement:
    """Judge as a run of our own is judged."""
    verdict = judge(evidence)
    error = verdict.error
    if verdict.outcome is Outcome.LOST:
        words = evidence.failure or evidence.last_words
        error = f"{_LOST}; its last words: {words}" if words else _LOST
    return Judgement(outcome=verdict.outcome, error=error)


def last_words(stderr: Iterable[str]) -> str | None:
    """Return the last line on standard error that is no mere note."""
    said = (strip(line).strip() for line in stderr)
    words = [line for line in said if line and not line.startswith(_NOISE)]
    return words[-1][:_LONGEST] if words else None
