"""`codex-tasks notify`: try the notifications."""

from __future__ import annotations

from parsers.paths import Path
from parsers.struct import as_dict
from runner import config_files
from runner.cli import format
from runner.cli.options import refuse
from runner.terms import Terms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.cli.context import Context
    from runner.cli.options import Values

HELP = """\
Send a test event with the settings in force, and show what came back.

--notify CMD    only run this program
--webhook URL   only send to this address
--desktop       only show a notification

  codex-tasks notify
  codex-tasks notify --webhook https://example.org/codex

0 it has arrived everywhere; 1 it has not; 2 wrong usage, or nothing is set
"""


def main(found: Values, context: Context) -> int:
    """Send a test event; return 1 when it has not arrived everywhere."""
    from runner.service.notify import try_all  # noqa: PLC0415 - only here

    own = config_files.in_force(context.settings, Path().absolute())
    given = {
        name: config_files.value_of(name, text, f"--{name}")
        for name in ("notify", "webhook")
        if (text := getattr(found, name)) is not None
    }
    terms = Terms(**given, is_on_desktop=found.desktop)
    if terms == Terms():
        terms = Terms(notify=own.notify, webhook=own.webhook, is_on_desktop=own.desktop)
    unset = "no notification is set: give --notify, --webhook or --desktop, or set one"
    refuse((terms == Terms(), unset, "codex-tasks config webhook URL"))
    rows = list[dict[str, object]]()
    for each in try_all(terms, own):
        rows.append(as_dict(each))
        said = f"failed: {format.line(each.error)}" if each.error else "sent"
        if not found.json:
            context.output.lines([f"{each.target}: {said} ({each.seconds:.2f} s)"])
    context.tell(found, "notify", {"notifications": rows})
    return 1 if any(each["error"] for each in rows) else 0
