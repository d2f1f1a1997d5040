"""`codex-tasks send`."""

from __future__ import annotations

from runner.cli.output import note
from runner.lifecycle.handoff import STOP_SIGNALS
from runner.process.signals import blocked
from runner.prompt.read import from_argument
from runner.service import send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.context import Context

SUMMARY = "Send one more prompt to a task that is STOPPED or DIED."
EXAMPLES = """\
  codex-tasks send 01a1f0 "Now the docs" && codex-tasks status --wait 01a1f0
  codex-tasks send --queue 01a1f0 - < next.md     (after what it does now)
  codex-tasks send --queue 01a1f0 /quit           (end it when it has done that)
"""


def arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    add = parser.add_argument
    add(
        "--queue",
        action="store_true",
        help="put it into the task's mailbox: it is delivered when its turn comes",
    )
    add("task", metavar="TASK", help="the task")
    add("prompt", metavar="PROMPT", help="what Codex is to do; - reads standard input")


def main(found: Namespace, house: Context) -> int:
    """Send a prompt; standard output stays empty."""
    text = from_argument(found.prompt)
    row = house.row(found.task)
    verb = send.queue if found.queue else send.send
    # Whoever is interrupted is told first what has become of the prompt.
    with blocked(STOP_SIGNALS):
        sent = verb(row, text, house.ledger, house.settings, note)
        _tell(sent, found)
    return 0


def _tell(sent: send.Sent, found: Namespace) -> None:
    if sent.run_id is not None:
        note(f"run {sent.run_id} works on it")
    elif found.queue:
        note(f"queued, {sent.ahead} before it" if sent.ahead else "queued")
