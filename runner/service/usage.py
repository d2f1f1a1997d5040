"""Tell what all runs have used and cost, each counted once."""

from __future__ import annotations

import re
from datetime import datetime

from parsers.struct import Struct
from runner import clock
from runner.clock import read_age
from runner.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.ledger.ledger import Ledger
    from runner.ledger.usage import UsageTotal

GROUPS = ("day", "model", "repo", "session")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
# The sums of prices in binary: what is behind this digit is noise.
_DIGITS = 10
# Of years with three digits the text would not be comparable.
_BEFORE_ALL = clock.at(0)


class Line(Struct):
    """Hold one group of runs; a figure that is known of none of them is None.

    `unknown_usage` and `unknown_cost` count the runs that the figures are without,
    `unknown_parts` those that the parts of the tokens are without.
    """

    key: str
    title: str | None
    runs: int
    input_tokens: int | None
    cached_input_tokens: int | None
    output_tokens: int | None
    reasoning_output_tokens: int | None
    total_tokens: int | None
    usd: float | None
    unknown_usage: int
    unknown_parts: int
    unknown_cost: int


FIGURES = tuple(name for name in Line.field_names() if name not in {"key", "title"})


class Report(Struct):
    """Hold what runs have used, by group; `total` is None when there are no runs.

    `not_over` counts the runs that are not over, which have no figures yet.
    """

    by: str
    since: datetime | None
    lines: tuple[Line, ...]
    total: Line | None
    not_over: int = 0


def gather(ledger: Ledger, by: str, since: datetime | None = None) -> Report:
    """Add up what the runs that are over have used.

    Args:
        ledger: the ledger.
        by: one of GROUPS. Days come in their order, others the most expensive first.
        since: only runs that were prepared at this instant or later.

    Raises:
        LedgerFault: the ledger cannot be read.
    """
    start = clock.iso(since) if since else None
    with ledger.snapshot():
        titles = ledger.usage.titles() if by == "session" else {}
        totals = ledger.usage.totals(by, start)
        whole = ledger.usage.totals("total", start)
        unfinished = ledger.runs.unfinished()
    lines = [_line(total, titles.get(total.key)) for total in totals]
    if by != "day":
        lines.sort(key=_dearest_first)
    return Report(
        by=by,
        since=since,
        lines=tuple(lines),
        total=_line(whole[0], None) if whole else None,
        not_over=len(unfinished),
    )


def instant(text: str, now: datetime) -> datetime:
    """Read since when: a date, an instant, or how long back from now.

    Raises:
        UsageError: the text is none of these.
    """
    wanted = text.strip()
    try:
        if (back := read_age(wanted)) is not None:
            return max(now - back, _BEFORE_ALL)
        if _DATE.fullmatch(wanted) or _INSTANT.fullmatch(wanted):
            # One without an offset is midnight here.
            named = datetime.fromisoformat(wanted.upper()).astimezone(now.tzinfo)
            return max(named, _BEFORE_ALL)
    except (ValueError, OverflowError):
        pass  # a 31st of February, a time before all calendars
    message = (
        f"--since {text!r}: give a date (2026-11-01), an instant"
        " (2026-11-01T08:00:00Z) or how long back from now (90m, 12h, 30d, 2w)"
    )
    raise UsageError(message)


def _line(total: UsageTotal, title: str | None) -> Line:
    knows_parts = total.runs > total.unknown_parts
    return Line(
        key=total.key,
        title=title,
        runs=total.runs,
        input_tokens=total.input_tokens if knows_parts else None,
        cached_input_tokens=total.cached_input_tokens if knows_parts else None,
        output_tokens=total.output_tokens if knows_parts else None,
        reasoning_output_tokens=total.reasoning_output_tokens if knows_parts else None,
        total_tokens=total.total_tokens if total.runs > total.unknown_usage else None,
        usd=round(total.usd, _DIGITS) if total.runs > total.unknown_cost else None,
        unknown_usage=total.unknown_usage,
        unknown_parts=total.unknown_parts,
        unknown_cost=total.unknown_cost,
    )


def _dearest_first(line: Line) -> tuple[float, int, str]:
    return (-(line.usd or 0.0), -(line.total_tokens or 0), line.key)
