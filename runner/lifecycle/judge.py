"""Judge how a run ended, from the evidence: pure.

The verdict comes from events first and from the exit code second: `turn.completed` is
a success, `turn.failed` is a failure, and an exit code of 0 without one of them is no
success.
"""

from __future__ import annotations

import os

from parsers.error_classes import OTHER, classify
from parsers.light import StrEnum, signal
from parsers.struct import Struct, replace
from runner.model import (
    EXIT_NOT_EXECUTABLE,
    EXIT_NOT_FOUND,
    EXIT_SIGNAL_BASE,
    OUTCOMES,
    Outcome,
    Verdict,
)
from runner.process.signals import name_of
from runner.terms import VERIFY_FAILED

# The outcomes of a failed turn by its class; that of any other class is `failed`.
_OF_CLASS = {
    OTHER: Outcome.FAILED,
    "usage_limit_exceeded": Outcome.USAGE_LIMITED,
    "unauthorized": Outcome.AUTH_FAILED,
}
_CLASS_OF = {outcome: name for name, outcome in _OF_CLASS.items()}
# Signals that end a process on purpose; any other signal is a crash.
_ENDING_SIGNALS = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGKILL,
    signal.SIGTERM,
)

# The class of a run whose launcher or supervisor was killed before it started Codex.
KILLED = "killed"


class Ending(StrEnum):
    """The terminal event of the turn."""

    COMPLETED = "completed"
    FAILED = "failed"
    NONE = "none"


class Cause(StrEnum):
    """Why the supervisor ended the run, when it did."""

    TIMEOUT = "timeout"
    STALL = "stall"
    SIGNAL = "signal"
    STOP = "stop"
    SILENCE = "silence"
    BUDGET = "budget"
    CHECK = "check"


class Exit(Struct):
    """Hold the exit status of Codex, and the cause when the supervisor ended it.

    `cause_value` is the limit in seconds, or the number of the signal; `reason` says
    which budget was exceeded. `CHECK` is the limit of the check that comes after Codex.
    """

    process_exit_code: int | None = None
    signal: int | None = None
    cause: Cause | None = None
    cause_value: float = 0
    reason: str | None = None


def exit_of(status: int | None, ended: tuple[Cause, float, str | None] | None) -> Exit:
    """Return how Codex exited: its wait status, and why the supervisor ended it."""
    cause, value, reason = ended or (None, 0, None)
    code = None if status is None else os.waitstatus_to_exitcode(status)
    return Exit(
        process_exit_code=code if code is not None and code >= 0 else None,
        signal=-code if code is not None and code < 0 else None,
        cause=cause,
        cause_value=value,
        reason=reason,
    )


class Evidence(Struct):
    """Hold the evidence on a run that has ended.

    `failure` and `error_class` are Codex's, from the events and the rollout;
    `last_words` is the end of its standard error, `refusal` the class of that error.
    `exit` is empty when no supervisor was there to wait for Codex. `is_launched` is
    false without proof that Codex was started, `has_begun` without proof that it began
    the turn. `told` is the verdict of a supervisor that could store it in a file only.
    `is_restarted` is true when the machine was restarted since the run was launched.
    """

    exit: Exit
    told: Verdict | None = None
    is_launched: bool = True
    has_begun: bool = True
    is_restarted: bool = False
    refusal: str | None = None
    ending: Ending = Ending.NONE
    failure: str | None = None
    error_class: str | None = None
    was_aborted: bool = False
    last_words: str | None = None
    announced: str | None = None
    asked_for: str | None = None


def judge(evidence: Evidence) -> Verdict:
    """Return the verdict on a run whose Codex was started."""
    own = _judge(evidence)
    found = evidence.told or own
    error_class = own.error_class
    if found.outcome is not own.outcome:
        error_class = verdict(found.outcome, None).error_class
    if found.outcome is Outcome.SUCCEEDED and found.exit_code:
        error_class = VERIFY_FAILED
    elif found.outcome is Outcome.LOST and not evidence.is_launched:
        error_class = KILLED
    elif not evidence.has_begun and found.outcome in {Outcome.FAILED, Outcome.LOST}:
        error_class = evidence.refusal or error_class
    return replace(
        found,
        process_exit_code=evidence.exit.process_exit_code,
        signal=evidence.exit.signal,
        error_class=error_class,
    )


