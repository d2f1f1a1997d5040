"""`codex-tasks verify`."""

from __future__ import annotations

from argparse import Namespace

from parsers.struct import as_dict
from runner.cli.context import Context
from runner.cli.format import count
from runner.cli.output import pretty, visible
from runner.service.verify import Difference, Report, verify

HELP = """\
Check the ledger, and the exported files against it.

--repair   fix what can be fixed
--full     compare logs and answers whole
--json     write one JSON object

  codex-tasks verify
  codex-tasks verify --repair     (also after ledger.db was lost: it is made anew)
"""


def main(found: Namespace, context: Context) -> int:
    """Name what differs, one line each; 0 when nothing does any more."""
    report = verify(context.settings, is_repairing=found.repair, is_full=found.full)
    if found.json:
        differences = [as_dict(each) for each in report.differences]
        told = {"ok": report.is_good, "differences": differences, "notes": report.notes}
        context.output.lines([pretty(told)])
    else:
        context.output.lines(map(_line, report.differences))
    context.notes(report.notes)
    context.note(_counts(report))
    return 0 if report.is_good else 1


def _line(difference: Difference) -> str:
    text = f"{difference.kind} {difference.subject}: {difference.detail}"
    if difference.fixed:
        text += " (fixed)"
    elif difference.is_repairable:
        text += " (verify --repair fixes it)"
    return visible(" ".join(text.splitlines()))


def _counts(report: Report) -> str:
    looked_at = f"{count(report.sessions, 'task')}, {count(report.runs, 'run')}"
    if not report.differences:
        return f"{looked_at}: the ledger and the exported files agree"
    fixed = sum(difference.fixed for difference in report.differences)
    found = count(len(report.differences), "difference")
    return f"{looked_at}: {found}, {fixed} of them fixed"
