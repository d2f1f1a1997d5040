"""`codex-tasks usage`."""

from __future__ import annotations

from parsers.struct import as_dict
from runner import clock
from runner.cli.output import is_terminal, pretty
from runner.service import usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from runner.cli.context import Context
    from runner.service.usage import Line, Report

HELP = """\
Tell what all runs have used and cost, each counted once.

--by {day,model,repo,session}  what the rows are [default: day]
--since TIME  only runs since a date, an instant, or so long ago (12h, 30d, 2w)
--json        as JSON: one object

  codex-tasks usage
  codex-tasks usage --by model --since 2026-11-01
  codex-tasks usage --by session --since 30d --json | jq .total.usd
"""


def main(found: Namespace, context: Context) -> int:
    """Show usage and cost; what is not known is told apart from nothing."""
    since = None if found.since is None else usage.instant(found.since, clock.now())
    report = usage.gather(context.ledger, found.by, since)
    if report.not_over:
        runs = "1 run is" if report.not_over == 1 else f"{report.not_over} runs are"
        context.note(f"{runs} not over, and not counted yet")
    if found.json:
        context.output.lines([pretty(_json(report))])
    elif report.total is not None:
        _show(report, context)
    elif not report.not_over:
        context.note("No runs on record" + (" since then." if since else "."))
    return 0


def _show(report: Report, context: Context) -> None:
    from runner.cli.tasks import usage_table  # noqa: PLC0415 - not for --json

    if is_terminal():
        context.output.text(usage_table.drawn(report))
    else:
        context.output.lines(usage_table.plain(report))


def _json(report: Report) -> dict[str, object]:
    return {
        "by": report.by,
        "since": clock.iso(report.since) if report.since else None,
        "rows": [_row(line, report.by) for line in report.lines],
        "total": _total(report.total),
    }


def _row(line: Line, by: str) -> dict[str, object]:
    row = as_dict(line)
    if by != "session":
        del row["title"]
    return row


def _total(line: Line | None) -> dict[str, object]:
    """Write the sum; of no runs at all it is known: nothing."""
    if line is None:
        return {**dict.fromkeys(usage.FIGURES, 0), "usd": 0.0}
    return {name: getattr(line, name) for name in usage.FIGURES}
