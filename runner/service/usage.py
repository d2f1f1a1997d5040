"""Add up the usage and cost of all runs, each counted once."""

from __future__ import annotations

from parsers.accounting.tokens import SUMMED
from parsers.light import datetime, pattern
from parsers.struct import Struct
from runner import clock
from runner.errors import UsageError
from runner.ledger.usage import UsageTotal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from runner.ledger.ledger import Ledger

GROUPS = ("day", "model", "repo", "session")
_DATE_OR_INSTANT = pattern(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2}))?"
)
# Binary sums of prices: digits after this one are noise.
_DIGITS = 10
# A year with three digits would not compare as text.
_BEFORE_ALL = clock.at(0)


FIGURES = tuple(
    name for name in UsageTotal.field_names() if name not in {"key", "title"}
)
NOTHING = UsageTotal("", None, **dict.fromkeys(FIGURES, 0))
# The number of the runs for which a figure is unknown.
_UNKNOWN = {
    **dict.fromkeys(SUMMED, "unknown_parts"),
    "total_tokens": "unknown_usage",
    "usd": "unknown_cost",
}


class Report(Struct):
    """Hold the usage of runs by group; `total` is None without runs.

    `not_over` counts the unfinished runs, which have no figures yet.
    """

    by: str
    since: datetime | None
    lines: tuple[UsageTotal, ...]
    total: UsageTotal | None
    not_over: int = 0


def gather(ledger: Ledger, by: str, since: datetime | None = None) -> Report:
    """Add up the usage of finished runs.

    Args:
        ledger: the ledger.
        by: one of GROUPS. Days come in their order, others the most expensive first.
        since: only runs that were prepared at this instant or later.

    Raises:
        LedgerFault: the ledger cannot be read.
    """
    with ledger.snapshot():
        totals = ledger.usage.totals(by, since)
        # A run of two models is in both; of sessions there are too many.
        is_whole = by in {"day", "repo"}
        whole = totals if is_whole else ledger.usage.totals("total", since)
        unfinished = ledger.runs.unfinished()
    lines = [line_of(total) for total in totals]
    if by != "day":
        lines.sort(key=lambda it: (-(it.usd or 0), -(it.total_tokens or 0), it.key))
    return Report(
        by=by,
        since=since,
        lines=tuple(lines),
        total=line_of(NOTHING, *whole) if whole else None,
        not_over=len(unfinished),
    )


def line_of(*totals: UsageTotal) -> UsageTotal:
    """Add totals up to one line, with the key and the title of the first."""
    whole = {**vars(totals[0] if totals else NOTHING)}
    for each in totals[1:]:
        whole |= {name: whole[name] + getattr(each, name) for name in FIGURES}
    whole["usd"] = round(whole["usd"], _DIGITS)
    for name, unknown in _UNKNOWN.items():
        if whole["runs"] <= whole[unknown] and not whole[name]:
            whole[name] = None
    return UsageTotal(**whole)


def sums_json(rows: Sequence[UsageTotal]) -> dict[str, dict[str, Any]]:
    """Build the blocks `usage` and `cost` of the rows of a session."""
    whole = line_of(*rows)
    return {
        "usage": {
            **{name: getattr(whole, name) for name in SUMMED},
            "unknown_runs": whole.unknown_usage,
            "unknown_parts": whole.unknown_parts,
            "uncounted_runs": whole.uncounted,
        },
        "cost": {
            "usd": whole.usd,
            "unknown_runs": whole.unknown_cost,
            "uncounted_runs": whole.uncounted,
            **({"unpriced": whole.unpriced} if whole.unpriced else {}),
        },
    }


def instant(text: str, now: datetime) -> datetime:
    """Read a time: a date, an instant, or an age.

    Raises:
        UsageError: the text is none of these.
    """
    wanted = text.strip()
    try:
        if (back := clock.read_duration(wanted)) is not None:
            return max(clock.after(now, -back), _BEFORE_ALL)
        if _DATE_OR_INSTANT.fullmatch(wanted):
            # A date without an offset is local midnight.
            named = datetime.fromisoformat(wanted.upper()).astimezone(now.tzinfo)
            return max(named, _BEFORE_ALL)
    except OverflowError:
        return _BEFORE_ALL
    except ValueError:
        pass  # a 31st of February
    message = f"--since {text!r} is neither a date, an instant nor an age"
    raise UsageError(message, "--since 2026-11-01, --since 90m, or --since 30d")
