"""`codex-tasks usage` and `reprice`."""

from __future__ import annotations

import gc

from parsers.run_summary import dollars
from parsers.struct import as_dict
from runner import clock
from runner.cli import format, table, usage_screen
from runner.cli.table import Column
from runner.service import usage
from runner.service.lookup import older_tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.cli.context import Context
    from runner.cli.options import Values
    from runner.ledger.usage import UsageTotal
    from runner.service.usage import Report

HELP = """\
Show the usage and cost of all runs, each counted once.

--by {day,model,repo,session}  group the rows by this [default: day]
--since WHEN  only calls since a date, an instant, or an age (12h, 30d)

  codex-tasks usage
  codex-tasks usage --by model --since 2026-11-01
  codex-tasks usage --since 30d --json | jq .total.usd

0 shown; 1 the ledger cannot be used; 2 wrong usage
"""
HELP_reprice = """\
Price the runs that have no price; a known price stays as it is.

--since WHEN  only runs since a date, an instant, or an age (12h, 30d)
--dry-run     only list what would be priced
--force       also price again what has a price

  codex-tasks reprice --dry-run
  codex-tasks reprice --since 2026-11-01

0 done; 1 the ledger cannot be used; 2 wrong usage
"""
_FIGURES = {
    "Input": "input_tokens",
    "Cached": "cached_input_tokens",
    "Output": "output_tokens",
    "Tokens": "total_tokens",
    "Cost": "usd",
}
_PARTS = ("Input", "Cached", "Output")
_NOTE = " + {} unknown"


def main(found: Values, context: Context) -> int:
    """Show usage and cost; an unknown figure is never shown as 0."""
    # All rows live to the end: a third of the time would be the search for garbage.
    gc.disable()
    since = None if found.since is None else usage.instant(found.since, clock.now())
    report = usage.gather(context.ledger, found.by, since)
    if report.not_over:
        runs = "1 run is" if report.not_over == 1 else f"{report.not_over} runs are"
        context.note(f"{runs} not finished, and not counted yet")
    if older_tasks(context.ledger):
        context.note("tasks of an older tool are not counted: codex-tasks import")
    if found.json:
        context.tell(found, "usage", _json(report))
    elif report.total is not None and context.look.is_drawn:
        context.output.text(usage_screen.drawn(report, context.look))
    elif report.total is not None:
        context.output.lines(plain(report))
    elif not report.not_over:
        context.note("No runs on record" + (" since then." if since else "."))
    return 0


def main_reprice(found: Values, context: Context) -> int:
    """Price runs, one line each; name the rest on standard error."""
    from runner.service.repricing import reprice  # noqa: PLC0415 - seldom

    since = None if found.since is None else usage.instant(found.since, clock.now())
    how = {"is_trial": found.dry_run, "is_forced": found.force}
    lists: dict[str, list[dict[str, object]]] = {"priced": [], "unpriced": []}
    for run_id, cost, is_new in reprice(context.ledger, context.settings, since, **how):
        told: dict[str, object] = {"run_id": run_id, **cost.to_json()}
        lists["priced"] += [told] if is_new else []
        lists["unpriced"] += [told] if cost.unpriced else []
        context.notes([cost.reason] if cost.reason else ())
        text = dollars(told["usd"], cost.unpriced)
        if is_new and text and not found.json:
            context.output.lines([f"{run_id}  {''.join(text)}"])
    context.tell(found, "reprice", lists)
    word = "would price" if found.dry_run else "priced"
    done, rest = (format.count(len(each), "run") for each in lists.values())
    lacking = f"; {rest} without a price" if lists["unpriced"] else ""
    context.note(f"{word} {done}{lacking}")
    return 0


def _json(report: Report) -> dict[str, object]:
    rows = [as_dict(line) for line in report.lines]
    for row in rows if report.by != "session" else ():
        del row["title"]
    # Without runs the sums are 0, not unknown.
    total: dict[str, object] = {**dict.fromkeys(usage.FIGURES, 0), "usd": 0.0}
    if report.total is not None:
        total = {name: getattr(report.total, name) for name in usage.FIGURES}
    since = clock.iso(report.since) if report.since else None
    return {"by": report.by, "since": since, "rows": rows, "total": total}


def plain(report: Report) -> list[str]:
    """Write the rows and the total as aligned text, with exact figures."""
    return table.plain(_columns(report))


def _columns(report: Report) -> list[Column]:
    lines = [*report.lines, *([report.total] if report.total else [])]
    columns = [
        Column(
            report.by.capitalize(),
            [*(format.line(line.key) for line in report.lines), "total"],
        ),
        Column("Runs", [f"{line.runs:,}" for line in lines], is_right=True),
    ]
    columns += [Column(n, _cells(n, lines), is_right=True) for n in _FIGURES]
    if any(line.title for line in lines):
        titles = [format.line(line.title or "") for line in lines]
        columns.append(Column("Title", titles))
    return columns


def _cells(name: str, lines: Sequence[UsageTotal]) -> list[str]:
    """Write a column of figures, each with the number of runs that it lacks."""
    texts, notes = [], []
    for line in lines:
        number, missing = getattr(line, _FIGURES[name]), line.unknown_usage
        if name == "Cost":
            missing = line.unknown_cost
        elif name in _PARTS:
            # A part is marked where it lacks more runs than the total.
            missing = line.unknown_parts if line.unknown_parts > missing else 0
        text, more = "unknown", _NOTE.format(missing) if missing else ""
        sign = "≥ " if line.uncounted else ""
        if number is not None and name != "Cost":
            text = f"{sign}{number:,}"
        elif found := dollars(number, line.unpriced, sign, "${:,.4f}"):
            text, calls = found
            more = calls + more
        texts.append(text)
        notes.append("" if number is None else more)
    width = max(map(len, notes), default=0)
    return [
        text if text == "unknown" else text + note.ljust(width)
        for text, note in zip(texts, notes, strict=True)
    ]
