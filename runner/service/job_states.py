"""The words in which a job is told: its state, its turn, its tokens and files."""

from __future__ import annotations

from parsers import loose_json
from runner.model import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Json = dict[str, Any]

PENDING, RUNNING, COMPLETED, FAILED = "pending", "running", "completed", "failed"
CONTEXT_FULL = "context_window_exceeded"
# What a job waits for that no wait is worth: until a person acts, or for hours.
WAITS_FOR_LONG = frozenset({"held", "limit", "login"})


def status_of(row: Json) -> str:
    """Tell the state of a job by its row of `listed`, in one of four words."""
    if row["run_state"] not in {None, "finished"}:
        return RUNNING
    if row["queue"] and row["why"] != "held":
        return RUNNING if row["launched_at"] else PENDING
    is_good = row["outcome"] == Outcome.SUCCEEDED and row["error_class"] is None
    return COMPLETED if is_good and not row["queue"] else FAILED


def turn_state(row: Json) -> str:
    """Tell whether a turn of a job runs, in the word of the older tool."""
    if row["run_state"] not in {None, "finished"}:
        return "working"
    if row["error_class"] == CONTEXT_FULL:
        return "context_limit"
    waits = row["queue"] and row["why"] not in WAITS_FOR_LONG
    return "working" if waits and row["launched_at"] else "idle"


def tokens(usage: Mapping[str, object], accounts: Mapping[str, object]) -> Json:
    """Build the tokens of a job as the older tool has them."""
    window = loose_json.integer(accounts.get("context_window"))
    used = loose_json.integer(usage.get("input_tokens"))
    share = round(used / window * 100, 2) if window and used is not None else None
    return {
        "input": used,
        "output": loose_json.integer(usage.get("output_tokens")),
        "context_window": window,
        "context_used_pct": share,
    }


def paths(changed: object) -> list[str]:
    """Return the paths of changed files."""
    found = changed if isinstance(changed, list) else []
    named = (each.get("path") if isinstance(each, dict) else each for each in found)
    return [str(path) for path in named]
