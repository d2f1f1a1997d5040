"""`codex-tasks attach`."""

from __future__ import annotations

import os
from shlex import quote

from parsers.struct import as_dict
from runner.cli.options import refuse
from runner.service import attach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.cli.context import Context
    from runner.cli.options import Values

HELP = """\
Open an idle task in Codex's own interface, with the settings of the task.

--json   only print its command line, directory and Codex home
TASK     the task

  codex-tasks attach 01a1f0

0 Codex has ended well, else its own code; 1 archived, or it has no thread yet; 2 wrong
  usage, or no terminal; 3 no such task; 75 it runs, prompts wait, or another program
  writes it
"""


def main(found: Values, context: Context) -> int:
    """Become Codex's interface; say what holds while it is open."""
    is_shown = os.isatty(0) and os.isatty(1)
    log = f"codex-tasks log {quote(found.task)}"
    refuse((not (is_shown or found.json), "attach needs a terminal", log))
    context.sweep()
    session = context.session(found.task)
    interface = attach.interface_of(session, context.ledger, context.settings)
    name = session.short_id
    if not found.json:
        context.note(
            f"task {name}: while Codex is open, and a minute longer, prompts that are"
            " sent to it wait; what it does there is counted after codex-tasks import"
        )
        context.ledger.close()
        attach.enter(interface, context.settings)
    told = {"id": session.name, "short_id": name, **as_dict(interface)}
    context.tell(found, "attach", told)
    return 0
