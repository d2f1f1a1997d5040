"""`codex-tasks send`."""

from __future__ import annotations

from runner.cli.parser import refuse
from runner.lifecycle.handoff import STOP_SIGNALS
from runner.process.signals import blocked
from runner.prompt import read
from runner.service import send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from runner.cli.context import Context

HELP = """\
Send one more prompt to a task that is STOPPED or DIED.

--queue             add it to the task's queue: it is delivered when its turn comes
--working-dir DIR   where Codex works, if not where it did before; needed where that is
                    not known
TASK                the task
PROMPT              what Codex is to do; - reads standard input

  codex-tasks send 01a1f0 "Now the docs" && codex-tasks status --wait 01a1f0
  codex-tasks send --queue 01a1f0 - < next.md     (after what it does now)
  codex-tasks send --queue 01a1f0 /quit           (end it when it has done that)
"""


def main(found: Namespace, context: Context) -> int:
    """Send a prompt; standard output stays empty."""
    wrong = "--working-dir goes with a prompt that is sent at once, not --queue"
    refuse((found.queue and found.working_dir is not None, wrong))
    text = read.from_text(found.prompt, "PROMPT")
    context.sweep()
    session = context.session(found.task)
    ledger, settings = context.ledger, context.settings
    # A caller that interrupts learns first what has become of the prompt.
    with blocked(STOP_SIGNALS):
        if found.queue:
            sent = send.queue(session, text, ledger, settings, context.note)
        else:
            place = found.working_dir
            sent = send.send(session, text, ledger, settings, context.note, place)
        if sent.run_id is not None:
            context.note(f"run {sent.run_id} works on it")
        elif found.queue:
            ahead = f", {sent.ahead} before it" if sent.ahead else ""
            context.note(f"queued{ahead}")
    return 0
