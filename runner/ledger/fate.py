"""The next state of a prompt when its run ends: pure.

A prompt whose turn has begun was delivered, and ends with its run, unless it waits for
the end of a usage limit or is to be retried. A prompt of a command that reports the
outcome ends with its run. Other prompts return to the queue.
"""

from __future__ import annotations

import os

from parsers.struct import Struct, replace
from runner import clock
from runner.clock import iso
from runner.model import OUTCOMES, Outcome
from runner.terms import VERIFY_FAILED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.model import Run, Verdict

# Seconds until a retry: after Codex was not executed, after a turn did not begin, and
# after another program wrote the thread.
BACK_OFF = (10.0, 60.0, 600.0)
WRITER_SECONDS = 10.0
# Seconds until a retry of a failed turn: doubled each time, then half of it or more.
_RETRY, _LONGEST_RETRY = 5.0, 600.0
# Seconds that a usage limit lasts: at the least, when Codex names no end, at the most.
_LEAST_LIMIT, _BLIND_LIMIT, _MOST_LIMIT = 60.0, 3600.0, 8 * 86_400.0
# How many kills before the launch are retried at once.
_AT_ONCE = 2
# The values of `Verdict.error_class` that only a person can fix.
_FOR_A_PERSON = ("configuration", "thread_gone", "untrusted", "option")
_MAY_GO_BACK = (Outcome.FAILED, Outcome.LOST, Outcome.STALLED, Outcome.NOT_STARTED)
_MAY_RETRY = (Outcome.FAILED, Outcome.STALLED)

_FULL = 100.0  # per cent of a usage window


class Counters(Struct):
    """Hold what has happened to a prompt.

    `starts` counts successive runs in which Codex was not executed, `unbegun` those in
    which Codex was executed and no turn began; `failures`, `crashes` and `parks` count
    failed and lost turns and usage limits, `checks` failed checks, since its last start
    by a person.
    """

    starts: int = 0
    unbegun: int = 0
    failures: int = 0
    crashes: int = 0
    parks: int = 0
    checks: int = 0


class Delivery(Counters):
    """Hold the facts on a prompt that a run had.

    It may be retried `retries` times when its turn fails for a reason that can pass,
    and continued `recoveries` times when Codex is lost in its turn. While its check
    fails it gets another turn, `turns` in all.
    """

    is_direct: bool
    is_stop_asked: bool
    may_park: bool = True
    retries: int = 0
    recoveries: int = 0
    turns: int = 1

    @property
    def counters(self) -> Counters:
        """Return its counters alone."""
        names = Counters.field_names()
        return Counters(**{name: getattr(self, name) for name in names})


class Ends(Struct):
    """The prompt has ended."""

    state: str
    reason: str


class GoesBack(Struct):
    """The prompt returns to its place in the queue.

    `wait` is the time in seconds until the retry, and `why` the reason; `hold` is why a
    person has to act first, or None. A prompt that `is_parked` waits for the end of a
    usage limit, or without a `wait` for a new login.
    """

    counters: Counters
    wait: float = 0.0
    why: str | None = None
    hold: str | None = None
    is_parked: bool = False


def fate_of(  # noqa: PLR0911 - one return for each row of the table
    delivery: Delivery,
    verdict: Verdict,
    *,
    has_begun: bool,
    reset: float = _BLIND_LIMIT,
) -> Ends | GoesBack:
    """Return the next state of a prompt; `reset` is when its limit ends, in seconds."""
    outcome, meaning = verdict.outcome, OUTCOMES[verdict.outcome]
    now = _in_a_row(delivery.counters, verdict, has_begun=has_begun)
    has_failed_check = verdict.error_class == VERIFY_FAILED
    if delivery.is_stop_asked and (has_failed_check or not meaning.is_good):
        return Ends(state="canceled", reason="stopped")
    if has_failed_check:
        if now.checks + 1 < delivery.turns:
            return GoesBack(counters=replace(now, checks=now.checks + 1))
        return Ends(state="failed", reason=VERIFY_FAILED)
    if outcome is Outcome.USAGE_LIMITED and delivery.may_park:
        parked = replace(now, parks=now.parks + 1)
        return GoesBack(counters=parked, wait=reset, why="limit", is_parked=True)
    if outcome is Outcome.AUTH_FAILED and delivery.may_park:
        return GoesBack(counters=now, is_parked=True)
    # The next turn after a failed check waits like any other prompt.
    is_queued = not delivery.is_direct or now.checks > 0
    may_go_back = outcome in _MAY_GO_BACK and is_queued
    if may_go_back and not has_begun:
        return _unbegun(now, verdict)
    if outcome is Outcome.LOST and now.crashes < delivery.recoveries:
        return GoesBack(counters=replace(now, crashes=now.crashes + 1))
    if outcome in _MAY_RETRY and now.failures < delivery.retries and _can_pass(verdict):
        longest = min(_LONGEST_RETRY, _RETRY * 2**now.failures)
        # With jitter, so that what failed together is not retried together.
        wait = longest * (1 + os.urandom(1)[0] / 255) / 2
        failed = replace(now, failures=now.failures + 1, parks=0)
        return GoesBack(counters=failed, wait=wait, why="retry")
    is_poison = outcome is Outcome.LOST and delivery.recoveries
    return Ends(state=meaning.prompt, reason="poisoned" if is_poison else str(outcome))