def verdict(
    outcome: Outcome, error: str | None, exit_code: int | None = None
) -> Verdict:
    """Return a verdict; the default exit code is that of its outcome."""
    code = OUTCOMES[outcome].exit_code if exit_code is None else exit_code
    is_good, named = OUTCOMES[outcome].is_good, _CLASS_OF.get(outcome, str(outcome))
    error_class = None if is_good else named
    return Verdict(
        outcome=outcome, exit_code=code, error=error, error_class=error_class
    )


def not_started(exit_code: int, error: str, error_class: str | None = None) -> Verdict:
    """Return the verdict on a run whose Codex was not started."""
    found = verdict(Outcome.NOT_STARTED, error, exit_code)
    return replace(found, error_class=error_class or found.error_class)


def _judge(evidence: Evidence) -> Verdict:
    asked, announced = evidence.asked_for, evidence.announced
    if asked is not None and announced is not None and asked != announced:
        error = f"session {asked} was requested, but Codex worked on {announced}"
        return verdict(Outcome.FAILED, error, _failed_code(evidence))
    match evidence.ending:
        case Ending.COMPLETED:
            return verdict(Outcome.SUCCEEDED, None)
        case Ending.FAILED:
            return _failed(evidence, evidence.failure)
        case Ending.NONE if evidence.exit.cause is not None:
            return _ended_by_us(evidence)
        case Ending.NONE:
            return _without_terminal_event(evidence)


def _without_terminal_event(evidence: Evidence) -> Verdict:
    words, code = _words(evidence), evidence.exit.process_exit_code
    number = _signal_of(evidence)
    if code is None and number is None:
        said = f"; last error: {words}" if words else ""
        error = f"Codex and its supervisor ended without a terminal event{said}"
        if not evidence.is_launched and not words:
            error = "its supervisor was killed, perhaps before it started Codex"
        if evidence.is_restarted:
            error += "; the machine was restarted"
        return verdict(Outcome.LOST, error)
    if number is not None:
        said = f": {words}" if words else ""
        is_wanted = number in _ENDING_SIGNALS
        outcome = Outcome.INTERRUPTED if is_wanted else Outcome.FAILED
        error = f"Codex was ended by {name_of(number)}{said}"
        return verdict(outcome, error, EXIT_SIGNAL_BASE + number)
    if evidence.was_aborted:
        # Codex exits 1 after an INT from another process.
        return verdict(Outcome.INTERRUPTED, "the turn was aborted")
    if code in (EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND) and not evidence.announced:
        return verdict(Outcome.NOT_STARTED, words or f"Codex exited {code}", code)
    return _failed(evidence, words or f"Codex exited {code} without a terminal event")


def _ended_by_us(evidence: Evidence) -> Verdict:
    value = evidence.exit.cause_value
    match evidence.exit.cause:
        case Cause.TIMEOUT:
            error = f"the run took longer than {value:g} s"
            return verdict(Outcome.TIMED_OUT, error)
        case Cause.STALL:
            said = f"; last: {evidence.failure}" if evidence.failure else ""
            return verdict(Outcome.STALLED, f"no progress for {value:g} s{said}")
        case Cause.SILENCE:
            said = f"; last: {words}" if (words := _words(evidence)) else ""
            error = f"Codex has not named a thread within {value:g} s{said}"
            return verdict(Outcome.TIMED_OUT, error)
        case Cause.BUDGET:
            return verdict(Outcome.OVER_BUDGET, evidence.exit.reason)
        case Cause.STOP:
            return verdict(Outcome.STOPPED, "the run was stopped")
        case _:
            number = int(value)
            error = f"the run was ended by {name_of(number)}"
            return verdict(Outcome.INTERRUPTED, error, EXIT_SIGNAL_BASE + number)


def _failed(evidence: Evidence, error: str | None) -> Verdict:
    named = classify(evidence.error_class, _words(evidence) or "")
    outcome = _OF_CLASS.get(named, Outcome.FAILED)
    return replace(verdict(outcome, error, _failed_code(evidence)), error_class=named)


def _signal_of(evidence: Evidence) -> int | None:
    """Return the signal of the exit status; a launcher reports it as 128 + number."""
    if evidence.exit.signal is not None:
        return evidence.exit.signal
    number = (evidence.exit.process_exit_code or 0) - EXIT_SIGNAL_BASE
    return number if number in _ENDING_SIGNALS else None


def _failed_code(evidence: Evidence) -> int:
    number = _signal_of(evidence)
    if number is not None:
        return EXIT_SIGNAL_BASE + number
    return evidence.exit.process_exit_code or 1


def _words(evidence: Evidence) -> str | None:
    return evidence.failure or evidence.last_words
