"""`codex-tasks stop`."""

from __future__ import annotations

from runner.errors import RunnerError, UsageError
from runner.service import stop
from runner.service.tasks import take_stock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.house import House

SUMMARY = "Stop tasks, with everything that they have started."
EXAMPLES = """\
  codex-tasks stop 01a1f0
  codex-tasks stop -a
"""


def arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("-a", "--all", action="store_true", help="all that are running")
    parser.add_argument("task", metavar="TASK", nargs="*", help="the tasks")


def main(found: Namespace, house: House) -> int:
    """Stop tasks, one line each; one that fails does not keep the others running."""
    if found.all == bool(found.task):
        message = "name the tasks to stop, or all that are running with -a"
        raise UsageError(message)
    if found.all:
        ids = sorted(take_stock(house.ledger, house.settings).running)
    else:
        ids = [row.session_id for row in house.rows(found.task)]
    if not ids:
        house.output.lines(["No running tasks to stop."])
    codes = [_stop(session_id, house) for session_id in ids]
    return max(codes, default=0)


def _stop(session_id: str, house: House) -> int:
    try:
        stopped = stop.stop_session(session_id, house.ledger, house.settings)
    except RunnerError as error:
        house.note(f"{session_id}: {error}")
        return error.exit_code
    what = "stopped." if stopped.runs else "is not running; nothing to stop."
    skipped = f" {stopped.skipped} waiting prompts skipped." if stopped.skipped else ""
    house.output.lines([f"Task {session_id} {what}{skipped}"])
    return 0
