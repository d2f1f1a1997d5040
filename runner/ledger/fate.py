"""The next state of a prompt when its run ends: pure.

A prompt whose turn has begun was delivered, and ends with its run. So does a prompt of
`run_codex_task`, which waits for the run. Other prompts return to the queue.
"""

from __future__ import annotations

from parsers.struct import Struct
from runner import clock
from runner.clock import iso
from runner.model import OUTCOMES, Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.model import Run, Verdict

# Seconds until a retry: after Codex was not executed, after a turn did not begin, and
# after another program wrote the thread.
BACK_OFF = (10.0, 60.0, 600.0)
WRITER_SECONDS = 10.0
# How many kills before the launch are retried at once.
_AT_ONCE = 2
# The values of `Verdict.error_class` that only a person can fix.
_FOR_A_PERSON = ("configuration", "thread_gone", "untrusted", "option")
_MAY_GO_BACK = (
    Outcome.FAILED,
    Outcome.AUTH_FAILED,
    Outcome.LOST,
    Outcome.NOT_STARTED,
)

_FULL = 100.0  # per cent of a usage window


class Delivery(Struct):
    """Hold the facts on a prompt that a run had.

    `starts` counts successive runs in which Codex was not executed, `unbegun` those in
    which Codex was executed and no turn began.
    """

    is_direct: bool
    is_stop_asked: bool
    starts: int
    unbegun: int


class Ends(Struct):
    """The prompt has ended."""

    state: str
    reason: str


class GoesBack(Struct):
    """The prompt returns to its place in the queue.

    `wait` is the time in seconds until the retry, and `why` the reason; `hold` is why a
    person has to act first, or None.
    """

    starts: int
    unbegun: int
    wait: float = 0.0
    why: str | None = None
    hold: str | None = None


def fate_of(  # noqa: PLR0911 - one return for each row of the table
    delivery: Delivery, verdict: Verdict, *, has_begun: bool
) -> Ends | GoesBack:
    """Return the next state of a prompt."""
    outcome, meaning = verdict.outcome, OUTCOMES[verdict.outcome]
    if delivery.is_stop_asked and not meaning.is_good:
        return Ends(state="canceled", reason="stopped")
    may_go_back = outcome in _MAY_GO_BACK and not (has_begun or delivery.is_direct)
    if not may_go_back:
        return Ends(state=meaning.prompt, reason=str(outcome))
    starts, unbegun = delivery.starts, delivery.unbegun
    kind = verdict.error_class
    if kind == "killed" or outcome is Outcome.NOT_STARTED:
        number = starts - _AT_ONCE if kind == "killed" else starts
        wait = BACK_OFF[min(number, len(BACK_OFF) - 1)] if number >= 0 else 0.0
        why = "start" if wait else None
        return GoesBack(starts=starts + 1, unbegun=unbegun, wait=wait, why=why)
    if kind == "writer":
        wait = WRITER_SECONDS
        return GoesBack(starts=0, unbegun=unbegun, wait=wait, why="refused")
    if kind in _FOR_A_PERSON or outcome is Outcome.AUTH_FAILED:
        return GoesBack(starts=0, unbegun=0, hold=verdict.error or kind)
    if unbegun >= len(BACK_OFF):
        return GoesBack(starts=0, unbegun=0, hold=verdict.error or str(outcome))
    wait = BACK_OFF[unbegun]
    return GoesBack(starts=0, unbegun=unbegun + 1, wait=wait, why="unbegun")


def hold_of(run: Run) -> tuple[str, str | None]:
    """Return why the prompts after a run are held, and until when if known."""
    resets_at = resets_of(run)
    if resets_at is None or run.outcome is not Outcome.USAGE_LIMITED:
        return f"the last run ended {run.outcome}", None
    until = iso(clock.at(resets_at))
    return f"the usage limit lasts until {until}", until


def resets_of(run: Run) -> float | None:
    """Return when the limit that ended a run resets, in seconds of the epoch."""
    limits = run.accounts.get("rate_limits")
    if not isinstance(limits, dict):
        return None
    windows = [limits.get(name) for name in ("primary", "secondary")]
    found = [
        float(window["resets_at"])
        for window in windows
        if isinstance(window, dict)
        and isinstance(window.get("resets_at"), int | float)
        and float(window.get("used_percent") or 0) >= _FULL
    ]
    return max(found, default=None)
