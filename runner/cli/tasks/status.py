"""`codex-tasks status`."""

from __future__ import annotations

import json

from runner.cli import codex_options, format
from runner.errors import RunnerError, UsageError, WaitTimeoutError
from runner.model import TaskState
from runner.service import status
from runner.service.sessions import look, newest, take_stock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.context import Context
    from runner.ledger.sessions import Row

SUMMARY = "Tell how tasks are: state, last prompt and result, usage and cost."
EXAMPLES = """\
  codex-tasks status 01a1f0
  codex-tasks status --wait --timeout 600 01a1f0 && codex-tasks result 01a1f0
  codex-tasks status --json -A | jq '.[] | {id, state, usd: .cost.usd}'
"""


def arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    add = parser.add_argument
    add("--json", action="store_true", help="as JSON: a list, also for one task")
    add("--one", action="store_true", help="with --json: the object of one task")
    format.add_time_format(parser)
    add("-a", "--all", action="store_true", help="all tasks, archived ones too")
    add("-A", "--all-running", action="store_true", help="all that are running")
    add("--wait", action="store_true", help="wait until all of them are at rest")
    add("--wait-any", action="store_true", help="wait until one of them is")
    add(
        "--timeout",
        metavar="SECONDS",
        help="wait no longer than this, then exit 124 (default, and 0: no limit)",
    )
    add("task", metavar="TASK", nargs="*", help="the tasks")


def main(found: Namespace, house: Context) -> int:
    """Tell how tasks are, after waiting for them if that is asked for."""
    _check(found)
    # Also when there is nobody to wait for, as there may be next time.
    patience = codex_options.seconds(found.timeout, "--timeout", default=None)
    rows, awaited = _selected(found, house)
    marks = status.mark([row.session_id for row in rows], house.ledger)
    awaited_from = {each: marks[each] for each in awaited if each in marks}
    ends, late = _wait(found, awaited_from, patience, house)
    reports = [report for row in rows if (report := _report(row, house)) is not None]
    if found.json:
        value = reports[0] if found.one and reports else reports
        house.output.lines([json.dumps(value, indent=2)])
    elif reports:
        house.output.lines(format.blocks(reports, found.time_format))
    elif not rows:
        house.note("there are no such tasks")
    if late is not None:
        raise late
    if not len(reports) == len(marks) == len(rows):
        return 1
    return 0 if all(ends.values()) else 1


def _report(row: Row, house: Context) -> dict[str, object] | None:
    """Tell how a task is; what is wrong with one concerns that one."""
    try:
        task = look(row, house.ledger, house.settings)
        house.notes(format.damage(task.files, task.id, task.state))
        return status.report(task, house.ledger, house.settings)
    except (RunnerError, OSError) as error:
        house.note(f"{row.session_id}: {error}")
        return None


def _check(found: Namespace) -> None:
    wishes = sum((found.all, found.all_running, bool(found.task)))
    if wishes > 1:
        message = "tasks by name, -a and -A: one of them at a time"
        raise UsageError(message)
    if not wishes:
        message = "name the tasks, or -a for all, or -A for those that are running"
        raise UsageError(message)
    if found.wait and found.wait_any:
        message = "--wait and --wait-any: one of them at a time"
        raise UsageError(message)
    if found.timeout is not None and not (found.wait or found.wait_any):
        message = "--timeout goes with --wait or --wait-any"
        raise UsageError(message)
    if found.one and not (found.json and len(found.task) == 1):
        message = "--one goes with --json and one TASK"
        raise UsageError(message)


def _selected(found: Namespace, house: Context) -> tuple[list[Row], list[str]]:
    """Return the tasks that are to be told of, and the ids of those to wait for.

    Of all tasks those that rest are not waited for: what they did long ago does not
    count.
    """
    if found.task:
        rows = house.rows(found.task)
        return rows, [row.session_id for row in rows]
    now = take_stock(house.ledger, house.settings)
    house.notes(now.faults)
    found_now = newest(set(TaskState), now, house.ledger, house.settings)
    running = [row for row, state in found_now if state is TaskState.RUNNING]
    return (
        running if found.all_running else [row for row, _ in found_now],
        [row.session_id for row in running],
    )


def _wait(
    found: Namespace, marks: dict[str, str], patience: float | None, house: Context
) -> tuple[dict[str, bool], WaitTimeoutError | None]:
    """Wait if that is asked for; tell of the tasks at rest which have succeeded."""
    if not (found.wait or found.wait_any) or not marks:
        return {}, None
    try:
        ends = status.wait(
            marks,
            house.ledger,
            house.settings,
            for_any=found.wait_any,
            timeout=patience,
        )
    except WaitTimeoutError as error:
        # How they are by now is told all the same.
        return {}, error
    return ends, None
