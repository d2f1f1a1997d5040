"""What a task is shown as: one of seven states, and why, in a word and in a text."""

from __future__ import annotations

from parsers.struct import Struct
from runner.model import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# In the order of a list: what needs a person is first.
STATES = ("held", "running", "parked", "queued", "failed", "done", "stopped")
_WORKS = ("prepared", "launching", "running")
_PARKED = ("limit", "login")
_ENDS: Mapping[str | None, tuple[str, str | None]] = {
    None: ("stopped", "canceled"),
    Outcome.SUCCEEDED: ("done", None),
    Outcome.STOPPED: ("stopped", "you"),
    Outcome.INTERRUPTED: ("stopped", "signal"),
    Outcome.USAGE_LIMITED: ("failed", "limit"),
    Outcome.AUTH_FAILED: ("failed", "login"),
    Outcome.TIMED_OUT: ("failed", "timeout"),
    Outcome.STALLED: ("failed", "stalled"),
    Outcome.OVER_BUDGET: ("failed", "budget"),
    Outcome.LOST: ("failed", "lost"),
    Outcome.NOT_STARTED: ("failed", "start"),
}
_NO_CODEX = "codex binary "
_CHECK_FAILED = "verify_failed"


class Shown(Struct):
    """Hold how a task is shown.

    `state` is one of `STATES`, `reason` one word for why, `detail` a text or None, and
    `until` the RFC 3339 instant at which the wait ends, if it has one. It is in this
    state `since` an instant.
    """

    state: str
    reason: str | None
    detail: str | None
    since: str
    until: str | None = None


def shown(row: Mapping[str, Any], doing: tuple[str, str | None] | None = None) -> Shown:
    """Tell what a task is shown as.

    Args:
        row: of the query `listed_sessions`.
        doing: what a run does at the moment: a word, and a text.
    """
    word, changed = row["why"], row["updated_at"]
    if row["run_state"] in _WORKS:
        reason, detail = doing or ("thinking", None)
        since = row["launched_at"] or changed
        return Shown(state="running", reason=reason, detail=detail, since=since)
    if word == "held":
        is_without = str(row["hold"]).startswith(_NO_CODEX)
        why = "binary" if is_without else row["error_class"] or "held"
        return Shown(state="held", reason=why, detail=row["hold"], since=changed)
    if row["queue"]:
        state = "parked" if word in _PARKED else "queued"
        since = changed if state == "parked" else row["queued_at"] or changed
        needed, until = row["needed"], row["until"]
        told = f"after {needed}" if needed else None
        if word == "login" and row["prompt_state"] != "parked":
            told = "login refused (of the account)"
        return Shown(state=state, reason=word, detail=told, since=since, until=until)
    return _ended(row)


def _ended(row: Mapping[str, Any]) -> Shown:
    outcome, error_class = row["outcome"], row["error_class"]
    state, reason = _ENDS.get(outcome, ("failed", error_class or "error"))
    if outcome == Outcome.SUCCEEDED and error_class == _CHECK_FAILED:
        state, reason = "failed", "verify"
    since, detail = row["ended_at"] or row["updated_at"], row["detail"]
    return Shown(state=state, reason=reason, detail=detail, since=since)
