"""`codex-tasks status`."""

from __future__ import annotations

from parsers.struct import replace
from runner import config
from runner.cli import format, status_screen
from runner.cli.options import refuse
from runner.cli.output import pretty
from runner.errors import RunnerError, WaitTimeoutError
from runner.model import TaskState
from runner.service import status
from runner.service.lookup import get

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runner.cli.context import Context
    from runner.cli.options import Values
    from runner.service.lookup import Found

HELP = f"""\
Show tasks: state, last prompt and result, usage and cost.

which:
TASK ...            the tasks
-a, --all           all tasks, including archived ones; with --wait those that run
-A, --all-running   every task that runs or has waiting prompts
when:
--wait              wait until all of these tasks are idle
--wait-any          wait until one of these tasks is idle
--timeout TIME      wait at most this long, then exit 124 (default, and 0: no limit)
--strict            with --wait: exit 1 for a success with the warning sandbox_broken or
                    empty_answer (CODEX_RUNNER_STRICT=1)
output:
--one               with --json: the object of one task
{format.TIME_FORMAT}

  codex-tasks status 01a1f0
  codex-tasks status --wait --timeout 10m 01a1f0
  codex-tasks status --json -A | jq '.tasks[].cost.usd'

0 shown; with --wait: all have succeeded; 1 with --wait: one has not; a task cannot be
  read; 2 wrong usage; 3 no such task; 124 --timeout has passed
"""


def main(found: Values, context: Context) -> int:
    """Show tasks, with --wait after waiting for them."""
    _check(found)
    # Check the value even when there is nothing to wait for.
    timeout = config.seconds(found.timeout or "0", "--timeout")
    is_strict = found.strict or context.settings.is_strict
    unknown = context.sweep()
    states = [TaskState.RUNNING] if found.all_running else list(TaskState)
    tasks = context.found(found.task) or context.all(states, is_counted=True)
    # With --all only running tasks are waited for: the results of idle ones do not
    # count.
    running = [each for each in tasks if each.session.state is TaskState.RUNNING]
    awaited = tasks if found.task else running
    ends: dict[str, bool] = {}
    late = None
    if found.wait or found.wait_any:
        try:
            with context.waiting(awaited):
                strict = replace(context.settings, is_strict=is_strict)
                how = {"for_any": found.wait_any, "timeout": timeout}
                waited = status.wait(
                    awaited, context.ledger, strict, context.notes, **how
                )
                ends = {task.session.name: is_good for task, is_good in waited}
        except WaitTimeoutError as error:
            # After a timeout the tasks are shown all the same.
            late = error
        tasks = [each.again() for each in tasks]
    reports = list(_reports(tasks, unknown, context))
    if late is not None:
        context.keep(late)
    if found.one and reports:
        context.output.lines([pretty(reports[0])])
    elif found.json:
        context.tell(found, "tasks", {"tasks": reports})
    elif reports and context.look.is_drawn and found.time_format == "human":
        context.output.text(status_screen.screen(reports, context.look))
    elif reports:
        context.output.lines(format.blocks(reports, found.time_format))
    elif not tasks:
        is_used = context.ledger.sessions.all(most=1) or context.older()
        start = "there are no tasks yet (codex-tasks start PROMPT starts one)"
        context.note("no task is running" if is_used else start)
    if late is not None:
        raise late
    return 0 if all(ends.values()) and len(reports) == len(tasks) else 1


def _reports(
    tasks: Sequence[Found], unknown: Mapping[int, str], context: Context
) -> Iterator[dict[str, object]]:
    """Report tasks; an error of one does not stop the others."""
    for each in tasks:
        key, ledger = each.session.key, each.ledger
        try:
            with ledger.snapshot():
                session = ledger.sessions.get(key)
                if session.last_run is None:
                    yield status.unstarted(session, ledger, context.settings)
                    continue
                task = get(key, ledger)
                why = each.doubt if each.older else unknown.get(key)
                yield status.report(task, ledger, context.settings, why)
        except (RunnerError, OSError) as error:
            context.fault(each.session.name, error)


_WAYS = "codex-tasks status TASK, codex-tasks status -a, or codex-tasks status -A"


def _check(found: Values) -> None:
    wishes = sum((found.all, found.all_running, bool(found.task)))
    waits = found.wait or found.wait_any
    is_one = found.json and len(found.task) == 1
    refuse(
        (wishes > 1, "give the names of tasks, -a or -A: only one of these", _WAYS),
        (
            not wishes,
            "name the tasks, or use -a for all or -A for the running ones",
            _WAYS,
        ),
        (
            found.wait and found.wait_any,
            "give --wait or --wait-any, not both",
            "codex-tasks status --wait TASK, or codex-tasks status --wait-any TASK",
        ),
        (
            found.timeout is not None and not waits,
            "--timeout needs --wait or --wait-any",
            "codex-tasks status --wait --timeout TIME TASK",
        ),
        (
            found.one and not is_one,
            "--one needs --json and one TASK",
            "codex-tasks status --json --one TASK",
        ),
    )