def _can_pass(verdict: Verdict) -> bool:
    from parsers.error_classes import retryable  # noqa: PLC0415 - where it was asked for

    return bool(retryable(verdict.error_class))


def _was_executed(verdict: Verdict) -> bool:
    is_killed = verdict.error_class == "killed"  # before its launch
    return verdict.outcome is not Outcome.NOT_STARTED and not is_killed


def _in_a_row(now: Counters, verdict: Verdict, *, has_begun: bool) -> Counters:
    """Reset the counters of what this run has ended."""
    if _was_executed(verdict):
        now = replace(now, starts=0)
    return replace(now, unbegun=0) if has_begun else now


def _unbegun(now: Counters, verdict: Verdict) -> GoesBack:
    """Return when a prompt is tried again whose turn did not begin."""
    kind = verdict.error_class
    if not _was_executed(verdict):
        number = now.starts - _AT_ONCE if kind == "killed" else now.starts
        wait = BACK_OFF[min(number, len(BACK_OFF) - 1)] if number >= 0 else 0.0
        again = replace(now, starts=now.starts + 1)
        return GoesBack(counters=again, wait=wait, why="start" if wait else None)
    if kind == "writer":
        return GoesBack(counters=now, wait=WRITER_SECONDS, why="refused")
    if kind in _FOR_A_PERSON or now.unbegun >= len(BACK_OFF):
        hold = verdict.error or kind or str(verdict.outcome)
        return GoesBack(counters=replace(now, unbegun=0), hold=hold)
    again = replace(now, unbegun=now.unbegun + 1)
    return GoesBack(counters=again, wait=BACK_OFF[now.unbegun], why="unbegun")


def limit_seconds(run: Run, parks: int, now: float) -> float:
    """Return how long the usage limit that ended a run lasts, in seconds from `now`.

    A reset in the past must not make a loop: the least time is doubled for each limit
    in a row. A reset in more than eight days is not believed.
    """
    resets = resets_of(run)
    left = _BLIND_LIMIT if resets is None else resets - now
    if left > _MOST_LIMIT:
        left = _BLIND_LIMIT
    return max(left, min(_BLIND_LIMIT, _LEAST_LIMIT * float(2**parks)))


def hold_of(run: Run) -> tuple[str, str | None]:
    """Return why the prompts after a run are held, and until when if known."""
    resets_at = resets_of(run)
    if resets_at is None or run.outcome is not Outcome.USAGE_LIMITED:
        return f"the last run ended {run.outcome}", None
    until = iso(clock.at(resets_at))
    return f"the usage limit lasts until {until}", until


def resets_of(run: Run) -> float | None:
    """Return when the limit that ended a run resets, in seconds of the epoch.

    That is when the last full window resets, else the first that Codex names.
    """
    limits = run.accounts.get("rate_limits")
    if not isinstance(limits, dict):
        return None
    windows = [limits.get(name) for name in ("primary", "secondary")]
    found = [
        (float(window.get("used_percent") or 0) >= _FULL, float(window["resets_at"]))
        for window in windows
        if isinstance(window, dict) and isinstance(window.get("resets_at"), int | float)
    ]
    full = [at for is_full, at in found if is_full]
    return max(full) if full else min((at for _, at in found), default=None)
