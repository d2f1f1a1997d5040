"""`codex-tasks status`."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence

from runner import config
from runner.cli import format
from runner.cli.context import Context
from runner.cli.output import pretty
from runner.cli.parser import refuse
from runner.errors import RunnerError, WaitTimeoutError
from runner.ledger.sessions import Session
from runner.model import TaskState
from runner.service import status
from runner.service.lookup import get

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
    timeout = config.seconds(found.timeout or "0", "--timeout")
    unknown = context.sweep()
    named = context.sessions(found.task)
    sessions = named or context.ledger.sessions.all()
    # Of all tasks those that are idle are not waited for: what they did long ago does
    # not count.
    awaited = named or [each for each in sessions if each.state is TaskState.RUNNING]
    if found.all_running:
        sessions = awaited
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
    reports = list(_reports(sessions, unknown, context))
    if found.json:
        value = reports[0] if found.one and reports else reports
        context.output.lines([pretty(value)])
    elif reports:
        context.output.lines(format.blocks(reports, found.time_format))
    elif not sessions:
        context.note("there are no such tasks")
    if late is not None:
        raise late
    return 0 if all(ends.values()) and len(reports) == len(sessions) else 1


def _reports(
    sessions: Sequence[Session], unknown: Mapping[int, str], context: Context
) -> Iterator[dict[str, object]]:
    """Tell how tasks are; what is wrong with one concerns that one."""
    ledger = context.ledger
    for each in sessions:
        try:
            with ledger.snapshot():
                task, why = get(each.key, ledger), unknown.get(each.key)
                yield status.report(task, ledger, context.settings, why)
        except (RunnerError, OSError) as error:
            context.note(f"{each.name}: {error}")


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
