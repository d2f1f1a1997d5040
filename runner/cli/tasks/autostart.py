"""`codex-tasks install-timer`."""

from __future__ import annotations

import os
import sys

from parsers.paths import Path
from runner.errors import UsageError
from runner.process.start import which

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.cli.context import Context
    from runner.cli.options import Values

HELP = """\
Start the timer of the queue after a reboot, too (systemd, launchd or cron).

--print    only print what would be installed
--remove   remove it

  codex-tasks install-timer --print
  codex-tasks install-timer

0 done; 1 it cannot be installed; 2 wrong usage
"""


def main(found: Values, context: Context) -> int:
    """Install, print or remove what starts the timer after a reboot."""
    from runner.service import autostart  # noqa: PLC0415

    settings = context.settings
    program = which(os.path.basename(sys.argv[0]), settings.search_path)  # noqa: PTH119
    if (own := Path(sys.argv[0]).absolute()).is_file():
        program = str(own)
    if program is None:
        message = "install-timer needs an installed codex-tasks: run it by its path"
        raise UsageError(message)
    what = autostart.autostart(program, settings)
    text, is_shown = what.text.rstrip("\n"), found.print or what.path is None
    lines = list[str]()
    if found.remove:
        context.note(autostart.remove(what, settings) or "nothing was installed")
    elif is_shown:
        lines = [text]
        if what.path is None:
            context.note("add this line with crontab -e")
    else:
        autostart.install(what)
        when = autostart.starts(what, settings)
        context.note(f"installed {what.path}: it starts {when}")
    path = None if what.path is None else str(what.path)
    is_installed = not (found.remove or is_shown)
    told = {"path": path, "text": text, "is_installed": is_installed}
    context.tell(found, "timer", told, lines)
    return 0
