"""`codex-tasks verify`."""

from __future__ import annotations

import json

from parsers.struct import as_dict
from runner.cli.format import count
from runner.cli.output import visible
from runner.service.verify import verify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.context import Context
    from runner.service.verify import Report
    from runner.service.verify_findings import Difference

SUMMARY = "Hold the index against the files, and mend what differs."
EXAMPLES = """\
  codex-tasks verify
  codex-tasks verify --repair       (also after runs.db was lost: it is made anew)
"""


def arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    add = parser.add_argument
    add("--repair", action="store_true", help="mend what can be mended")
    add("--json", action="store_true", help="write one JSON object")


def main(found: Namespace, house: Context) -> int:
    """Name what differs, one line each; 0 when all agrees by now."""
    report = verify(house.settings, is_repairing=found.repair)
    if found.json:
        house.output.lines([_json(report)])
    else:
        house.output.lines(map(_line, report.differences))
    house.note(_counts(report))
    return 0 if report.is_good else 1


def _json(report: Report) -> str:
    differences = [as_dict(difference) for difference in report.differences]
    return json.dumps({"ok": report.is_good, "differences": differences}, indent=2)


def _line(difference: Difference) -> str:
    text = f"{difference.kind} {difference.subject}: {difference.detail}"
    if difference.mended:
        text += " (mended)"
    elif difference.is_repairable:
        text += " (verify --repair mends it)"
    return visible(" ".join(text.splitlines()))


def _counts(report: Report) -> str:
    looked_at = f"{count(report.sessions, 'task')}, {count(report.runs, 'run')}"
    if not report.differences:
        return f"{looked_at}: index and files agree"
    mended = sum(difference.mended for difference in report.differences)
    found = count(len(report.differences), "difference")
    return f"{looked_at}: {found}, {mended} of them mended"
