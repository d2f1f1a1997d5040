"""`codex-tasks status`."""

from __future__ import annotations

from runner.cli import codex_options, format
from runner.cli.output import pretty
from runner.cli.parser import refuse
from runner.errors import RunnerError, WaitTimeoutError
from runner.model import TaskState
from runner.service import status
from runner.service.lookup import get

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from runner.cli.context import Context
    from runner.ledger.sessions import Session

    Json = dict[str, object]

HELP = f"""\
Tell how tasks are: state, last prompt and result, usage and cost.

--json              as JSON: a list, also for one task
--one               with --json: the object of one task
{format.TIME_FORMAT}
-a, --all           all tasks, archived ones too
-A, --all-running   all that are running
--wait              wait until all of them are idle
--wait-any          wait until one of them is
--timeout SECONDS   wait no longer than this, then exit 124 (default, and 0: no limit)
TASK ...            the tasks

  codex-tasks status 01a1f0
  codex-tasks status --wait --timeout 600 01a1f0 && codex-tasks result 01a1f0
  codex-tasks status --json -A | jq '.[] | {{id, state, usd: .cost.usd}}'
"""


def main(found: Namespace, context: Context) -> int:
    """Tell how tasks are, after waiting for them if that is asked for."""
    _check(found)
    # Also when there is nothing to wait for, as there may be next time.
    timeout = codex_options.seconds(found.timeout, "--timeout", default=None)
    unknown = context.sweep()
    sessions, awaited = _selected(found, context)
    ends: dict[int, bool] = {}
    late = None
    if found.wait or found.wait_any:
        try:
            ends = status.wait(
                [each.key for each in awaited],
                context.ledger,
                context.settings,
                context.note,
                for_any=found.wait_any,
                timeout=timeout,
            )
        except WaitTimeoutError as error:
            # How they are by now is shown all the same.
            late = error
    reports = [_report(each, context, unknown.get(each.key)) for each in sessions]
    _show([report for report in reports if report is not None], found, context)
    if not sessions and not found.json:
        context.note("there are no such tasks")
    if late is not None:
        raise late
    return 0 if all(ends.values()) and None not in reports else 1


def _show(reports: list[Json], found: Namespace, context: Context) -> None:
    if found.json:
        value = reports[0] if found.one and reports else reports
        context.output.lines([pretty(value)])
    elif reports:
        context.output.lines(format.blocks(reports, found.time_format))


def _report(session: Session, context: Context, unknown: str | None) -> Json | None:
    """Tell how a task is; what is wrong with one concerns that one."""
    ledger = context.ledger
    try:
        with ledger.snapshot():
            task = get(session.key, ledger)
            return status.report(task, ledger, context.settings, unknown)
    except (RunnerError, OSError) as error:
        context.note(f"{session.name}: {error}")
        return None


def _check(found: Namespace) -> None:
    wishes = sum((found.all, found.all_running, bool(found.task)))
    waits = found.wait or found.wait_any
    is_one = found.json and len(found.task) == 1
    refuse(
        (wishes > 1, "tasks by name, -a and -A: one of them at a time"),
        (
            not wishes,
            "name the tasks, or -a for all, or -A for those that are running",
        ),
        (found.wait and found.wait_any, "--wait and --wait-any: one of them at a time"),
        (
            found.timeout is not None and not waits,
            "--timeout goes with --wait or --wait-any",
        ),
        (found.one and not is_one, "--one goes with --json and one TASK"),
    )


def _selected(
    found: Namespace, context: Context
) -> tuple[list[Session], list[Session]]:
    """Return the tasks that are to be shown, and those to wait for.

    Of all tasks those that are idle are not waited for: what they did long ago does not
    count.
    """
    if found.task:
        named = context.sessions(found.task)
        return named, named
    sessions = context.ledger.sessions.all()
    running = [each for each in sessions if each.state is TaskState.RUNNING]
    return (running if found.all_running else sessions), running
