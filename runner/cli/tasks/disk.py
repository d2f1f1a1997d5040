"""`codex-tasks du` and `uninstall`."""

from __future__ import annotations

from parsers.light import suppress
from runner.cli import format, table
from runner.cli.table import Column
from runner.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.cli.context import Context
    from runner.cli.options import Values

HELP_du = """\
Show the disk space of the state directory and of log directories, by kind and task.

  codex-tasks du
  codex-tasks du --json

0 shown; 1 the ledger cannot be used; 2 wrong usage
"""
HELP_uninstall = """\
Uninstall the suite; refused while tasks run.

--purge   also remove the state directory, with the ledger and all runs in it

  codex-tasks uninstall
  codex-tasks uninstall --purge

0 uninstalled; 1 it cannot be removed; 2 wrong usage; 75 tasks run
"""


def main_du(found: Values, context: Context) -> int:
    """Show sizes by kind and by task; nothing is judged."""
    from runner.service import disk  # noqa: PLC0415

    kinds, tasks = disk.held(context.ledger)
    total = {k: sum(each[k] for each in kinds.values()) for k in ("size", "files")}
    home = str(context.settings.state_home)
    rows = [{"id": t.name, "title": t.title, "state": t.state, **s} for t, s in tasks]
    told = {"home": home, **total, "kinds": kinds, "sessions": rows}
    names = [*kinds, "total", *(each.name for each, _ in tasks)]
    titles = [
        *[""] * (len(kinds) + 1),
        *(format.line(t.title or "-") for t, _ in tasks),
    ]
    sizes = [*kinds.values(), total, *(each for _, each in tasks)]
    size = Column("Size", [format.size(each["size"]) for each in sizes], is_right=True)
    count = Column("Files", [f"{each['files']:,}" for each in sizes], is_right=True)
    columns = [Column("Of", names), size, count, Column("Title", titles)]
    context.tell(found, "du", told, table.plain(columns))
    return 0


def main_uninstall(found: Values, context: Context) -> int:
    """Remove the state if asked to, then become the installer, which removes this."""
    from runner.process.fork import become  # noqa: PLC0415
    from runner.service import autostart, disk  # noqa: PLC0415

    settings = context.settings
    stays = disk.purge(settings, is_wanted=found.purge)
    context.notes(f"not removed: {path}" for path in stays)
    with suppress(UsageError):  # without a home directory nothing was installed
        timer = autostart.autostart("codex-tasks", settings)
        context.notes(filter(None, [autostart.remove(timer, settings)]))
    what = "was removed" if found.purge else "stays (--purge removes it)"
    argv = disk.removal(settings)
    told = {"home": str(settings.state_home), "is_purged": found.purge, "left": stays}
    said = f"The state in {settings.state_home} {what}."
    context.tell(found, "uninstall", {**told, "command": argv}, [said])
    if argv is None:
        context.note("this is a clone: remove its directory")
        return 0
    context.note(" ".join(argv))
    return become(argv, settings.environment, ())
